//! One JSON file, replaced as a whole.
//!
//! A save writes `<path>.new` (mode 0600), flushes it, renames it over the old file and flushes the
//! folder, so that a crash at any instant leaves the old pages or the new ones. A
//! lock file keeps a second process away.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

use super::{Backend, Revision, StoreError, Written, Wrote};

/// The pages of every upstream in one file. This process alone writes it while this value lives.
#[derive(Clone, Debug)]
pub struct FileStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Saves of several upstreams follow one another: each rewrites the file.
    pages: Mutex<Pages>,
    /// Locked; the lock ends with the process, however that ends.
    _lock: File,
}

type Pages = BTreeMap<String, Written>;

/// The file's content: the pages, as text, and that text's checksum.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: u32,
    sha256: String,
    #[serde(borrow)]
    pages: &'a RawValue,
}

/// One page in the file.
#[derive(Serialize, Deserialize)]
struct Sheet<'a> {
    revision: Revision,
    generation: u64,
    fence: u64,
    #[serde(borrow)]
    page: &'a RawValue,
    #[serde(borrow)]
    tokens: &'a RawValue,
}

impl FileStore {
    /// Locks and reads the file. It need not exist yet; its folder must.
    ///
    /// # Errors
    /// When another process holds it, or what stands there is not a store.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let lock = lock(&path)?;
        let pages = read(&path)?;
        Ok(Self { inner: Arc::new(Inner { path, pages: Mutex::new(pages), _lock: lock }) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let path = inner.path.clone();
        tokio::task::spawn_blocking(move || act(&inner)).await.unwrap_or_else(|error| {
            Err(StoreError::Io { path, doing: "the work", source: io::Error::other(error) })
        })
    }
}

impl Backend for FileStore {
    async fn read(&self, name: &str) -> Result<Option<Written>, StoreError> {
        let name = name.to_owned();
        self.blocking(move |inner| {
            // What is on disk is asked again: it is what a restart would find. Not while a save is
            // under way: its page would be forgotten here, and be overwritten by the next save.
            let mut pages = inner.pages();
            *pages = read(&inner.path)?;
            Ok(pages.get(&name).cloned())
        })
        .await
    }

    async fn write(&self, name: &str, seen: Revision, next: Written) -> Result<Wrote, StoreError> {
        let name = name.to_owned();
        self.blocking(move |inner| {
            let mut pages = inner.pages();
            let stored = pages.get(&name);
            if !next.may_replace(stored, seen) {
                return Ok(Wrote::Stale(stored.cloned()));
            }
            let mut after = pages.clone();
            after.insert(name, next);
            write(&inner.path, &after)?;
            *pages = after;
            Ok(Wrote::Done)
        })
        .await
    }

    async fn changed(&self, _: &str) {
        std::future::pending().await
    }

    fn poll(&self) -> Duration {
        POLL
    }
}

impl Inner {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Sheet<'a> {
    fn of(page: &'a Written) -> io::Result<Self> {
        let Written { revision, generation, fence, .. } = *page;
        let open = serde_json::from_str(&page.open)?;
        let tokens = serde_json::from_str(page.tokens.expose())?;
        Ok(Self { revision, generation, fence, page: open, tokens })
    }

    fn written(self) -> Written {
        let Self { revision, generation, fence, page, tokens } = self;
        let (open, tokens) = (page.get().to_owned(), Secret::new(tokens.get()));
        Written { revision, generation, fence, open, tokens, keep_until: None }
    }
}

fn read(path: &Path) -> Result<Pages, StoreError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pages::new()),
        Err(error) => return Err(io_error(path, "reading")(error)),
    };
    let damaged = |problem: String| StoreError::Damaged { path: path.to_owned(), problem };
    // serde_json's messages give a place, never a value.
    let envelope: Envelope<'_> = serde_json::from_str(&text)
        .map_err(|error| damaged(format!("not a token store ({})", place(&error))))?;
    if envelope.format != FORMAT {
        let found = envelope.format;
        return Err(damaged(format!("format {found}, and this version reads {FORMAT}")));
    }
    if envelope.sha256 != checksum(envelope.pages.get()) {
        return Err(damaged("its checksum does not fit its content".to_owned()));
    }
    let sheets: BTreeMap<String, Sheet<'_>> = serde_json::from_str(envelope.pages.get())
        .map_err(|error| damaged(format!("its pages cannot be read ({})", place(&error))))?;
    Ok(sheets.into_iter().map(|(name, sheet)| (name, sheet.written())).collect())
}

