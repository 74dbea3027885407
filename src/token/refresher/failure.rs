//! A renewal's failure, and whom it concerns.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::BootTime;

use super::super::renewal::Setback;
use super::super::{NoToken, Outcome, Reason};
use super::demand::Demand;

/// The last renewal's failure, shared by all who waited for it and all who come before `until`.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: NoToken,
    at: Instant,
    pub(super) until: BootTime,
    /// The schedule's part of the budget is spent; there is a reserve for others.
    only_schedule: bool,
    pub(super) needs_a_person: bool,
}

impl Failure {
    /// `by_itself`: nobody has asked for the renewal.
    pub(super) fn new(setback: &Setback, by_itself: bool, wait: Duration) -> Self {
        let error = NoToken {
            kind: setback.kind(),
            detail: setback.detail.as_str().into(),
            retry_after: wait,
        };
        Self {
            error,
            at: Instant::now(),
            until: BootTime::now() + wait,
            only_schedule: by_itself && setback.outcome == Outcome::Budget,
            needs_a_person: setback.needs_a_person,
        }
    }

    /// The vendor calls a token dead and hands out the same one again.
    pub(super) fn same_again(wait: Duration) -> Self {
        Self::new(&Setback::same(), false, wait)
    }

    /// What somebody is told who waited for this failure, or has come before the next try.
    pub(super) fn shared_with(&self, demand: &Demand) -> Option<NoToken> {
        let waited_for_it = self.at >= demand.asked_at;
        let concerned = demand.reason != Reason::Manual && !self.only_schedule;
        let shared = concerned && (waited_for_it || !self.until.has_passed());
        shared.then(|| NoToken { retry_after: self.until.left(), ..self.error.clone() })
    }
}
