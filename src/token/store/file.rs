//! One JSON file, replaced as a whole, for one gateway or for several on one machine.
//!
//! A gateway holds `<path>.lock` for as long as it lives, alone or (`store.share`) with others.
//! Whoever replaces a page, `tokenward seed` too, holds `<path>.write` from the reading of the file
//! to its replacement; readers hold nothing, since a file that was replaced is whole.

mod book;
mod disk;
mod format;
mod lock;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{Backend, Revision, StoreError, Written, Wrote};
use book::Book;
use disk::RealDisk;
use lock::{Claim, Turn};

/// The pages of every upstream in one file.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    book: Arc<tokio::sync::Mutex<Book<RealDisk>>>,
    /// Writes of this process follow one another before they meet those of others.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// Somebody in this process has written, or has seen that somebody else has.
    changes: Notify,
    known: Mutex<Known>,
    /// What stood there when nobody had the file: no lease in it has a living holder.
    found: BTreeMap<String, Revision>,
    /// `None`: a visitor.
    claim: Option<Claim>,
    share: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// Of each page, the last revision that was read or written here.
    revisions: BTreeMap<String, Revision>,
    /// When anything moved last.
    moved_at: Option<Instant>,
}

impl FileStore {
    /// For one gateway, which keeps others away. The file need not exist yet; its folder must.
    ///
    /// # Errors
    /// When another gateway has the file, or what stands there is not a store.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::claimed(path.into(), false)
    }

    /// For several gateways on one machine, which agree by leases as replicas do.
    ///
    /// # Errors
    /// When a gateway has the file alone, or what stands there is not a store.
    pub fn share(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::claimed(path.into(), true)
    }

    /// For a command that reads or replaces a page, whoever has the file.
    ///
    /// # Errors
    /// When what stands there is not a store.
    pub fn visit(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = real(path.into());
        let mut book = Book::new(RealDisk, path.clone());
        book.look()?;
        Ok(Self::new(path, book, false))
    }

    fn claimed(path: PathBuf, share: bool) -> Result<Self, StoreError> {
        let path = real(path);
        let claim = Claim::take(&path, share)?;
        let mut book = Book::new(RealDisk, path.clone());
        book.look()?;
        warn_if_exposed(&path);
        let first = book.pages().iter().filter(|_| claim.is_first());
        let found = first.map(|(name, page)| (name.clone(), page.revision)).collect();
        // Others may take leases from here on.
        claim.settle(&path)?;
        Ok(Self { found, claim: Some(claim), ..Self::new(path, book, share) })
    }

    fn new(path: PathBuf, book: Book<RealDisk>, share: bool) -> Self {
        Self {
            path,
            book: Arc::new(tokio::sync::Mutex::new(book)),
            writing: Arc::default(),
            changes: Notify::new(),
            known: Mutex::default(),
            found: BTreeMap::new(),
            claim: None,
            share,
        }
    }

    /// Whether the page has not been touched since a time at which no gateway had the file. A lease
    /// in it is over: its holder is dead.
    pub(super) fn is_left_over(&self, name: &str, revision: Revision) -> bool {
        self.claim.is_some() && self.found.get(name) == Some(&revision)
    }

    /// Works with the file where blocking is allowed. A disk that does not answer is given up, and
    /// holds up one thread, not one for every try.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Book<RealDisk>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let book = self.book.clone();
        let working = async move {
            let mut book = book.lock_owned().await;
            tokio::task::spawn_blocking(move || work(&mut book)).await
        };
        let failed = |source| StoreError::Io { path: self.path.clone(), doing: "the work", source };
        match timeout(LONGEST_WORK, working).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(failed(io::Error::other(error))),
            Err(_) => Err(failed(io::Error::new(io::ErrorKind::TimedOut, "the disk is silent"))),
        }
    }

    /// Looks whether the file has changed, and takes from it.
    async fn look<T: Send + 'static>(
        &self,
        take: impl FnOnce(&Book<RealDisk>) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        Ok(self.look_whether_changed(take).await?.1)
    }

    /// The same, and says whether it had.
    async fn look_whether_changed<T: Send + 'static>(
        &self,
        take: impl FnOnce(&Book<RealDisk>) -> T + Send + 'static,
    ) -> Result<(bool, T), StoreError> {
        let looked = self.work(move |book| Ok((book.look()?, take(book)))).await?;
        if looked.0 {
            self.moved();
        }
        Ok(looked)
    }

    /// Waits until nobody else writes: a short while, as nobody does anything slow then.
    async fn turn(&self) -> Result<(OwnedMutexGuard<()>, Turn), StoreError> {
        let taking = async {
            let own = self.writing.clone().lock_owned().await;
            loop {
                let path = self.path.clone();
                let tried = tokio::task::spawn_blocking(move || Turn::take(&path)).await;
                match tried {
                    Ok(Ok(Some(turn))) => return Ok((own, turn)),
                    Ok(Ok(None)) => sleep(AGAIN.mul_f64(0.5 + fastrand::f64())).await,
                    Ok(Err(error)) => return Err(error),
                    Err(error) => {
                        let (path, source) = (self.path.clone(), io::Error::other(error));
                        return Err(StoreError::Io { path, doing: "the work", source });
                    }
                }
            }
        };
        let busy = || StoreError::Busy { path: self.path.clone(), waited: LONGEST_TURN };
        timeout(LONGEST_TURN, taking).await.unwrap_or_else(|_| Err(busy()))
    }

    fn moved(&self) {
        self.known().moved_at = Some(Instant::now());
        self.changes.notify_waiters();
    }

    fn is_known(&self, name: &str, revision: Revision) -> bool {
        self.known().revisions.get(name).copied().unwrap_or_default() == revision
    }

    fn knows(&self, name: &str, revision: Revision) {
        self.known().revisions.insert(name.to_owned(), revision);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until the file is looked at again. One gateway after another acts within moments,
    /// and then nothing happens for hours.
    fn pause(&self) -> Duration {
        let moved = self.known().moved_at.is_some_and(|at| at.elapsed() < LIVELY_FOR);
        if self.share && moved { LIVELY } else { CALM }
    }
}