fn write(path: &Path, pages: &Pages) -> Result<(), StoreError> {
    let text = serialize(pages).map_err(io_error(path, "serializing"))?;
    let folder = folder_of(path);
    // Always the same name: what a killed process left half written gives way to the next save.
    let temporary = beside(path, ".new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error(&temporary, "removing")(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io_error(&temporary, "creating"))?;
    file.write_all(text.as_bytes()).map_err(io_error(&temporary, "writing"))?;
    file.sync_all().map_err(io_error(&temporary, "flushing"))?;
    fs::rename(&temporary, path).map_err(io_error(path, "renaming"))?;
    let opened = File::open(folder).map_err(io_error(folder, "opening"))?;
    opened.sync_all().map_err(io_error(folder, "flushing"))
}

fn serialize(pages: &Pages) -> io::Result<Zeroizing<String>> {
    let sheets = pages.iter().map(|(name, page)| Ok((name, Sheet::of(page)?)));
    let sheets = sheets.collect::<io::Result<BTreeMap<_, _>>>()?;
    let pages = Zeroizing::new(serde_json::to_string(&sheets)?);
    let sha256 = checksum(&pages);
    let text = format!("{{\"format\":{FORMAT},\"sha256\":\"{sha256}\",\"pages\":{}}}\n", *pages);
    Ok(Zeroizing::new(text))
}

/// Takes the lock file `<path>.lock`, which names its holder.
fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(io_error(&lock_path, "opening"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim().to_owned();
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
            return Err(StoreError::Held { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(io_error(&lock_path, "locking")(error)),
    }
    file.set_len(0).map_err(io_error(&lock_path, "writing"))?;
    writeln!(file, "{}", std::process::id()).map_err(io_error(&lock_path, "writing"))?;
    Ok(file)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn checksum(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, doing, source }
}

const FORMAT: u32 = 2;
/// `seed` may change a page while the gateway runs.
const POLL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::super::page::Page;
    use super::super::{Pages as _, Seen, Store, Swap};
    use super::*;

    fn open(path: &Path) -> Result<Store, StoreError> {
        FileStore::open(path).map(Store::from)
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

    #[tokio::test]
    async fn p17_a_file_keeps_the_contract_of_a_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileStore::open(folder.path().join("tokens.json")).expect("a store");
        super::super::contract::holds(&store).await;
    }

    #[tokio::test]
    async fn p15_what_was_saved_is_there_after_a_restart_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = open(&path).expect("a new store");
        save(&store, "one", 1, "r1").await;
        save(&store, "two", 7, "r7").await;
        drop(store);
        let store = open(&path).expect("the same store");
        assert_eq!(refresh_token(&load(&store, "one").await), "r1");
        assert_eq!(refresh_token(&load(&store, "two").await), "r7");
        assert_eq!(load(&store, "three").await.generation, 0);
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
        assert_eq!(names.len(), 2, "temporary files are left: {names:?}");
    }

    #[tokio::test]
    async fn p15_an_older_token_never_overwrites_a_newer() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder.path().join("tokens.json")).expect("a store");
        save(&store, "one", 5, "r5").await;
        let swap = save(&store, "one", 4, "r4").await;
        assert!(matches!(&swap, Swap::Stale(seen) if seen.page.generation == 5), "{swap:?}");
        assert_eq!(refresh_token(&load(&store, "one").await), "r5");
    }

    #[tokio::test]
    async fn p15_a_page_that_has_changed_since_it_was_read_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder.path().join("tokens.json")).expect("a store");
        let before = store.load("one").await.expect("no page yet");
        save(&store, "one", 1, "r1").await;
        let swap = store.swap("one", before.revision, &before.page).await.expect("an answer");
        assert!(matches!(&swap, Swap::Stale(seen) if refresh_token(&seen.page) == "r1"));
    }

    #[tokio::test]
    async fn p15_reading_one_page_while_another_is_saved_forgets_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = open(&path).expect("a store");
        for generation in 1..100 {
            let saving = save(&store, "one", generation, "r");
            let (_, read_again) = tokio::join!(saving, store.load("two"));
            read_again.expect("read");
            save(&store, "two", generation, "r").await;
            let on_disk = read(&path).expect("a good file");
            assert_eq!(on_disk["one"].generation, generation);
        }
    }

    #[tokio::test]
    async fn p15_a_damaged_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
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
            assert_eq!(fs::read_to_string(&path).expect("the file"), damaged);
        }
    }

    #[test]
    fn p15_a_second_process_is_told_who_holds_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let _held = FileStore::open(&path).expect("a store");
        let error = FileStore::open(&path).expect_err("held").to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
    }
}
