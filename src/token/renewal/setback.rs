//! Why a renewal brought nothing, and how long everybody leaves it at that.

use std::time::{Duration, SystemTime};

use crate::backoff;
use crate::clock;

use super::super::budget::Spent;
use super::super::page::{Failure, Page};
use super::super::wire::Denied;
use super::super::{NoTokenKind, Outcome, Reason};
use super::{Renewal, Rules};

/// A renewal that brought nothing. No credential is lost by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub struct Setback {
    pub outcome: Outcome,
    pub detail: String,
    /// When to try again, where that is known.
    pub wait: Option<Duration>,
    /// Trying again will not help.
    pub needs_a_person: bool,
    /// Nobody has tried: it is the failure of an earlier renewal.
    pub shared: bool,
}

/// A call that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Trouble {
    pub(super) cost: Cost,
    /// Of the lease under which it was made.
    pub(super) fence: u64,
}

/// What a failed call has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) enum Cost {
    /// It was never made.
    None,
    /// One of the day's calls.
    Booked,
}

// === impl Setback ===

impl Setback {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { outcome, detail, wait: None, needs_a_person: false, shared: false }
    }

    pub(super) fn of_store(error: String) -> Self {
        Self::new(Outcome::Store, error)
    }

    pub(super) fn impatient() -> Self {
        let detail = "another replica refreshes, and has not come to an end";
        Self { wait: Some(SHORT), ..Self::new(Outcome::Waiting, detail) }
    }

    pub(super) fn too_soon(wait: Duration) -> Self {
        let detail = "the vendor wants more time between two calls";
        Self { wait: Some(wait), ..Self::new(Outcome::Budget, detail) }
    }

    pub(in super::super) fn same() -> Self {
        let detail = "the vendor called the token dead, and handed out the same one again";
        Self::new(Outcome::Same, detail)
    }

    /// A token came, and cannot be used.
    pub(in super::super) fn malformed(detail: &str) -> Self {
        Self::new(Outcome::Malformed, detail)
    }

    /// What a person must do.
    pub(super) fn plea(detail: String, wait: Option<Duration>) -> Self {
        Self { wait, needs_a_person: true, ..Self::new(Outcome::Refused, detail) }
    }

    pub fn kind(&self) -> NoTokenKind {
        match self.outcome {
            Outcome::Budget => NoTokenKind::Budget,
            Outcome::Waiting => NoTokenKind::Slow,
            _ => NoTokenKind::Unavailable,
        }
    }
}

impl From<Denied> for Setback {
    fn from(denied: Denied) -> Self {
        let outcome = match denied {
            Denied::Refused(_) => Outcome::Refused,
            Denied::Unreachable(_) | Denied::NotSent(_) => Outcome::Unreachable,
            Denied::Malformed(_) => Outcome::Malformed,
        };
        Self::new(outcome, denied.to_string())
    }
}

impl From<Spent> for Setback {
    fn from(spent: Spent) -> Self {
        Self { wait: Some(spent.opens_in()), ..Self::new(Outcome::Budget, spent.to_string()) }
    }
}

// === impl Renewal ===

impl Renewal {
    /// The failure of an earlier renewal, here or in another replica, that this one would only
    /// repeat.
    pub(super) fn shared_failure(
        &self,
        rules: &Rules,
        page: &Page,
        now: SystemTime,
    ) -> Option<Setback> {
        let failure = page.failure.as_ref()?;
        let left = failure.until.duration_since(now).ok().filter(|left| !left.is_zero())?;
        let concerns = match self.task.reason {
            Reason::Manual => false,
            _ if self.task.first => false,
            Reason::Rejected => true,
            _ => failure.outcome != Outcome::Same,
        };
        // A clock that differs by more than any pause is not believed. New credentials are tried.
        let believed = left <= longest_pause(rules);
        let own = !self.tried.is_empty() || self.minted;
        if !concerns || !believed || own || self.has_news(rules, page) {
            return None;
        }
        Some(Setback {
            wait: Some(left),
            needs_a_person: failure.needs_a_person,
            shared: true,
            ..Setback::new(failure.outcome, failure.detail.clone())
        })
    }

    /// How this setback is told to the others. Pauses grow with every failure in a row.
    pub(super) fn failure(
        &self,
        rules: &Rules,
        setback: &Setback,
        cost: Cost,
        page: &Page,
        now: SystemTime,
    ) -> Failure {
        let times = page.failure.as_ref().map_or(0, |failure| failure.times).saturating_add(1);
        // Tries that spend nothing need not be spread over the day, which may turn meanwhile.
        let per_day = if cost == Cost::None { 0 } else { rules.limits.per_day };
        // What the vendor has refused is not presented to it for ever at the same pace.
        let least = if setback.needs_a_person { LONGEST_PLEA } else { LONGEST_RETRY };
        let ceiling = retry_ceiling(per_day).max(least);
        let chance = f64::from(self.task.chance) / f64::from(u16::MAX);
        let pause = backoff::pause(times, FIRST_RETRY, ceiling, chance);
        Failure {
            outcome: setback.outcome,
            detail: setback.detail.clone(),
            until: clock::whole_millis(now + setback.wait.unwrap_or(pause)),
            times,
            needs_a_person: setback.needs_a_person,
        }
    }
}

fn longest_pause(rules: &Rules) -> Duration {
    retry_ceiling(rules.limits.per_day).max(LONGEST_PLEA)
}

/// The longest wait between tries. With a daily cap, an outage of a whole day must not spend it:
/// full jitter halves the mean wait, hence twice the even spacing.
fn retry_ceiling(per_day: u32) -> Duration {
    match per_day {
        0 => LONGEST_RETRY,
        cap => LONGEST_RETRY.max(2 * DAY / cap),
    }
}

const SHORT: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Between tries of what only a person can mend; the vendor may have erred, too.
const LONGEST_PLEA: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);