impl Backend for FileStore {
    async fn read(&self, name: &str) -> Result<Option<Written>, StoreError> {
        let wanted = name.to_owned();
        let page = self.look(move |book| book.pages().get(&wanted).cloned()).await?;
        self.knows(name, revision_of(page.as_ref()));
        Ok(page)
    }

    async fn write(&self, name: &str, seen: Revision, next: Written) -> Result<Wrote, StoreError> {
        let turn = self.turn().await?;
        let (page, revision) = (name.to_owned(), next.revision);
        let wrote = self
            .work(move |book| {
                // Given back when this is done, even if nobody waits for it any more.
                let _turn = turn;
                book.replace(&page, seen, next)
            })
            .await?;
        match &wrote {
            Wrote::Done => {
                self.knows(name, revision);
                self.moved();
            }
            Wrote::Stale(stored) => self.knows(name, revision_of(stored.as_ref())),
        }
        Ok(wrote)
    }

    async fn changed(&self, name: &str) {
        loop {
            let wanted = name.to_owned();
            // Whoever writes in this process while the file is looked at is heard.
            let told = self.changes.notified();
            let revision = move |book: &Book<_>| revision_of(book.pages().get(&wanted));
            let looked = self.look_whether_changed(revision).await;
            // What cannot be read now is no news; a read will tell.
            if looked.as_ref().is_ok_and(|(_, revision)| !self.is_known(name, *revision)) {
                return;
            }
            // What this look has told others is none for itself.
            let told = match looked {
                Ok((true, _)) => self.changes.notified(),
                _ => told,
            };
            tokio::select! {
                () = told => return,
                () = sleep(self.pause()) => {}
            }
        }
    }

    fn poll(&self) -> Duration {
        POLL
    }
}

fn revision_of(page: Option<&Written>) -> Revision {
    page.map(|page| page.revision).unwrap_or_default()
}

/// What a link leads to: a rename would replace the link.
fn real(path: PathBuf) -> PathBuf {
    std::fs::canonicalize(&path).unwrap_or(path)
}

/// The next save makes a file of our own, for its owner alone; until then its tokens may be read.
fn warn_if_exposed(path: &Path) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let path = path.display();
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        warn!(%path, mode = format!("{mode:o}"), "others can get at the tokens in the store: chmod 600");
    }
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != own {
        warn!(%path, owner, own, "the store belongs to another user: chown it");
    }
}

/// How often a page is read although nothing says that it has changed.
const POLL: Duration = Duration::from_secs(5);
/// How often the file is looked at: for what `tokenward seed` may do,
const CALM: Duration = Duration::from_secs(1);
/// and when gateways that share it have just done something.
const LIVELY: Duration = Duration::from_millis(20);
const LIVELY_FOR: Duration = Duration::from_secs(5);
/// A write takes milliseconds, on a slow disk a second.
const LONGEST_TURN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(4);
const LONGEST_WORK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
