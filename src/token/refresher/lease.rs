//! Whether somebody else's lease still lives, judged by this process' own clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::BootTime;

use super::super::page::{Lease, Page};

/// Remembers since when a lease has stood still, in time awake: a holder that has slept with this
/// process, on one machine, gets its time to give a sign of life.
#[derive(Debug)]
pub(super) struct LeaseWatch {
    lasts: Duration,
    seen: Option<(Lease, Instant)>,
}

impl LeaseWatch {
    pub(super) fn new(lasts: Duration) -> Self {
        Self { lasts, seen: None }
    }

    /// Looks at a page that has just been read. Returns whether its lease is over: it has not moved
    /// for as long as a lease lasts.
    pub(super) fn observe(&mut self, page: &Page) -> bool {
        let now = Instant::now();
        let Some(lease) = &page.lease else {
            self.seen = None;
            return false;
        };
        match &self.seen {
            Some((seen, since)) if seen == lease => now - *since >= self.lasts,
            _ => {
                self.seen = Some((lease.clone(), now));
                false
            }
        }
    }

    /// Whether a lease that its holder has asked for at this time may be somebody else's by now, though
    /// nobody has said so: the machine may have slept. Nothing is presented under it then.
    pub(super) fn may_be_lost(&self, asked_at: BootTime) -> bool {
        BootTime::now().since(asked_at) > self.lasts / 2
    }

    /// How often a holder shows that it lives.
    pub(super) fn beat(&self) -> Duration {
        self.lasts / 3
    }

    /// How often somebody looks who waits for the lease.
    pub(super) fn look(&self) -> Duration {
        self.lasts / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::hand;

    #[tokio::test(start_paused = true)]
    async fn p17_an_observer_that_slept_gives_the_holder_time_to_show_that_it_lives() {
        hand::begin(std::time::SystemTime::now());
        let lasts = Duration::from_secs(10);
        let page = Page::default().taken("holder", None, std::time::SystemTime::now());
        let mut watch = LeaseWatch::new(lasts);
        assert!(!watch.observe(&page));
        hand::sleep(lasts * 100);
        assert!(!watch.observe(&page), "the holder may have slept with us");
        tokio::time::advance(lasts / 2).await;
        let page = page.beaten("holder").expect("the holder's page");
        assert!(!watch.observe(&page));
        tokio::time::advance(lasts - Duration::from_millis(1)).await;
        assert!(!watch.observe(&page));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(watch.observe(&page), "it gave no sign of life");
    }

    #[tokio::test(start_paused = true)]
    async fn p17_a_lease_that_is_taken_up_again_does_not_seem_to_be_over() {
        let mut watch = LeaseWatch::new(Duration::from_secs(10));
        let left_over = Page::default().taken("one", None, crate::clock::wall());
        assert!(!watch.observe(&left_over));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(watch.observe(&left_over), "nobody has moved it");
        let again = left_over.taken("one", None, crate::clock::wall());
        assert_eq!(again.fence, left_over.fence);
        assert!(!watch.observe(&again), "its holder calls");
    }
}
