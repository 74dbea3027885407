//! Time since the machine was started: it runs on while the machine sleeps, and nobody can set it.

use std::ops::Add;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A point in that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

// === impl BootTime ===

impl BootTime {
    #[cfg(not(test))]
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(CLOCK);
        Self(Duration::try_from(now).unwrap_or_default())
    }

    /// In unit tests it runs with tokio's clock, and on when that is made to sleep.
    #[cfg(test)]
    pub fn now() -> Self {
        Self(super::hand::since_boot())
    }

    /// How long from `earlier` to this; zero when that is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// How long until then; zero when it is past.
    pub fn left(self) -> Duration {
        self.since(Self::now())
    }

    pub fn has_passed(self) -> bool {
        self <= Self::now()
    }

    /// Completes then. Timers stand still while the machine sleeps, so this looks now and then
    /// whether it has slept: it is late by two seconds at the most.
    pub async fn reached(self) {
        loop {
            match self.left() {
                Duration::ZERO => return,
                left => sleep_until(Instant::now() + left.min(longest_nap())).await,
            }
        }
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

#[cfg(not(test))]
pub(super) fn longest_nap() -> Duration {
    LONGEST_NAP
}

/// A simulation of days need not wake up every other second where nothing ever sleeps.
#[cfg(test)]
pub(super) fn longest_nap() -> Duration {
    super::hand::longest_nap()
}

#[cfg(all(not(test), any(target_os = "linux", target_os = "android")))]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
/// Elsewhere the monotonic clock runs on.
#[cfg(all(not(test), not(any(target_os = "linux", target_os = "android"))))]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
/// How late a sleep of the machine may be noticed.
pub(super) const LONGEST_NAP: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::super::hand;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn p12_what_is_due_in_a_sleep_comes_soon_after_it() {
        hand::begin(std::time::SystemTime::now());
        let began = (BootTime::now(), Instant::now());
        let due = began.0 + Duration::from_secs(3600);
        let waiting = tokio::spawn(due.reached());
        tokio::task::yield_now().await;
        hand::sleep(Duration::from_secs(7200));
        waiting.await.expect("no panic");
        assert!(began.1.elapsed() <= LONGEST_NAP, "{:?}", began.1.elapsed());
        assert!(due.has_passed() && due.left().is_zero());
        assert!(BootTime::now().since(began.0) >= Duration::from_secs(7200));
    }
}
