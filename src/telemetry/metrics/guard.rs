//! What the guard keeps from the vendor.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts};

#[derive(Debug)]
pub(super) struct GuardMetrics {
    refusals: IntCounterVec,
    emulated: IntCounterVec,
}

impl GuardMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let refusals =
            Opts::new("tokenward_guard_refusals_total", "Requests refused before anything left.");
        let emulated = Opts::new(
            "tokenward_token_endpoint_emulated_total",
            "Token calls of callers that were answered in the vendor's place.",
        );
        Ok(Self {
            refusals: IntCounterVec::new(refusals, &["reason"])?,
            emulated: IntCounterVec::new(emulated, &["upstream"])?,
        })
    }

    pub(super) fn families(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.refusals.clone()), Box::new(self.emulated.clone())]
    }

    pub(super) fn refusals(&self, reason: &str) -> IntCounter {
        self.refusals.with_label_values(&[reason])
    }

    pub(super) fn emulated(&self, upstream: &str) -> IntCounter {
        self.emulated.with_label_values(&[upstream])
    }
}
