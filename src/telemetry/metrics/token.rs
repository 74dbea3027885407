//! The life of one upstream's token.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// One upstream's handles for its token's life.
#[derive(Debug)]
pub struct TokenMetrics {
    pub(super) upstream: String,
    pub(super) refreshes: IntCounterVec,
    pub duration: Histogram,
    pub generation: IntGauge,
    pub expiry: IntGauge,
    pub ready: IntGauge,
    pub needs_person: IntGauge,
    pub last_success: IntGauge,
    pub early_deaths: IntCounter,
    pub lock_wait: Gauge,
    pub(super) budget_remaining: OnceLock<IntGauge>,
    pub(super) budget_family: IntGaugeVec,
}

impl TokenMetrics {
    /// An upstream without a cap has no such gauge: 0 would be an alarm.
    pub fn budget_left(&self, left: u32) {
        let gauge = self
            .budget_remaining
            .get_or_init(|| self.budget_family.with_label_values(&[self.upstream.as_str()]));
        gauge.set(i64::from(left));
    }

    pub fn refreshed(&self, reason: &str, outcome: &str, took: Duration) {
        self.refreshes.with_label_values(&[self.upstream.as_str(), reason, outcome]).inc();
        // Nothing was tried, so nothing took time.
        if outcome != "budget" && outcome != "store" {
            self.duration.observe(took.as_secs_f64());
        }
    }

    /// A token that another process has had was taken over.
    pub fn adopted(&self, reason: &str, outcome: &str) {
        self.refreshes.with_label_values(&[self.upstream.as_str(), reason, outcome]).inc();
    }
}
