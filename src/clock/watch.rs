//! Notices that the machine has slept, and that somebody has set the wall clock.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{BootTime, boot, wall};

/// What has happened to the clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// How long the machine has slept.
    pub asleep: Duration,
    /// How far the wall clock was set.
    pub set: Option<Set>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Forward(Duration),
    Back(Duration),
}

/// The three clocks, read at once.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    awake: Instant,
    boot: BootTime,
    wall: SystemTime,
}

// === impl Watch ===

impl Watch {
    /// Begins to watch.
    #[expect(clippy::new_without_default, reason = "there is no time by default")]
    pub fn new() -> Self {
        Self { awake: Instant::now(), boot: BootTime::now(), wall: wall() }
    }

    /// What has happened since the last look, if it is worth mentioning. Clocks that are brought
    /// into line little by little are not.
    pub fn look(&mut self) -> Option<Shift> {
        let before = std::mem::replace(self, Self::new());
        let passed = self.boot.since(before.boot);
        let asleep = passed.saturating_sub(self.awake.saturating_duration_since(before.awake));
        let expected = before.wall + passed;
        let set = match self.wall.duration_since(expected) {
            Ok(forward) => Set::Forward(forward),
            Err(back) => Set::Back(back.duration()),
        };
        let shift = Shift {
            asleep: if asleep >= SMALLEST { asleep } else { Duration::ZERO },
            set: Some(set).filter(|set| set.by() >= SMALLEST),
        };
        (shift != Shift::default()).then_some(shift)
    }

    /// Completes with the next shift, a few seconds after it.
    pub async fn shift(&mut self) -> Shift {
        loop {
            sleep(boot::longest_nap()).await;
            if let Some(shift) = self.look() {
                return shift;
            }
        }
    }

    /// Says what it notices, as long as it runs.
    pub async fn tell(mut self) {
        loop {
            let Shift { asleep, set } = self.shift().await;
            let span = |span: Duration| {
                let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                humantime::format_duration(Duration::from_millis(millis))
            };
            if !asleep.is_zero() {
                warn!(slept = %span(asleep), "the machine has slept: tokens have aged meanwhile");
            }
            match set {
                Some(Set::Forward(by)) => warn!(by = %span(by), "the wall clock was set forward"),
                Some(Set::Back(by)) => warn!(by = %span(by), "the wall clock was set back"),
                None => {}
            }
        }
    }
}

impl Set {
    pub fn by(self) -> Duration {
        match self {
            Self::Forward(by) | Self::Back(by) => by,
        }
    }
}

/// Smaller differences come from reading three clocks one after the other.
const SMALLEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::hand;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn p12_sleeps_and_jumps_are_told_apart() {
        hand::begin(SystemTime::UNIX_EPOCH + 1_000_000 * HOUR);
        let mut watch = Watch::new();
        tokio::time::advance(HOUR).await;
        assert_eq!(watch.look(), None);
        hand::sleep(HOUR);
        assert_eq!(watch.look(), Some(Shift { asleep: HOUR, set: None }));
        hand::set_forward(HOUR);
        let forward = Shift { asleep: Duration::ZERO, set: Some(Set::Forward(HOUR)) };
        assert_eq!(watch.look(), Some(forward));
        hand::sleep(2 * HOUR);
        hand::set_back(3 * HOUR);
        let both = Shift { asleep: 2 * HOUR, set: Some(Set::Back(3 * HOUR)) };
        assert_eq!(watch.shift().await, both);
        assert_eq!(watch.look(), None);
    }
}
