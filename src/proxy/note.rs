//! What is noted of a rejection: that there was one, and what became of it.

use tracing::debug;

use super::Rejected;
use super::retry::{Retry, Skip};
use super::route::{Route, Settings};

impl Route {
    pub(super) fn note_rejection(&self, rejected: &Rejected) {
        let settings = &self.settings;
        if let Some(counter) = settings.metrics.rejections.get(rejected.rule.place()) {
            counter.inc();
        }
        debug!(upstream = settings.name, rule = settings.rules.get(rejected.rule).name(),
            verdict = ?rejected.verdict, "the vendor rejected a request");
    }
}

impl Settings {
    pub(super) fn note_retry(&self, retry: Retry) {
        debug!(upstream = self.name, retry = retry.as_str(), "what became of a rejected request");
        let metrics = &self.metrics;
        match retry {
            Retry::Recovered => metrics.recovered.inc(),
            Retry::RejectedAgain => metrics.rejected_again.inc(),
            Retry::Skipped(Skip::NoToken | Skip::NoAnswer) => metrics.failed.inc(),
            Retry::Skipped(_) => metrics.skipped.inc(),
        }
    }
}
