//! Where tokens outlive the process, and where replicas meet.
//!
//! A store keeps pages by name and can do one thing with them that matters: replace a page if it is
//! still the one that was read. Leases, fences, journal and budget are part of the page (see
//! [`page`](super::page)), so every kind of store has them alike.

#[cfg(test)]
pub(crate) mod contract;
mod error;
pub mod file;
mod health;
pub mod kubernetes;
pub mod memory;
pub mod redis;
pub mod seal;
mod written;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

use crate::telemetry::metrics::StoreMetrics;
use crate::telemetry::traces;

use super::page::Page;
pub use error::StoreError;
use file::FileStore;
pub use health::Condition;
use health::Health;
use kubernetes::KubernetesStore;
use memory::MemoryStore;
use redis::RedisStore;
use seal::{Sealing, Vault};
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
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it comes from, and is rare")]
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

/// A store of any kind, with what all kinds have in common: sealed tokens, and a health.
#[derive(Debug)]
pub struct Store {
    backend: Kind,
    vault: Vault,
    health: Health,
    /// Pages that were sealed anew since the start. Once is enough: replicas that have their keys
    /// in another order would otherwise seal for ever.
    renewed: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
enum Kind {
    File(FileStore),
    Kubernetes(KubernetesStore),
    Memory(MemoryStore),
    Redis(RedisStore),
}

// === impl Store ===

impl From<FileStore> for Store {
    fn from(store: FileStore) -> Self {
        Self::new(Kind::File(store))
    }
}

impl From<KubernetesStore> for Store {
    fn from(store: KubernetesStore) -> Self {
        Self::new(Kind::Kubernetes(store))
    }
}

impl From<MemoryStore> for Store {
    fn from(store: MemoryStore) -> Self {
        Self::new(Kind::Memory(store))
    }
}

impl From<RedisStore> for Store {
    fn from(store: RedisStore) -> Self {
        Self::new(Kind::Redis(store))
    }
}

impl Pages for Store {
    async fn load(&self, name: &str) -> Result<Seen, StoreError> {
        let span = self.span("store read");
        let read = self.backend.read(name).await;
        end(span, read.is_ok());
        self.health.read(&read);
        let (seen, sealing) = self.open(name, read?)?;
        self.health.understood();
        let anew = self.is_to_be_renewed(name, sealing);
        if seen.revision != Revision::default() && (anew || self.health.wants_a_write()) {
            return Ok(self.write_again(name, seen, sealing).await);
        }
        Ok(seen)
    }

    async fn swap(&self, name: &str, seen: Revision, next: &Page) -> Result<Swap, StoreError> {
        let revision = Revision::fresh();
        let next = Written::of(next, revision);
        let next = self
            .vault
            .seal(name, next)
            .map_err(|source| StoreError::Unsealed { page: name.to_owned(), source })?;
        let span = self.span("store write");
        let wrote = self.backend.write(name, seen, next).await;
        end(span, wrote.is_ok());
        self.health.wrote(&wrote);
        match wrote? {
            Wrote::Done => Ok(Swap::Done(revision)),
            Wrote::Stale(written) => self.open(name, written).map(|(seen, _)| Swap::Stale(seen)),
        }
    }

    async fn changed(&self, name: &str) {
        match &self.backend {
            Kind::File(store) => store.changed(name).await,
            Kind::Kubernetes(store) => store.changed(name).await,
            Kind::Memory(store) => store.changed(name).await,
            Kind::Redis(store) => store.changed(name).await,
        }
    }

    fn poll(&self) -> std::time::Duration {
        match &self.backend {
            Kind::File(store) => store.poll(),
            Kind::Kubernetes(store) => store.poll(),
            Kind::Memory(store) => store.poll(),
            Kind::Redis(store) => store.poll(),
        }
    }
}

fn end(span: Option<traces::Span>, is_ok: bool) {
    span.into_iter().filter(|_| !is_ok).for_each(|mut span| span.fail("store"));
}

impl Store {
    fn new(backend: Kind) -> Self {
        let health = Health::new(backend.name(), StoreMetrics::default());
        Self { backend, vault: Vault::default(), health, renewed: Mutex::default() }
    }

