//! A store that ends with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Entry, StoreError};

/// For vendors that mint at will, and for tests.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl MemoryStore {
    pub(super) fn load(&self, upstream: &str) -> Entry {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(upstream).cloned().unwrap_or_default()
    }

    pub(super) fn save(&self, upstream: &str, entry: Entry) -> Result<(), StoreError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stored) = entries.get(upstream) {
            stored.check_newer(&entry)?;
        }
        entries.insert(upstream.to_owned(), entry);
        Ok(())
    }
}
