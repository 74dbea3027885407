//! Letting what has begun come to its end, within a bound.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Told to everything that accepts or serves: first "whoever is answered shall come by another
/// connection", then "stop taking more", and, when the grace is over, "end now".
#[derive(Clone, Debug, Default)]
pub struct Drain {
    part: CancellationToken,
    stop: CancellationToken,
    end: CancellationToken,
    tracker: TaskTracker,
}

/// Held by what must be waited for.
#[derive(Debug)]
pub struct Hold {
    _token: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl Drain {
    /// Keeps a drain open until dropped.
    pub fn hold(&self) -> Hold {
        Hold { _token: self.tracker.token() }
    }

    /// From now on each answer is the last one of its connection; others are still taken.
    pub fn part(&self) {
        self.part.cancel();
    }

    /// Completes when connections shall have no more than one answer.
    pub async fn parting(&self) {
        self.part.cancelled().await;
    }

    /// Completes when nothing new may begin.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Completes when what is left must end at once.
    pub async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Ends at once, without waiting for anything.
    pub fn end_now(&self) {
        self.part.cancel();
        self.stop.cancel();
        self.end.cancel();
    }

    /// Stops, waits for every [`Hold`] up to `grace`, then ends what is left. Returns how many
    /// were left.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.part.cancel();
        self.stop.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(grace, self.tracker.wait()).await;
        let left = self.tracker.len();
        self.end.cancel();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn p29_a_drain_waits_for_its_holds_and_no_longer_than_its_grace() {
        let drain = Drain::default();
        let hold = drain.hold();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.drain(Duration::from_secs(20)).await }
        });
        drain.stopped().await;
        assert!(!waiting.is_finished());
        drop(hold);
        assert_eq!(waiting.await.expect("the drain ends"), 0);

        let drain = Drain::default();
        let _hold = drain.hold();
        assert_eq!(drain.drain(Duration::from_secs(20)).await, 1);
        drain.ended().await;
    }
}
