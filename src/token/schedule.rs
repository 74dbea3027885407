//! When to renew: pure arithmetic.

use std::time::Duration;

use super::Reason;
use super::page::Life;

/// What the operator and the vendor say about timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How long before the end a token is renewed; never more than a fifth of its life.
    pub margin: Duration,
    /// The least time between two renewals by schedule.
    pub min_interval: Duration,
    /// How often a refresh token is used at least; `None`: as its life demands.
    pub keep_alive: Option<Duration>,
}

/// The next renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub after: Duration,
    pub reason: Reason,
}

impl Schedule {
    /// When a token of this life, with `left` to live, is renewed.
    pub fn due(&self, life: &Life, left: Duration, chance: f64) -> Due {
        let age = life.whole().saturating_sub(left);
        let after = match life.no_gain_at {
            Some(asked) => {
                let then = life.expires_at.duration_since(asked).unwrap_or_default();
                self.after_same(then).saturating_sub(then.saturating_sub(left))
            }
            None => self.renew_after(life.whole(), chance).saturating_sub(age),
        };
        let kept = self.keep_after(life.refresh_life(), chance);
        match kept.map(|kept| kept.saturating_sub(age)).filter(|kept| *kept < after) {
            Some(after) => Due { after, reason: Reason::KeepAlive },
            None => Due { after, reason: Reason::Schedule },
        }
    }

    /// How long after it was obtained a refresh token is used, so that it does not lapse: two thirds
    /// of its `life`, or what the operator says, but before its end.
    pub fn keep_after(&self, life: Option<Duration>, chance: f64) -> Option<Duration> {
        let after = match (self.keep_alive, life) {
            (Some(wanted), Some(life)) => wanted.min(life.mul_f64(LATEST_KEEP_ALIVE)),
            (Some(wanted), None) => wanted,
            (None, Some(life)) => life.mul_f64(KEEP_ALIVE),
            (None, None) => return None,
        };
        let early = after.mul_f64(JITTER * chance.clamp(0.0, 1.0));
        Some(after.saturating_sub(early).max(self.min_interval).max(SHORTEST_KEEP_ALIVE))
    }

    /// How long after it was obtained a token of this `life` is renewed. `chance` (0 to 1) spreads
    /// replicas over the tenth of the margin that comes before it.
    pub fn renew_after(&self, life: Duration, chance: f64) -> Duration {
        let margin = self.margin.min(life.mul_f64(LARGEST_MARGIN));
        let early = margin.mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0));
        life.saturating_sub(early).max(self.min_interval).max(SHORTEST_INTERVAL)
    }

    /// How long to wait after a renewal that brought the same token, or no later end, with `left`
    /// to live: half of what is left, so that a vendor which hands out a token until it really
    /// ends is asked a handful of times and not for ever.
    pub fn after_same(&self, left: Duration) -> Duration {
        (left / 2).max(self.min_interval).max(SHORTEST_WAIT_AFTER_SAME)
    }
}

