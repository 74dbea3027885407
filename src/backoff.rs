//! Exponential backoff with full jitter.

use std::time::Duration;

/// How long to wait between tries of something that fails: a random part of a ceiling that doubles
/// from `base` to `cap` ("full jitter": replicas that failed together do not come back together).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The wait after one more failure. Never below a tenth of the ceiling, so that bad luck
    /// cannot turn into a spin.
    pub fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        pause(self.failures, self.base, self.cap, fastrand::f64())
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The wait after so many failures in a row: the part of its ceiling that `chance` (0 to 1) says.
pub fn pause(failures: u32, base: Duration, cap: Duration, chance: f64) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let ceiling = base.saturating_mul(factor).min(cap);
    ceiling.mul_f64(0.1 + 0.9 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p13_waits_grow_to_the_cap_and_stay_within_their_ceiling() {
        let (base, cap) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut backoff = Backoff::new(base, cap);
        for failures in 0..100_u32 {
            let ceiling = base.saturating_mul(1 << failures.min(6)).min(cap);
            let wait = backoff.after_failure();
            assert!(wait <= ceiling && wait >= ceiling / 10, "{failures}: {wait:?} of {ceiling:?}");
        }
        backoff.reset();
        assert!(backoff.after_failure() <= base);
    }

    proptest::proptest! {
        #[test]
        fn p13_no_number_of_failures_makes_a_pause_too_short_or_too_long(
            failures in proptest::num::u32::ANY, base in 1_u64..100_000, cap in 1_u64..100_000_000,
            chance in -1.0..2.0,
        ) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            let wait = pause(failures, base, cap, chance);
            proptest::prop_assert!(wait <= cap && wait >= base.min(cap) / 11);
        }
    }

    #[test]
    fn p13_waits_are_spread() {
        let waits: std::collections::BTreeSet<_> = (0..64)
            .map(|_| Backoff::new(Duration::from_secs(8), Duration::from_secs(8)).after_failure())
            .collect();
        assert!(waits.len() > 32, "only {} different waits of 64", waits.len());
    }
}
