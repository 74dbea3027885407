//! The last hour of every upstream, minute by minute, for the plots of the page. It is read off the
//! counters once a minute; requests know nothing of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::telemetry::metrics::{Metrics, Totals};

/// Minutes that are over, by the upstream's name.
#[derive(Debug, Default)]
pub struct History(Mutex<BTreeMap<String, Ring>>);

/// One upstream's.
#[derive(Debug, Default)]
struct Ring {
    /// What had been counted when the last minute ended.
    before: Totals,
    /// What was counted in each, the latest at the back.
    minutes: VecDeque<Totals>,
}

// === impl History ===

impl History {
    /// Ends a minute whenever one is over.
    pub(super) async fn keep(&self, metrics: &Metrics) {
        let mut minutes = interval_at(Instant::now() + MINUTE, MINUTE);
        // A runtime that was held up has lost a minute, and does not make up two of one.
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minutes.tick().await;
            self.end_minute(&metrics.totals());
        }
    }

    /// The minutes that are over and the one that runs, which is the last.
    pub(super) fn of(&self, upstream: &str, now: Totals) -> Vec<Totals> {
        match self.rings().get(upstream) {
            Some(ring) => ring.minutes.iter().copied().chain([now.since(ring.before)]).collect(),
            None => vec![now],
        }
    }

    fn end_minute(&self, now: &BTreeMap<String, Totals>) {
        let mut rings = self.rings();
        for (upstream, totals) in now {
            match rings.get_mut(upstream) {
                Some(ring) => ring.end_minute(*totals),
                None => rings.entry(upstream.clone()).or_default().end_minute(*totals),
            }
        }
    }

    fn rings(&self) -> MutexGuard<'_, BTreeMap<String, Ring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Ring ===

impl Ring {
    fn end_minute(&mut self, now: Totals) {
        if self.minutes.len() == MINUTES {
            self.minutes.pop_front();
        }
        self.minutes.push_back(now.since(self.before));
        self.before = now;
    }
}

/// What is kept of an upstream.
pub(super) const MINUTES: usize = 60;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};
    use tokio::time::{advance, sleep};

    use super::*;

    fn requests(number: u64) -> Totals {
        Totals { requests: number, ..Totals::default() }
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = History::default();
        for minute in 1..=100 {
            // In the nth minute there are n requests.
            history.end_minute(&[("a".to_owned(), requests(minute * (minute + 1) / 2))].into());
        }
        let shown = history.of("a", requests(5050 + 7));
        assert_eq!(shown.len(), MINUTES + 1);
        assert_eq!((shown[0], shown[59], shown[60]), (requests(41), requests(100), requests(7)));
        assert_eq!(history.of("unheard", requests(3)), [requests(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_ends_when_it_is_over() {
        let metrics = Metrics::new("0", "0").expect("metrics");
        let worker = metrics.of_worker("a", 0);
        let history = Arc::new(History::default());
        let keeper = tokio::spawn({
            let (history, metrics) = (history.clone(), metrics.clone());
            async move { history.keep(&metrics).await }
        });
        let shown = || history.of("a", metrics.totals().remove("a").unwrap_or_default());
        worker.requests.answered(&Method::GET, StatusCode::OK);
        sleep(Duration::from_secs(59)).await;
        assert_eq!(shown(), [requests(1)]);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(shown(), [requests(1), requests(0)]);
        worker.requests.answered(&Method::GET, StatusCode::OK);
        worker.requests.answered(&Method::GET, StatusCode::OK);
        assert_eq!(shown(), [requests(1), requests(2)]);
        sleep(Duration::from_secs(120)).await;
        assert_eq!(shown(), [requests(1), requests(2), requests(0), requests(0)]);
        // A runtime that stands still for ten minutes has one long minute.
        advance(Duration::from_secs(600)).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(shown().len(), 5);
        keeper.abort();
    }
}
