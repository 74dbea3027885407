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

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Entry, StoreError};

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

type Pages = BTreeMap<String, Entry>;

/// The file's content: the pages, as text, and that text's checksum.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: u32,
    sha256: String,
    #[serde(borrow)]
    upstreams: &'a serde_json::value::RawValue,
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

    pub(super) async fn load(&self, upstream: &str) -> Result<Entry, StoreError> {
        self.blocking(|inner| {
            // What is on disk is asked again: it is what a restart would find. Not while a save is
            // under way: its page would be forgotten here, and be overwritten by the next save.
            let mut pages = inner.pages();
            *pages = read(&inner.path)?;
            Ok(())
        })
        .await?;
        Ok(self.inner.pages().get(upstream).cloned().unwrap_or_default())
    }

    pub(super) async fn save(&self, upstream: &str, entry: Entry) -> Result<(), StoreError> {
        let upstream = upstream.to_owned();
        self.blocking(move |inner| {
            let mut pages = inner.pages();
            if let Some(stored) = pages.get(&upstream) {
                stored.check_newer(&entry)?;
            }
            let mut next = pages.clone();
            next.insert(upstream, entry);
            write(&inner.path, &next)?;
            *pages = next;
            Ok(())
        })
        .await
    }

    async fn blocking(
        &self,
        act: impl FnOnce(&Inner) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        let path = inner.path.clone();
        tokio::task::spawn_blocking(move || act(&inner)).await.unwrap_or_else(|error| {
            Err(StoreError::Io { path, doing: "the work", source: io::Error::other(error) })
        })
    }
}

impl Inner {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
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
    if envelope.sha256 != checksum(envelope.upstreams.get()) {
        return Err(damaged("its checksum does not fit its content".to_owned()));
    }
    serde_json::from_str(envelope.upstreams.get())
        .map_err(|error| damaged(format!("its pages cannot be read ({})", place(&error))))
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
    let pages = Zeroizing::new(serde_json::to_string(pages)?);
    let sha256 = checksum(&pages);
    let text =
        format!("{{\"format\":{FORMAT},\"sha256\":\"{sha256}\",\"upstreams\":{}}}\n", *pages);
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

const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    use super::super::Record;
    use super::*;
    use crate::secret::Secret;

    fn entry(generation: u64, refresh_token: &str) -> Entry {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Entry {
            token: Some(Record {
                generation,
                access_token: Some(Secret::new("access")),
                refresh_token: Some(Secret::new(refresh_token)),
                obtained_at: now,
                expires_at: now + Duration::from_secs(60),
                seed: Some(Secret::new("seed").fingerprint()),
            }),
            ..Entry::default()
        }
    }

    fn refresh_token(entry: &Entry) -> &str {
        entry.token.as_ref().and_then(|t| t.refresh_token.as_ref()).expect("a token").expose()
    }

    #[tokio::test]
    async fn p15_what_was_saved_is_there_after_a_restart_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = FileStore::open(&path).expect("a new store");
        store.save("one", entry(1, "r1")).await.expect("saved");
        store.save("two", entry(7, "r7")).await.expect("saved");
        drop(store);
        let store = FileStore::open(&path).expect("the same store");
        assert_eq!(refresh_token(&store.load("one").await.expect("a page")), "r1");
        assert_eq!(refresh_token(&store.load("two").await.expect("a page")), "r7");
        assert_eq!(store.load("three").await.expect("no page").generation(), 0);
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
        assert_eq!(names.len(), 2, "temporary files are left: {names:?}");
    }

    #[tokio::test]
    async fn p15_an_older_token_never_overwrites_a_newer() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileStore::open(folder.path().join("tokens.json")).expect("a store");
        store.save("one", entry(5, "r5")).await.expect("saved");
        let error = store.save("one", entry(4, "r4")).await.expect_err("an older one");
        assert!(matches!(error, StoreError::Outdated { stored: 5, offered: 4 }), "{error}");
        assert_eq!(refresh_token(&store.load("one").await.expect("a page")), "r5");
    }

    #[tokio::test]
    async fn p15_reading_one_page_while_another_is_saved_forgets_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = FileStore::open(&path).expect("a store");
        for generation in 1..100 {
            let saving = store.save("one", entry(generation, "r"));
            let (saved, read_again) = tokio::join!(saving, store.load("two"));
            saved.expect("saved");
            read_again.expect("read");
            store.save("two", entry(generation, "r")).await.expect("saved");
            let on_disk = read(&path).expect("a good file");
            assert_eq!(on_disk["one"].generation(), generation);
        }
    }

    #[tokio::test]
    async fn p15_a_damaged_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = FileStore::open(&path).expect("a store");
        store.save("one", entry(1, "very-secret")).await.expect("saved");
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
