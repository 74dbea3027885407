//! Where tokens outlive the process, and where replicas meet.
//!
//! A store keeps pages by name and can do one thing with them that matters: replace a page if it is
//! still the one that was read. Leases, fences, journal and budget are part of the page (see
//! [`page`](super::page)), so every kind of store has them alike.

#[cfg(test)]
pub(crate) mod contract;
pub mod file;
pub mod memory;
pub mod redis;
mod written;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::page::Page;
use file::FileStore;
use memory::MemoryStore;
use redis::RedisStore;
pub use written::{Unreadable, Written};

/// A page as it was read, and what must still be there when it is replaced.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub page: Page,
    pub revision: Revision,
}

/// Names one state of a page. Every write has another, drawn at random; 0: there is no page yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Revision(u64);

/// What came of replacing a page.
#[derive(Clone, Debug)]
pub enum Swap {
    Done(Revision),
    /// It is another than was read: this one. Nothing was written.
    Stale(Seen),
}

/// What a refresher needs of a store.
pub trait Pages: Send + Sync + 'static {
    /// A page; an empty one when there is none yet.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self, name: &str) -> impl Future<Output = Result<Seen, StoreError>> + Send;

    /// Replaces a page that is still as it was read. When this returns [`Swap::Done`], the new one
    /// is durable.
    ///
    /// # Errors
    /// When the store cannot be reached or written. The page may have been replaced all the same.
    fn swap(
        &self,
        name: &str,
        seen: Revision,
        next: &Page,
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send;

    /// Completes when the store says that somebody has changed this page. It may stay silent: who
    /// relies on it reads the page now and then ([`Pages::poll`]).
    fn changed(&self, name: &str) -> impl Future<Output = ()> + Send;

    /// How often a page is to be read that others may change.
    fn poll(&self) -> std::time::Duration;
}

/// A kind of store: it keeps [`Written`] pages, and need not understand them.
pub(crate) trait Backend: Send + Sync {
    /// `None`: there is no such page.
    fn read(&self, name: &str) -> impl Future<Output = Result<Option<Written>, StoreError>> + Send;

    /// Replaces the page if its revision is `seen`, and neither its generation nor its fence would
    /// become less. Otherwise returns what is there.
    fn write(
        &self,
        name: &str,
        seen: Revision,
        next: Written,
    ) -> impl Future<Output = Result<Wrote, StoreError>> + Send;

    /// See [`Pages::changed`].
    fn changed(&self, name: &str) -> impl Future<Output = ()> + Send;

    /// See [`Pages::poll`].
    fn poll(&self) -> std::time::Duration;
}

/// What came of [`Backend::write`].
#[derive(Debug)]
pub(crate) enum Wrote {
    Done,
    Stale(Option<Written>),
}

/// A store of any kind.
#[derive(Debug)]
pub struct Store {
    backend: Kind,
}

#[derive(Debug)]
enum Kind {
    File(FileStore),
    Memory(MemoryStore),
    Redis(RedisStore),
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: {doing} failed", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{}: {problem}; it is left as it is: mend it, or move it away and seed again",
        path.display()
    )]
    Damaged { path: PathBuf, problem: String },
    #[error(
        "{}: in use by another tokenward (pid {holder}); stop it, or give this one another \
         `store.path`",
        path.display()
    )]
    Held { path: PathBuf, holder: String },
    #[error("the store at {server} {problem}")]
    Unavailable {
        /// Without a password.
        server: String,
        /// A clause about it, and what helps.
        problem: String,
    },
    #[error("the store's page {page} cannot be read; it is left as it is")]
    Unreadable {
        page: String,
        #[source]
        source: Unreadable,
    },
}

// === impl Store ===

impl From<FileStore> for Store {
    fn from(store: FileStore) -> Self {
        Self { backend: Kind::File(store) }
    }
}

impl From<MemoryStore> for Store {
    fn from(store: MemoryStore) -> Self {
        Self { backend: Kind::Memory(store) }
    }
}

impl From<RedisStore> for Store {
    fn from(store: RedisStore) -> Self {
        Self { backend: Kind::Redis(store) }
    }
}

impl Pages for Store {
    async fn load(&self, name: &str) -> Result<Seen, StoreError> {
        let written = match &self.backend {
            Kind::File(store) => store.read(name).await?,
            Kind::Memory(store) => store.read(name).await?,
            Kind::Redis(store) => store.read(name).await?,
        };
        self.open(name, written)
    }

    async fn swap(&self, name: &str, seen: Revision, next: &Page) -> Result<Swap, StoreError> {
        let revision = Revision::fresh();
        let next = Written::of(next, revision);
        let wrote = match &self.backend {
            Kind::File(store) => store.write(name, seen, next).await?,
            Kind::Memory(store) => store.write(name, seen, next).await?,
            Kind::Redis(store) => store.write(name, seen, next).await?,
        };
        match wrote {
            Wrote::Done => Ok(Swap::Done(revision)),
            Wrote::Stale(written) => self.open(name, written).map(Swap::Stale),
        }
    }

    async fn changed(&self, name: &str) {
        match &self.backend {
            Kind::File(store) => store.changed(name).await,
            Kind::Memory(store) => store.changed(name).await,
            Kind::Redis(store) => store.changed(name).await,
        }
    }

    fn poll(&self) -> std::time::Duration {
        match &self.backend {
            Kind::File(store) => store.poll(),
            Kind::Memory(store) => store.poll(),
            Kind::Redis(store) => store.poll(),
        }
    }
}

impl Store {
    fn open(&self, name: &str, written: Option<Written>) -> Result<Seen, StoreError> {
        let Some(written) = written else { return Ok(Seen::default()) };
        let page = written
            .page()
            .map_err(|source| StoreError::Unreadable { page: name.to_owned(), source })?;
        Ok(Seen { page, revision: written.revision })
    }
}

// === impl Revision ===

impl Revision {
    /// One that no write before it has had.
    pub fn fresh() -> Self {
        Self(fastrand::u64(1..))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Revision {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
