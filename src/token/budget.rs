//! What may be spent at a vendor's token endpoint: in a natural day, and in a minute.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::{self, rfc3339};

use super::Reason;

/// The caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in the vendor's natural day; 0: no cap.
    pub per_day: u32,
    /// The offset from UTC, in seconds, at which that day begins.
    pub day_offset: i32,
    /// Calls that rejections may cause in a minute.
    pub per_minute: u32,
}

/// What was spent. It is part of the page, so that a restart does not forget it and replicas share
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
#[serde(default)]
pub struct Ledger {
    /// The day, counted from 1970 in the vendor's time zone.
    pub day: i64,
    pub used: u32,
    /// When rejections caused calls, within the last minute.
    #[serde(with = "rfc3339::list", skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<SystemTime>,
    /// When the vendor was last called.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub last_call: Option<SystemTime>,
}

/// What is left of the day's cap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remaining {
    pub used: u32,
    /// 0: no cap.
    pub limit: u32,
    pub resets_at: Option<SystemTime>,
}

/// Nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Spent {
    #[error("the vendor's cap of {limit} refreshes a day is spent")]
    Day { limit: u32, opens_in: Duration },
    #[error("rejections have caused {limit} refreshes within a minute, the most that are allowed")]
    Minute { limit: u32, opens_in: Duration },
}

// === impl Limits ===

impl Limits {
    /// Whether a call for this reason may be made now.
    ///
    /// # Errors
    /// Which cap is spent, and when it opens again.
    pub fn check(&self, ledger: &Ledger, reason: Reason, now: SystemTime) -> Result<(), Spent> {
        let ledger = self.turned(ledger, now);
        let limit = self.per_day;
        if limit > 0 && ledger.used >= self.open_to(reason) {
            return Err(Spent::Day { limit, opens_in: since(self.end_of(ledger.day), now) });
        }
        match ledger.rejections.first() {
            Some(oldest)
                if reason == Reason::Rejected
                    && ledger.rejections.len() >= self.per_minute as usize =>
            {
                let opens_in = since(*oldest + MINUTE, now);
                Err(Spent::Minute { limit: self.per_minute, opens_in })
            }
            _ => Ok(()),
        }
    }

    /// The ledger with one call more.
    #[must_use]
    pub fn spend(&self, ledger: &Ledger, reason: Reason, now: SystemTime) -> Ledger {
        let mut ledger = self.turned(ledger, now);
        ledger.used = ledger.used.saturating_add(1);
        ledger.last_call = Some(clock::whole_millis(now));
        if reason == Reason::Rejected {
            ledger.rejections.push(clock::whole_millis(now));
        }
        ledger
    }

    pub fn remaining(&self, ledger: &Ledger, now: SystemTime) -> Remaining {
        let ledger = self.turned(ledger, now);
        let resets_at = (self.per_day > 0).then(|| self.end_of(ledger.day));
        Remaining { used: ledger.used, limit: self.per_day, resets_at }
    }

    /// How many of the day's calls this reason may use: what need not be now leaves a tenth for
    /// rejections.
    fn open_to(&self, reason: Reason) -> u32 {
        let limit = self.per_day;
        match reason {
            Reason::Schedule | Reason::KeepAlive if limit > 1 => limit - (limit / 10).max(1),
            _ => limit,
        }
    }

    /// The ledger as it reads at this time. A new day begins a new page. A clock that was set back
    /// does not: what was spent stays spent, but not until a day that only a wrong clock has seen.
    fn turned(&self, ledger: &Ledger, now: SystemTime) -> Ledger {
        let mut ledger = ledger.clone();
        let today = self.day_of(now);
        if today > ledger.day {
            (ledger.day, ledger.used) = (today, 0);
        } else if today.saturating_add(1) < ledger.day {
            ledger.day = today;
        }
        // What another replica's clock, or a wrong one, puts into the future happened now.
        for at in &mut ledger.rejections {
            *at = (*at).min(now);
        }
        ledger.rejections.retain(|at| since(now, *at) < MINUTE);
        ledger
    }

