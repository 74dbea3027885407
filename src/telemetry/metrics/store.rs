//! How the token store answers.

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGauge, Opts};

/// The handles of the process' store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    up: IntGauge,
    operations: IntCounterVec,
}

impl StoreMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let up = IntGauge::new(
            "tokenward_store_up",
            "Whether the token store can be read and written, as last heard.",
        )?;
        // Nothing has failed yet.
        up.set(1);
        let operations =
            Opts::new("tokenward_store_operations_total", "Reads and writes of the token store.");
        let operations = IntCounterVec::new(operations, &["operation", "outcome"])?;
        Ok(Self { up, operations })
    }

    pub(super) fn families(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.up.clone()), Box::new(self.operations.clone())]
    }

    pub fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }

    /// `operation` is `read` or `write`; `outcome` is `ok`, `stale`, `unreadable` or `failed`.
    pub fn done(&self, operation: &'static str, outcome: &'static str) {
        self.operations.with_label_values(&[operation, outcome]).inc();
    }
}

/// Handles that nobody scrapes, for commands and tests.
impl Default for StoreMetrics {
    fn default() -> Self {
        Self::new().expect("the names are proper and each is used once")
    }
}
