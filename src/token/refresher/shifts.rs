//! Time that nobody can set: how long the token lives yet, and what to do after a sleep of the machine
//! or a jump of the wall clock.

use std::time::Duration;

use crate::backoff;
use crate::clock::watch::Shift;
use crate::clock::{self, BootTime};

use super::super::page::{Page, Rest};
use super::super::provider::TokenEndpoint;
use super::super::store::Pages;
use super::Refresher;

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    /// Of the token that was published last.
    pub(super) fn rest(&self) -> Option<Rest> {
        self.published.map(|(life, over_at)| Rest { life, left: over_at.left() })
    }

    /// How long a page's token lives yet. What the wall clock said when it came is remembered.
    pub(super) fn left(&self, page: &Page) -> Duration {
        match self.rest() {
            Some(rest) if page.life == Some(rest.life) => rest.left,
            _ => page.left(clock::wall()),
        }
    }

    pub(super) fn is_living(&self, page: &Page) -> bool {
        page.tokens.access.is_some() && self.left(page) > Duration::ZERO
    }

    /// What is due is renewed, unless it has come due in a sleep that ends just now.
    pub(super) async fn renew_when_due(&mut self) {
        match self.clocks.look() {
            Some(shift) => self.shifted(shift).await,
            None => {
                let _ = self.renew(self.renew_reason, self.generation()).await;
            }
        }
    }

    /// After a sleep everything is due at once, for everybody, and the network is hardly back: what
    /// others have written is read first, and renewals are spread. Who has a request does not wait.
    /// After a jump of the wall clock living tokens live on, but what is closed until a wall time may
    /// be open.
    pub(super) async fn shifted(&mut self, shift: Shift) {
        let now = BootTime::now();
        let spread = backoff::pause(1, LONGEST_SPREAD, LONGEST_SPREAD, fastrand::f64());
        if !shift.asleep.is_zero() {
            let left = self.known.as_ref().map_or(Duration::ZERO, |page| self.left(page));
            let spread = if left.is_zero() { spread } else { spread.min(left / 2) };
            self.renew_at = self.renew_at.max(now + spread);
            self.follow().await;
        }
        if shift.set.is_some() && self.failure.take().is_some() {
            self.renew_at = self.renew_at.min(now + spread);
        }
        self.report(None);
    }
}

/// Completes at that time, if there is one.
pub(super) async fn reached(time: Option<BootTime>) {
    match time {
        Some(time) => time.reached().await,
        None => std::future::pending().await,
    }
}

/// Over how long the renewals are spread that come due in a sleep.
const LONGEST_SPREAD: Duration = Duration::from_secs(10);