    /// The ledger without times that only a wrong clock can have seen. What was spent stays spent.
    pub(super) fn corrected(&self, ledger: &Ledger, now: SystemTime, limit: SystemTime) -> Ledger {
        let mut ledger = ledger.clone();
        let today = self.day_of(now);
        if today.saturating_add(1) < ledger.day {
            ledger.day = today;
        }
        let wrong = ledger.rejections.iter_mut().chain(&mut ledger.last_call);
        wrong.filter(|at| **at > limit).for_each(|at| *at = clock::whole_millis(now));
        ledger
    }

    fn day_of(&self, time: SystemTime) -> i64 {
        let seconds = i64::try_from(clock::unix_seconds(time)).unwrap_or(i64::MAX);
        seconds.saturating_add(i64::from(self.day_offset)).div_euclid(DAY_SECONDS)
    }

    fn end_of(&self, day: i64) -> SystemTime {
        let end = (day + 1) * DAY_SECONDS - i64::from(self.day_offset);
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(end).unwrap_or(0))
    }
}

// === impl Ledger ===

impl Ledger {
    /// Of two, the one that knows of more.
    #[must_use]
    pub fn later(self, other: Ledger) -> Ledger {
        let (one, two) = ((self.day, self.used), (other.day, other.used));
        let last_call = self.last_call.max(other.last_call);
        let more = if one >= two { self } else { other };
        Ledger { last_call, ..more }
    }

    /// The ledger without its last call, which was never made.
    #[must_use]
    pub fn refunded(&self, reason: Reason) -> Ledger {
        let mut ledger = self.clone();
        ledger.used = ledger.used.saturating_sub(1);
        if reason == Reason::Rejected {
            ledger.rejections.pop();
        }
        ledger
    }
}

fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

// === impl Remaining ===

impl Remaining {
    /// Calls left today; `None` without a cap.
    pub fn left(&self) -> Option<u32> {
        (self.limit > 0).then(|| self.limit.saturating_sub(self.used))
    }
}

// === impl Spent ===

impl Spent {
    pub fn opens_in(&self) -> Duration {
        match self {
            Self::Day { opens_in, .. } | Self::Minute { opens_in, .. } => *opens_in,
        }
    }
}