    /// Of what is a part of a renewal.
    fn span(&self, name: &'static str) -> Option<traces::Span> {
        let mut span = traces::child(traces::Kind::Client, name)?;
        span.text("tokenward.store", self.backend.name());
        Some(span)
    }

    /// The same store, whose tokens are sealed.
    #[must_use]
    pub fn sealed(self, vault: Vault) -> Self {
        Self { vault, ..self }
    }

    /// The same store, whose health is measured.
    #[must_use]
    pub fn measured(self, metrics: StoreMetrics) -> Self {
        Self { health: self.health.measured(metrics), ..self }
    }

    pub fn condition(&self) -> Condition {
        self.health.condition()
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    fn open(&self, name: &str, written: Option<Written>) -> Result<(Seen, Sealing), StoreError> {
        let Some(written) = written else { return Ok((Seen::default(), Sealing::Current)) };
        let revision = written.revision;
        let opened = self.vault.open(name, written).map_err(Unreadable::from);
        let opened = opened.and_then(|(written, sealing)| Ok((written.page()?, sealing)));
        self.health.opened(name, opened.as_ref().map(|_| ()));
        let (mut page, sealing) =
            opened.map_err(|source| StoreError::Unreadable { page: name.to_owned(), source })?;
        if self.backend.is_left_over(name, revision) {
            page.lease = None;
        }
        Ok((Seen { page, revision }, sealing))
    }

    /// Whether a page is not sealed as it would be today, and nobody has seen to that yet.
    fn is_to_be_renewed(&self, name: &str, sealing: Sealing) -> bool {
        let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        sealing != Sealing::Current && !renewed.contains(name)
    }

    /// Writes a page as it was read: to seal it anew, or to see whether it can be written at all.
    /// What comes of that is not the reader's concern.
    async fn write_again(&self, name: &str, seen: Seen, sealing: Sealing) -> Seen {
        match self.swap(name, seen.revision, &seen.page).await {
            Ok(Swap::Done(revision)) => {
                self.tell_renewal(name, sealing);
                Seen { revision, ..seen }
            }
            Ok(Swap::Stale(now)) => now,
            Err(_) => seen,
        }
    }

    fn tell_renewal(&self, page: &str, sealing: Sealing) {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if sealing == Sealing::Current || !renewed.insert(page.to_owned()) {
            return;
        }
        let key = self.vault.key().map(tracing::field::display);
        match sealing {
            Sealing::Plain => warn!(
                page,
                key,
                "the tokens were stored as plain text until now, and copies of that store are still \
                 readable; they are sealed from now on"
            ),
            _ => info!(page, key, "the tokens were sealed with an older key; they are sealed anew"),
        }
    }
}

// === impl Kind ===

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Kubernetes(_) => "kubernetes",
            Self::Memory(_) => "memory",
            Self::Redis(_) => "redis",
        }
    }

    /// Whether nobody lives who could hold a lease in this page.
    fn is_left_over(&self, name: &str, revision: Revision) -> bool {
        matches!(self, Self::File(store) if store.is_left_over(name, revision))
    }

    async fn read(&self, name: &str) -> Result<Option<Written>, StoreError> {
        match self {
            Self::File(store) => store.read(name).await,
            Self::Kubernetes(store) => store.read(name).await,
            Self::Memory(store) => store.read(name).await,
            Self::Redis(store) => store.read(name).await,
        }
    }

    async fn write(&self, name: &str, seen: Revision, next: Written) -> Result<Wrote, StoreError> {
        match self {
            Self::File(store) => store.write(name, seen, next).await,
            Self::Kubernetes(store) => store.write(name, seen, next).await,
            Self::Memory(store) => store.write(name, seen, next).await,
            Self::Redis(store) => store.write(name, seen, next).await,
        }
    }
}

#[cfg(test)]
impl Store {
    /// What a store in memory holds: a simulation gives it back later, and the writes since are
    /// lost.
    pub(in crate::token) fn pages(&self) -> Option<memory::Sheets> {
        match &self.backend {
            Kind::Memory(store) => Some(store.pages().clone()),
            _ => None,
        }
    }

    pub(in crate::token) fn put_back(&self, pages: memory::Sheets) {
        if let Kind::Memory(store) = &self.backend {
            *store.pages() = pages;
        }
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
