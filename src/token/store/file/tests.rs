//! The file store on this machine's own disk.

mod crashes;
mod sim;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::super::page::{Lease, Page};
use super::super::{Pages as _, Seen, Store, Swap};
use super::*;
use crate::secret::Secret;

fn open(path: &Path) -> Result<Store, StoreError> {
    FileStore::open(path).map(Store::from)
}

fn share(path: &Path) -> Store {
    FileStore::share(path).expect("a shared store").into()
}

/// Puts another refresh token onto a page.
async fn save(store: &Store, name: &str, generation: u64, refresh_token: &str) -> Swap {
    let Seen { mut page, revision } = store.load(name).await.expect("a page");
    page.generation = generation;
    page.tokens.refresh = Some(Secret::new(refresh_token));
    store.swap(name, revision, &page).await.expect("saved")
}

fn refresh_token(page: &Page) -> &str {
    page.tokens.refresh.as_ref().expect("a token").expose()
}

async fn load(store: &Store, name: &str) -> Page {
    store.load(name).await.expect("a page").page
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens.json");
    (folder, path)
}

#[tokio::test]
async fn p15_what_was_saved_is_there_after_a_restart_and_for_its_owner_alone() {
    let (folder, path) = folder();
    let store = open(&path).expect("a new store");
    save(&store, "one", 1, "r1").await;
    save(&store, "two", 7, "r7").await;
    drop(store);
    let store = open(&path).expect("the same store");
    assert_eq!(refresh_token(&load(&store, "one").await), "r1");
    assert_eq!(refresh_token(&load(&store, "two").await), "r7");
    assert_eq!(load(&store, "three").await.generation, 0);
    let entries = fs::read_dir(folder.path()).expect("the folder");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["tokens.json", "tokens.json.lock", "tokens.json.write"]);
    for name in names {
        let mode = fs::metadata(folder.path().join(name)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn p15_an_older_token_never_overwrites_a_newer() {
    let (_folder, path) = folder();
    let store = open(&path).expect("a store");
    save(&store, "one", 5, "r5").await;
    let swap = save(&store, "one", 4, "r4").await;
    assert!(matches!(&swap, Swap::Stale(seen) if seen.page.generation == 5), "{swap:?}");
    assert_eq!(refresh_token(&load(&store, "one").await), "r5");
}

#[tokio::test]
async fn p15_a_page_that_has_changed_since_it_was_read_is_not_replaced() {
    let (_folder, path) = folder();
    let store = open(&path).expect("a store");
    let before = store.load("one").await.expect("no page yet");
    save(&store, "one", 1, "r1").await;
    let swap = store.swap("one", before.revision, &before.page).await.expect("an answer");
    assert!(matches!(&swap, Swap::Stale(seen) if refresh_token(&seen.page) == "r1"));
}

#[tokio::test]
async fn p15_reading_one_page_while_another_is_saved_forgets_neither() {
    let (_folder, path) = folder();
    let store = open(&path).expect("a store");
    for generation in 1..100 {
        let saving = save(&store, "one", generation, "r");
        let (_, read_again) = tokio::join!(saving, store.load("two"));
        read_again.expect("read");
        save(&store, "two", generation, "r").await;
        let on_disk = format::parse(&fs::read_to_string(&path).expect("the file"));
        assert_eq!(on_disk.expect("a good file")["one"].generation, generation);
    }
}

/// Each replaces its page as often as the others; nothing is ever overwritten unread.
#[tokio::test]
async fn p17_stores_on_one_file_lose_no_write() {
    let (_folder, path) = folder();
    let rounds = 40;
    let writing = (0..4).map(|_| {
        let store = share(&path);
        tokio::spawn(async move {
            let mut seen = store.load("one").await.expect("a page");
            let mut done = 0;
            while done < rounds {
                let generation = seen.page.generation + 1;
                let next = Page { generation, ..seen.page.clone() };
                match store.swap("one", seen.revision, &next).await.expect("an answer") {
                    Swap::Done(revision) => {
                        done += 1;
                        seen = Seen { page: next, revision };
                    }
                    Swap::Stale(other) => seen = other,
                }
            }
        })
    });
    for written in writing.collect::<Vec<_>>() {
        written.await.expect("no panic");
    }
    assert_eq!(load(&share(&path), "one").await.generation, 4 * rounds);
}

#[tokio::test]
async fn p15_a_damaged_file_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    let store = open(&path).expect("a store");
    save(&store, "one", 1, "very-secret").await;
    drop(store);
    let whole = fs::read_to_string(&path).expect("the file");
    let damages =
        [whole.replace("very", "vary"), whole[..whole.len() / 2].to_owned(), "{}".to_owned()];
    for damaged in damages {
        fs::write(&path, &damaged).expect("written");
        let error = FileStore::open(&path).expect_err("damaged").to_string();
        assert!(error.contains("tokens.json") && error.contains("move it away"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        FileStore::visit(&path).expect_err("damaged for commands, too");
        assert_eq!(fs::read_to_string(&path).expect("the file"), damaged);
    }
}

#[tokio::test]
async fn p15_a_folder_that_is_gone_is_no_empty_store() {
    let (folder, path) = folder();
    let path = folder.path().join("here").join(path.file_name().expect("a name"));
    fs::create_dir(folder.path().join("here")).expect("a folder");
    let store = open(&path).expect("a store");
    save(&store, "one", 1, "r1").await;
    let seen = store.load("one").await.expect("a page");
    fs::rename(folder.path().join("here"), folder.path().join("away")).expect("moved");
    let error = store.load("one").await.expect_err("gone").to_string();
    assert!(error.contains("here"), "{error}");
    let error = store.swap("one", seen.revision, &seen.page).await.expect_err("gone").to_string();
    assert!(error.contains("tokens.json.write"), "{error}");
    fs::rename(folder.path().join("away"), folder.path().join("here")).expect("moved");
    assert_eq!(refresh_token(&load(&store, "one").await), "r1");
}

#[test]
fn p15_a_second_gateway_is_told_who_holds_the_store_and_what_to_do() {
    let (_folder, path) = folder();
    let refused = |opened: Result<FileStore, StoreError>, advice: &str| {
        let error = opened.expect_err("held").to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(error.contains(advice), "{error}");
    };
    let alone = FileStore::open(&path).expect("a store");
    refused(FileStore::open(&path), "stop it, or give this one another");
    refused(FileStore::share(&path), "that one has the file alone");
    FileStore::visit(&path).expect("commands come in");
    drop(alone);
    let shared = [FileStore::share(&path), FileStore::share(&path)];
    assert!(shared.iter().all(Result::is_ok), "{shared:?}");
    refused(FileStore::open(&path), "set `store.share = true` here, too");
    drop(shared);
    FileStore::open(&path).expect("nobody has it any more");
}

#[tokio::test]
async fn p15_a_dead_process_keeps_nobody_waiting_for_its_lease() {
    let lease = Some(Lease { holder: "dead".to_owned(), fence: 1, beat: 4 });
    for reopen in [FileStore::open as fn(PathBuf) -> _, FileStore::share] {
        let (_folder, path) = folder();
        let store = open(&path).expect("a store");
        let page = Page { fence: 1, lease: lease.clone(), ..Page::default() };
        store.swap("one", Revision::default(), &page).await.expect("saved");
        drop(store);

        let visitor: Store = FileStore::visit(&path).expect("a store").into();
        assert_eq!(load(&visitor, "one").await.lease, lease, "its holder may live");
        let first: Store = reopen(path.clone()).expect("a store").into();
        let seen = first.load("one").await.expect("a page");
        assert_eq!((seen.page.lease, seen.page.fence), (None, 1));
        // What is taken after the start is respected.
        let page = Page { fence: 2, lease: lease.clone(), ..Page::default() };
        visitor.swap("one", seen.revision, &page).await.expect("saved");
        assert_eq!(load(&first, "one").await.lease, lease);
    }
}

#[tokio::test]
async fn p17_who_joins_others_does_not_rob_them_of_a_lease() {
    let (_folder, path) = folder();
    let first = share(&path);
    let lease = Some(Lease { holder: "first".to_owned(), fence: 1, beat: 0 });
    let page = Page { fence: 1, lease: lease.clone(), ..Page::default() };
    first.swap("one", Revision::default(), &page).await.expect("saved");
    assert_eq!(load(&share(&path), "one").await.lease, lease);
}

#[tokio::test(start_paused = true)]
async fn p15_a_write_lock_that_is_never_given_back_is_an_error_and_stops_no_reader() {
    let (_folder, path) = folder();
    let store = open(&path).expect("a store");
    save(&store, "one", 1, "r1").await;
    let turn = Turn::take(&path).expect("the lock file").expect("it is free");
    let seen = store.load("one").await.expect("readers need no turn");
    let error = store.swap("one", seen.revision, &seen.page).await.expect_err("busy").to_string();
    assert!(error.contains(".write"), "{error}");
    drop(turn);
    store.swap("one", seen.revision, &seen.page).await.expect("free again");
}

#[tokio::test]
async fn p15_what_somebody_else_writes_is_noticed_and_ones_own_is_no_news() {
    let (_folder, path) = folder();
    let store = share(&path);
    save(&store, "one", 1, "r1").await;
    save(&store, "two", 1, "r1").await;
    let changed = store.changed("one");
    tokio::pin!(changed);
    let short = Duration::from_millis(100);
    timeout(short, &mut changed).await.expect_err("nobody has written");
    let other = share(&path);
    save(&other, "two", 2, "r2").await;
    timeout(short, &mut changed).await.expect_err("that was another page");
    save(&other, "one", 2, "r2").await;
    timeout(Duration::from_secs(10), changed).await.expect("it is noticed");
    assert_eq!(refresh_token(&load(&store, "one").await), "r2");
}

/// Two upstreams of one process may have one account.
#[tokio::test]
async fn p15_what_is_written_in_the_same_process_is_told_at_once() {
    let (_folder, path) = folder();
    let store = open(&path).expect("a store");
    save(&store, "one", 1, "r1").await;
    let began = Instant::now();
    let (swap, ()) = tokio::join!(save(&store, "one", 2, "r2"), store.changed("one"));
    assert!(matches!(swap, Swap::Done(_)));
    assert!(began.elapsed() < CALM, "nobody waits for the next look at the disk");
}

#[tokio::test]
async fn p15_a_link_is_followed_and_stays() {
    let (folder, path) = folder();
    let real = folder.path().join("real.json");
    save(&open(&real).expect("a store"), "one", 1, "r1").await;
    std::os::unix::fs::symlink(&real, &path).expect("a link");
    let store = open(&path).expect("a store");
    save(&store, "one", 2, "r2").await;
    assert!(fs::symlink_metadata(&path).expect("the link").is_symlink());
    FileStore::open(&real).expect_err("one lock for both names");
    drop(store);
    assert_eq!(refresh_token(&load(&open(&real).expect("a store"), "one").await), "r2");
}
