//! A token store as bytes: whatever stands there, reading it ends; what cannot be read is left as it
//! is, and what can be read is the same after it was written.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use tokenward::secret::Secret;
use tokenward::token::Reason;
use tokenward::token::budget::Limits;
use tokenward::token::page::Page;
use tokenward::token::store::file::FileStore;
use tokenward::token::store::seal::{Key, Vault};
use tokenward::token::store::{Pages, Seen, Store, Swap};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// In memory, where there is such a folder.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let shared = PathBuf::from("/dev/shm");
    let folder = if shared.is_dir() { shared } else { std::env::temp_dir() };
    folder.join(format!("tokenward-fuzz-{}.json", std::process::id()))
});

const NAME: &str = "one";
/// Its id is 6c86c6aac5fb24bc; the corpus has tokens that it has sealed.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fuzz_target!(|input: &[u8]| {
    // The first byte says how deep the others lie: the reader must not stop all of them at its door.
    let [choice, bytes @ ..] = input else { return };
    let Some(file) = file(choice % 3, bytes) else { return };
    fs::write(&*PATH, &file).expect("written");
    let Ok(store) = FileStore::open(&*PATH) else {
        assert!(fs::read(&*PATH).expect("the file") == file, "a damaged store was written");
        return;
    };
    let keys = [Key::parse(&Secret::new(KEY)).expect("a key")];
    let vault = if choice / 3 % 2 == 0 { Vault::new(&keys) } else { Vault::default() };
    RUNTIME.block_on(read(&Store::from(store).sealed(vault), &file));
});

async fn read(store: &Store, file: &[u8]) {
    let Ok(Seen { page, revision }) = store.load(NAME).await else {
        let next = Page::default();
        store.swap(NAME, Default::default(), &next).await.expect_err("there is a page");
        assert!(fs::read(&*PATH).expect("the file") == file, "an unreadable page was written");
        return;
    };
    look_at(&page);
    let swap = store.swap(NAME, revision, &page).await.expect("it can be written");
    assert!(matches!(swap, Swap::Done(_)), "{swap:?}");
    // Times are written in whole milliseconds.
    let Seen { page, revision } = store.load(NAME).await.expect("it was written");
    let swap = store.swap(NAME, revision, &page).await.expect("it can be written");
    assert!(matches!(swap, Swap::Done(_)), "{swap:?}");
    assert!(store.load(NAME).await.expect("it was written").page == page);
}

/// What the gateway asks of every page that it reads.
fn look_at(page: &Page) {
    let now = SystemTime::now();
    let limits = Limits { per_day: 300, day_offset: 8 * 3600, per_minute: 20 };
    for reason in [Reason::Rejected, Reason::Schedule] {
        let _ = limits.check(&page.ledger, reason, now);
        let _ = limits.spend(&page.ledger, reason, now);
    }
    let _ = limits.remaining(&page.ledger, now);
    assert!(page.left(now) <= page.life.map_or(Duration::ZERO, |life| life.whole()));
    let _ = (page.is_living(now), page.is_doubtful());
    let _ = Page::default().restored(page).released("me").beaten("me");
}

/// A store's file: the bytes themselves, or its pages, or one page's two parts in a line each.
fn file(depth: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let text = || std::str::from_utf8(bytes).ok();
    let pages = match depth {
        0 => return Some(bytes.to_vec()),
        1 => text()?.to_owned(),
        _ => {
            let (page, tokens) = text()?.split_once('\n')?;
            let number = |key| serde_json::from_str::<serde_json::Value>(page).ok()?.get(key)?.as_u64();
            let generation = number("generation").unwrap_or(0);
            let fence = number("fence").unwrap_or(0);
            format!(
                "{{\"{NAME}\":{{\"revision\":7,\"generation\":{generation},\"fence\":{fence},\
                 \"page\":{page},\"tokens\":{tokens}}}}}"
            )
        }
    };
    // As the store reads it: without the space around it, and as it stands otherwise.
    let pages = pages.trim_matches([' ', '\t', '\r', '\n']);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pages.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{{\"format\":2,\"sha256\":\"{hash}\",\"pages\":{pages}}}").into_bytes())
}
