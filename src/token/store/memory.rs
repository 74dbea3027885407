//! A store that ends with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Backend, Revision, StoreError, Written, Wrote};

pub(in crate::token) type Sheets = BTreeMap<String, Written>;

/// For vendors that mint at will, and for tests.
#[derive(Debug, Default)]
pub struct MemoryStore {
    pages: Mutex<Sheets>,
    changes: Notify,
}

impl Backend for MemoryStore {
    async fn read(&self, name: &str) -> Result<Option<Written>, StoreError> {
        Ok(self.pages().get(name).cloned())
    }

    async fn write(&self, name: &str, seen: Revision, next: Written) -> Result<Wrote, StoreError> {
        let mut pages = self.pages();
        let stored = pages.get(name);
        if !next.may_replace(stored, seen) {
            return Ok(Wrote::Stale(stored.cloned()));
        }
        pages.insert(name.to_owned(), next);
        self.changes.notify_waiters();
        Ok(Wrote::Done)
    }

    async fn changed(&self, _: &str) {
        self.changes.notified().await;
    }

    fn poll(&self) -> Duration {
        POLL
    }
}

impl MemoryStore {
    pub(super) fn pages(&self) -> std::sync::MutexGuard<'_, Sheets> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everybody who changes a page is in this process and tells.
const POLL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test]
    async fn p17_memory_keeps_the_contract_of_a_store() {
        contract::holds(&MemoryStore::default()).await;
    }
}
