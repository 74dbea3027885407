//! Where tokens outlive the process.

pub mod file;
pub mod memory;

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::secret::{Fingerprint, Secret};

use super::budget::Ledger;
use file::FileStore;
use memory::MemoryStore;

/// One upstream's page in the store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Record>,
    #[serde(default)]
    pub ledger: Ledger,
    /// Set before a refresh token is presented, gone with the save of what came of it. Found at
    /// start, it means that an answer may have been lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
}

/// A token pair as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Grows with every new access token. An older generation never replaces a newer one.
    pub generation: u64,
    /// Missing in a page that was only seeded.
    #[serde(default, with = "secret_text", skip_serializing_if = "Option::is_none")]
    pub access_token: Option<Secret>,
    #[serde(default, with = "secret_text", skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    #[serde(with = "rfc3339")]
    pub obtained_at: SystemTime,
    #[serde(with = "rfc3339")]
    pub expires_at: SystemTime,
    /// The seed that this pair descends from, to notice when the operator changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Fingerprint>,
}

/// A refresh that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The refresh token that was presented.
    pub presented: Fingerprint,
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
}

/// A kind of store.
#[derive(Debug)]
pub enum Store {
    File(FileStore),
    Memory(MemoryStore),
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
    #[error("the store has generation {stored}, newer than {offered}: not overwritten")]
    Outdated { stored: u64, offered: u64 },
}

// === impl Store ===

impl Store {
    /// One upstream's page; an empty one when there is none yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(&self, upstream: &str) -> Result<Entry, StoreError> {
        match self {
            Self::File(store) => store.load(upstream).await,
            Self::Memory(store) => Ok(store.load(upstream)),
        }
    }

    /// Replaces one upstream's page. When this returns, it is durable.
    ///
    /// # Errors
    /// When it could not be made durable, or a newer generation is there.
    pub async fn save(&self, upstream: &str, entry: Entry) -> Result<(), StoreError> {
        match self {
            Self::File(store) => store.save(upstream, entry).await,
            Self::Memory(store) => store.save(upstream, entry),
        }
    }
}

// === impl Entry ===

impl Entry {
    pub fn generation(&self) -> u64 {
        self.token.as_ref().map_or(0, |record| record.generation)
    }

    /// Refuses to be replaced by an older page.
    fn check_newer(&self, offered: &Entry) -> Result<(), StoreError> {
        let (stored, offered) = (self.generation(), offered.generation());
        if offered < stored { Err(StoreError::Outdated { stored, offered }) } else { Ok(()) }
    }
}

/// Tokens as texts: the only place where a secret is written out.
mod secret_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}