const DAY_SECONDS: i64 = 86_400;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const CHINA: i32 = 8 * 3600;

    fn limits(per_day: u32, per_minute: u32) -> Limits {
        Limits { per_day, day_offset: CHINA, per_minute }
    }

    fn noon() -> SystemTime {
        humantime::parse_rfc3339("2026-11-21T04:00:00Z").expect("a time")
    }

    #[test]
    fn p16_the_cap_holds_for_a_natural_day_and_opens_with_the_next() {
        let limits = limits(10, 100);
        let mut ledger = Ledger::default();
        for _ in 0..10 {
            limits.check(&ledger, Reason::Rejected, noon()).expect("within the cap");
            ledger = limits.spend(&ledger, Reason::Rejected, noon());
        }
        let spent = limits.check(&ledger, Reason::Manual, noon()).expect_err("the cap is spent");
        assert_eq!(spent.opens_in(), Duration::from_secs(12 * 3600));
        let next = noon() + spent.opens_in();
        limits.check(&ledger, Reason::Manual, next).expect("a new day");
        assert_eq!(limits.remaining(&ledger, next).left(), Some(10));
    }

    #[test]
    fn p16_the_schedule_leaves_a_reserve_for_rejections() {
        for (per_day, open) in [(300, 270), (9, 8), (2, 1), (1, 1)] {
            let limits = limits(per_day, 100);
            let (mut ledger, mut scheduled) = (Ledger::default(), 0);
            while limits.check(&ledger, Reason::Schedule, noon()).is_ok() {
                ledger = limits.spend(&ledger, Reason::Schedule, noon());
                scheduled += 1;
            }
            assert_eq!(scheduled, open, "of {per_day}");
            let reserve = limits.check(&ledger, Reason::Rejected, noon()).is_ok();
            assert_eq!(reserve, per_day > 1, "of {per_day}");
        }
    }

    #[test]
    fn p16_a_clock_set_back_forgives_nothing() {
        let limits = limits(2, 100);
        let mut ledger = Ledger::default();
        for _ in 0..2 {
            ledger = limits.spend(&ledger, Reason::Start, noon());
        }
        let yesterday = noon() - Duration::from_secs(86_400);
        assert!(matches!(
            limits.check(&ledger, Reason::Start, yesterday),
            Err(Spent::Day { limit: 2, .. })
        ));
    }

    #[test]
    fn p16_a_clock_that_was_years_ahead_closes_the_budget_for_a_day_at_most() {
        let ahead = Ledger { day: i64::MAX, used: 2, ..Ledger::default() };
        let spent = limits(2, 100).check(&ahead, Reason::Start, noon());
        let spent = spent.expect_err("what was spent stays spent");
        assert!(spent.opens_in() <= Duration::from_secs(86_400), "{spent:?}");
    }

    #[test]
    fn p16_rejections_spend_no_more_than_so_many_a_minute() {
        let limits = limits(0, 3);
        let mut ledger = Ledger::default();
        for second in 0..3 {
            let now = noon() + Duration::from_secs(second);
            limits.check(&ledger, Reason::Rejected, now).expect("within the minute's cap");
            ledger = limits.spend(&ledger, Reason::Rejected, now);
        }
        let now = noon() + Duration::from_secs(3);
        let spent = limits.check(&ledger, Reason::Rejected, now).expect_err("three are spent");
        assert_eq!(spent.opens_in(), Duration::from_secs(57));
        limits.check(&ledger, Reason::Schedule, now).expect("the schedule is not held back");
        let now = now + spent.opens_in();
        limits.check(&ledger, Reason::Rejected, now).expect("the oldest is a minute old");
        ledger = limits.spend(&ledger, Reason::Rejected, now);
        limits.check(&ledger, Reason::Rejected, now).expect_err("but no more than that one");
        // A clock that is set back by an hour closes it for a minute at most.
        let back = now - Duration::from_secs(3600);
        let spent = limits.check(&ledger, Reason::Rejected, back).expect_err("three are spent");
        assert!(spent.opens_in() <= MINUTE, "{spent:?}");
    }

    proptest::proptest! {
        /// Whatever clocks have written, and wherever the clock is now, nothing is closed for longer
        /// than what closes it lasts, once the page is corrected.
        #[test]
        fn p16_no_clock_closes_the_budget_for_long(
            day in -10_000_i64..200_000, used in 0_u32..12, now in 0_u64..10_000_000_000,
            rejections in proptest::collection::vec(0_u64..10_000_000_000, 0..6),
            near in proptest::collection::vec(0_u64..300, 0..6),
        ) {
            let limits = limits(10, 3);
            let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let rejections = rejections.into_iter().chain(near.into_iter().map(|near| now + near));
            let rejections = rejections.map(at).collect();
            let (now, skew) = (at(now), Duration::from_secs(60));
            let ledger = Ledger { day, used, rejections, ..Ledger::default() };
            let ledger = limits.corrected(&ledger, now, now + skew);
            if let Err(spent) = limits.check(&ledger, Reason::Rejected, now) {
                proptest::prop_assert!(spent.opens_in() <= 2 * Duration::from_secs(86_400));
            }
            // Two days on, at the latest, all is open, though nobody has written meanwhile.
            let later = now + 2 * Duration::from_secs(86_400) + skew;
            let open = limits.check(&ledger, Reason::Schedule, later);
            proptest::prop_assert!(open.is_ok(), "{:?}", open);
            // Rejections are held up for two minutes at the most, where the day allows them.
            let ledger = Ledger { used: 0, ..ledger };
            let later = now + MINUTE + skew;
            proptest::prop_assert!(limits.check(&ledger, Reason::Rejected, later).is_ok());
        }
    }

    #[test]
    fn p16_the_day_begins_at_the_vendors_midnight() {
        let limits = limits(1, 1);
        let midnight = humantime::parse_rfc3339("2026-11-21T16:00:00Z").expect("a time");
        let before = midnight - Duration::from_secs(1);
        assert_eq!(limits.day_of(midnight), limits.day_of(before) + 1);
    }
}
