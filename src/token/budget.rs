//! What may be spent at a vendor's token endpoint: in a natural day, and in a minute.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock;

use super::Reason;

/// The caps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls in the vendor's natural day; 0: no cap.
    pub per_day: u32,
    /// The offset from UTC, in seconds, at which that day begins.
    pub day_offset: i32,
    /// Calls that rejections may cause in a minute.
    pub per_minute: u32,
}

/// What was spent today. It is kept in the store, so that a restart does not forget it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The day, counted from 1970 in the vendor's time zone.
    pub day: i64,
    pub used: u32,
}

/// Decides whether one more call may be made.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    ledger: Ledger,
    /// When rejections caused calls, within the last minute.
    recent: VecDeque<Instant>,
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

// === impl Budget ===

impl Budget {
    pub fn new(limits: Limits, ledger: Ledger) -> Self {
        Self { limits, ledger, recent: VecDeque::new() }
    }

    /// Whether a call for this reason may be made now.
    ///
    /// # Errors
    /// Which cap is spent, and when it opens again.
    pub fn check(&mut self, reason: Reason) -> Result<(), Spent> {
        self.turn_day();
        let limit = self.limits.per_day;
        if limit > 0 && self.ledger.used >= self.open_to(reason) {
            return Err(Spent::Day { limit, opens_in: clock::until(self.day_end()) });
        }
        if reason != Reason::Rejected {
            return Ok(());
        }
        let now = Instant::now();
        while self.recent.front().is_some_and(|at| now - *at >= MINUTE) {
            self.recent.pop_front();
        }
        match self.recent.front() {
            Some(oldest) if self.recent.len() >= self.limits.per_minute as usize => {
                let opens_in = MINUTE.saturating_sub(now - *oldest);
                Err(Spent::Minute { limit: self.limits.per_minute, opens_in })
            }
            _ => Ok(()),
        }
    }

    /// Books one call.
    pub fn spend(&mut self, reason: Reason) {
        self.turn_day();
        self.ledger.used = self.ledger.used.saturating_add(1);
        if reason == Reason::Rejected {
            self.recent.push_back(Instant::now());
        }
    }

    /// Takes the last booking back: the call was never made.
    pub fn refund(&mut self) {
        self.ledger.used = self.ledger.used.saturating_sub(1);
    }

    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    pub fn remaining(&mut self) -> Remaining {
        self.turn_day();
        let resets_at = (self.limits.per_day > 0).then(|| self.day_end());
        Remaining { used: self.ledger.used, limit: self.limits.per_day, resets_at }
    }

    /// How many of the day's calls this reason may use: the schedule leaves a tenth for rejections.
    fn open_to(&self, reason: Reason) -> u32 {
        let limit = self.limits.per_day;
        match reason {
            Reason::Schedule => limit - limit / 10,
            Reason::Start | Reason::Rejected | Reason::Manual => limit,
        }
    }

    /// A new day begins a new page. A clock that was set back does not: what was spent stays spent,
    /// but not until a day that only a wrong clock has seen.
    fn turn_day(&mut self) {
        let today = self.day_of(clock::wall());
        if today > self.ledger.day {
            self.ledger = Ledger { day: today, used: 0 };
        } else if today.saturating_add(1) < self.ledger.day {
            self.ledger.day = today;
        }
    }

    fn day_of(&self, time: SystemTime) -> i64 {
        let seconds = i64::try_from(clock::unix_seconds(time)).unwrap_or(i64::MAX);
        seconds.saturating_add(i64::from(self.limits.day_offset)).div_euclid(DAY_SECONDS)
    }

    fn day_end(&self) -> SystemTime {
        let end = (self.ledger.day + 1) * DAY_SECONDS - i64::from(self.limits.day_offset);
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(end).unwrap_or(0))
    }
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

    #[tokio::test(start_paused = true)]
    async fn p16_the_cap_holds_for_a_natural_day_and_opens_with_the_next() {
        let mut budget = Budget::new(limits(10, 100), Ledger::default());
        for _ in 0..10 {
            budget.check(Reason::Rejected).expect("within the cap");
            budget.spend(Reason::Rejected);
        }
        let spent = budget.check(Reason::Manual).expect_err("the cap is spent");
        assert!(spent.opens_in() <= Duration::from_secs(86_400), "{spent:?}");
        tokio::time::advance(spent.opens_in() + Duration::from_secs(1)).await;
        budget.check(Reason::Manual).expect("a new day");
        assert_eq!(budget.remaining().left(), Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn p16_the_schedule_leaves_a_reserve_for_rejections() {
        let mut budget = Budget::new(limits(300, 100), Ledger::default());
        let mut scheduled = 0;
        while budget.check(Reason::Schedule).is_ok() {
            budget.spend(Reason::Schedule);
            scheduled += 1;
        }
        assert_eq!(scheduled, 270);
        budget.check(Reason::Rejected).expect("the reserve");
    }

    #[tokio::test(start_paused = true)]
    async fn p16_the_ledger_survives_a_restart_and_a_clock_set_back() {
        let mut before = Budget::new(limits(2, 100), Ledger::default());
        before.spend(Reason::Start);
        before.spend(Reason::Start);
        let mut after = Budget::new(limits(2, 100), before.ledger());
        assert!(matches!(after.check(Reason::Start), Err(Spent::Day { limit: 2, .. })));

        let tomorrow = Ledger { day: before.ledger().day + 1, used: 2 };
        let mut set_back = Budget::new(limits(2, 100), tomorrow);
        assert!(set_back.check(Reason::Start).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn p16_a_clock_that_was_years_ahead_closes_the_budget_for_a_day_at_most() {
        let ahead = Ledger { day: i64::MAX, used: 2 };
        let mut budget = Budget::new(limits(2, 100), ahead);
        let spent = budget.check(Reason::Start).expect_err("what was spent stays spent");
        assert!(spent.opens_in() <= Duration::from_secs(86_400), "{spent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn p16_rejections_spend_no_more_than_so_many_a_minute() {
        let mut budget = Budget::new(limits(0, 3), Ledger::default());
        for _ in 0..3 {
            budget.check(Reason::Rejected).expect("within the minute's cap");
            budget.spend(Reason::Rejected);
        }
        let spent = budget.check(Reason::Rejected).expect_err("three are spent");
        budget.check(Reason::Schedule).expect("the schedule is not held back");
        tokio::time::advance(spent.opens_in()).await;
        budget.check(Reason::Rejected).expect("the minute is over");
    }

    #[test]
    fn p16_the_day_begins_at_the_vendors_midnight() {
        let budget = Budget::new(limits(1, 1), Ledger::default());
        let midnight = humantime::parse_rfc3339("2026-11-21T16:00:00Z").expect("a time");
        let before = midnight - Duration::from_secs(1);
        assert_eq!(budget.day_of(midnight), budget.day_of(before) + 1);
    }
}
