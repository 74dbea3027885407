//! What has been counted of an upstream so far, as three numbers: for a page that people read.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::{LabelPair, Metric};

use super::Metrics;

/// Since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Answered, by whomever.
    pub requests: u64,
    /// Answered with 5xx, by the upstream or by the gateway.
    pub failures: u64,
    /// Answers of the upstream that a rule took for a rejection of the token.
    pub rejections: u64,
}

impl Metrics {
    /// By the upstream's name. It goes through all members of two families: once a minute, or once a
    /// second while somebody looks.
    pub fn totals(&self) -> BTreeMap<String, Totals> {
        let mut totals = BTreeMap::<String, Totals>::new();
        for (metric, upstream) in members(&self.workers.requests) {
            let count = value(&metric);
            let of = totals.entry(upstream).or_default();
            of.requests += count;
            if label(&metric, "status").starts_with('5') {
                of.failures += count;
            }
        }
        for (metric, upstream) in members(&self.rejections) {
            totals.entry(upstream).or_default().rejections += value(&metric);
        }
        totals
    }
}

impl Totals {
    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failures: self.failures.saturating_sub(earlier.failures),
            rejections: self.rejections.saturating_sub(earlier.rejections),
        }
    }
}

fn members(family: &impl Collector) -> impl Iterator<Item = (Metric, String)> {
    let metrics = family.collect().into_iter().flat_map(|mut family| family.take_metric());
    metrics.map(|metric| {
        let upstream = label(&metric, "upstream").to_owned();
        (metric, upstream)
    })
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    let found = metric.get_label().iter().find(|label| label.name() == name);
    found.map_or("", LabelPair::value)
}

/// Counters of whole numbers are told as floating ones.
fn value(metric: &Metric) -> u64 {
    metric.get_counter().get_value() as u64
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;

    #[test]
    fn p31_the_totals_are_sums_over_workers_methods_statuses_and_rules() {
        let metrics = Metrics::new("0", "0").expect("metrics");
        for worker in 0..3 {
            let of = metrics.of_worker("a", worker);
            of.requests.answered(&Method::GET, StatusCode::OK);
            of.requests.answered(&Method::POST, StatusCode::BAD_GATEWAY);
            of.requests.of_unknown_method(StatusCode::BAD_REQUEST);
        }
        let rules = metrics.requests_of("a", ["one", "two"]);
        rules.rejections[0].inc_by(2);
        rules.rejections[1].inc();
        metrics.requests_of("b", ["one"]).rejections[0].inc_by(7);

        let totals = metrics.totals();
        assert_eq!(totals["a"], Totals { requests: 9, failures: 3, rejections: 3 });
        assert_eq!(totals["b"], Totals { rejections: 7, ..Totals::default() });
        let later = Totals { requests: 10, failures: 3, rejections: 4 };
        let since = Totals { requests: 1, failures: 0, rejections: 1 };
        assert_eq!(later.since(totals["a"]), since);
    }
}