pub(super) const LARGEST_MARGIN: f64 = 0.2;
const JITTER: f64 = 0.1;
/// A third of its life is left for tries that fail.
const KEEP_ALIVE: f64 = 2.0 / 3.0;
const LATEST_KEEP_ALIVE: f64 = 0.9;
/// A refresh token whose end does not move is not used in a loop as that comes near.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Whatever a config or an answer says: a life of a millisecond is no reason to call in a loop.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST_WAIT_AFTER_SAME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(margin: Duration) -> Schedule {
        Schedule { margin, min_interval: SECOND, keep_alive: None }
    }

    #[test]
    fn p12_the_margin_is_never_more_than_a_fifth_of_the_life() {
        let schedule = schedule(300 * SECOND);
        assert_eq!(schedule.renew_after(7200 * SECOND, 0.0), 6900 * SECOND);
        assert_eq!(schedule.renew_after(100 * SECOND, 0.0), 80 * SECOND);
        assert_eq!(schedule.renew_after(7200 * SECOND, 1.0), 6870 * SECOND);
    }

    #[test]
    fn p12_no_life_and_no_interval_make_a_spin() {
        let schedule = Schedule { min_interval: Duration::ZERO, ..schedule(Duration::ZERO) };
        assert_eq!(schedule.renew_after(Duration::from_millis(1), 0.0), SECOND);
    }

    #[test]
    fn p12_the_same_token_again_does_not_spin() {
        let schedule = schedule(300 * SECOND);
        let (mut left, mut asked) = (300 * SECOND, 0);
        while left > Duration::ZERO {
            left = left.saturating_sub(schedule.after_same(left));
            asked += 1;
        }
        assert!(asked <= 9, "asked {asked} times");
    }

    fn life(seconds: u64, refresh: Option<u64>) -> Life {
        let obtained_at = std::time::SystemTime::UNIX_EPOCH;
        let end = |seconds| obtained_at + Duration::from_secs(seconds);
        let refresh_expires_at = refresh.map(end);
        Life {
            obtained_at,
            expires_at: end(seconds),
            refresh_expires_at,
            no_gain_at: None,
            keeps_refresh: false,
        }
    }

    #[test]
    fn p18_what_comes_first_is_due() {
        const DAY: u64 = 86_400;
        let schedule = schedule(300 * SECOND);
        let due = |life: Life, age: u64| {
            let left = life.whole() - Duration::from_secs(age);
            let due = schedule.due(&life, left, 0.0);
            (due.after.as_secs(), due.reason)
        };
        assert_eq!(due(life(7200, Some(30 * DAY)), 0), (6900, Reason::Schedule));
        assert_eq!(due(life(90 * DAY, Some(30 * DAY)), 0), (20 * DAY, Reason::KeepAlive));
        assert_eq!(due(life(90 * DAY, Some(30 * DAY)), 15 * DAY), (5 * DAY, Reason::KeepAlive));
        assert_eq!(due(life(90 * DAY, Some(30 * DAY)), 25 * DAY), (0, Reason::KeepAlive));
        assert_eq!(due(life(90 * DAY, None), 0), (90 * DAY - 300, Reason::Schedule));
    }

    proptest! {
        #[test]
        fn p18_a_refresh_token_is_used_before_its_end_and_not_in_a_loop(
            life in 0_u64..100_000_000, wanted in proptest::option::of(0_u64..100_000_000),
            chance in 0.0..1.0,
        ) {
            let whole = Duration::from_secs(life);
            let keep_alive = wanted.map(Duration::from_secs);
            let schedule = Schedule { keep_alive, ..schedule(Duration::ZERO) };
            let after = schedule.keep_after(Some(whole), chance).expect("a life is known");
            prop_assert!(after >= SHORTEST_KEEP_ALIVE);
            prop_assert!(after <= whole.mul_f64(0.9).max(SHORTEST_KEEP_ALIVE));
            if let Some(wanted) = keep_alive {
                prop_assert!(after <= wanted.max(SHORTEST_KEEP_ALIVE), "at least that often");
            } else {
                prop_assert!(after >= whole.mul_f64(0.59), "a third is left, and not much more");
            }
        }

        #[test]
        fn p12_whatever_a_page_says_a_renewal_is_due_within_its_life(
            seconds in 0_u64..10_000_000, refresh in proptest::option::of(0_u64..10_000_000),
            asked in proptest::option::of(0_u64..10_000_000), left in 0_u64..20_000_000,
            margin in 0_u64..10_000_000, chance in 0.0..1.0,
        ) {
            let asked = asked.map(|at| std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(at));
            let life = Life { no_gain_at: asked, ..life(seconds, refresh) };
            let left = Duration::from_secs(left).min(life.whole());
            let due = schedule(Duration::from_secs(margin)).due(&life, left, chance);
            prop_assert!(due.after <= life.whole().max(SHORTEST_WAIT_AFTER_SAME));
        }

        #[test]
        fn p12_renewal_comes_before_the_end_and_never_sooner_than_the_interval(
            life in 0_u64..10_000_000, margin in 0_u64..10_000_000, chance in 0.0..1.0,
        ) {
            let (life, margin) = (Duration::from_millis(life), Duration::from_millis(margin));
            let after = schedule(margin).renew_after(life, chance);
            prop_assert!(after >= SECOND);
            prop_assert!(after <= life.max(SECOND));
            // A margin longer than the life does not make every call a renewal.
            prop_assert!(after >= life.mul_f64(0.77));
        }
    }
}
