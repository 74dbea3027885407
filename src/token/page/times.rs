//! The times in a page: how long its token lives yet, and which of them cannot be right.

use std::time::{Duration, SystemTime};

use crate::clock;

use super::super::budget::Limits;
use super::{Life, Page};

/// How long a token of this life lives yet, by a clock of this process' own that nobody sets and that
/// runs on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    pub life: Life,
    pub left: Duration,
}

impl Page {
    pub fn is_living(&self, now: SystemTime) -> bool {
        self.tokens.access.is_some() && self.left(now) > Duration::ZERO
    }

    /// How long the access token lives yet: never longer than its whole life, whatever the clock
    /// says, so that one that was set back does not keep a dead token.
    pub fn left(&self, now: SystemTime) -> Duration {
        self.life.map_or(Duration::ZERO, |life| life.left(now))
    }

    /// The page without times that only a wrong clock can have seen, if it has any: what they close
    /// would stay closed until the clock is there. Clocks of replicas may differ a little.
    pub fn corrected(&self, limits: &Limits, now: SystemTime) -> Option<Page> {
        let limit = now + LARGEST_SKEW;
        let mut page = self.clone();
        page.ledger = limits.corrected(&self.ledger, now, limit);
        for refusal in page.refusals.iter_mut().filter(|refusal| refusal.at > limit) {
            refusal.at = clock::whole_millis(now);
        }
        (page != *self).then_some(page)
    }
}

// === impl Life ===

impl Life {
    pub fn whole(&self) -> Duration {
        self.expires_at.duration_since(self.obtained_at).unwrap_or_default()
    }

    /// How long the refresh token was to live from when it was obtained, where that is known.
    pub fn refresh_life(&self) -> Option<Duration> {
        self.refresh_expires_at.and_then(|end| end.duration_since(self.obtained_at).ok())
    }

    pub fn left(&self, now: SystemTime) -> Duration {
        self.expires_at.duration_since(now).unwrap_or_default().min(self.whole())
    }
}

/// By how much the clocks of replicas differ, at the most, that count as right.
const LARGEST_SKEW: Duration = Duration::from_secs(60);
