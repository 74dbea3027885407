//! Wall-clock time, and its place on tokio's monotonic clock.
//!
//! Intervals and deadlines are tokio `Instant`s, so that tests can pause them; they stand still while
//! the machine sleeps. What ends all the same, a token above all, is judged by [`BootTime`]. Wall
//! time, which anybody may set, is only for what is written down: the end of a token in the store, a
//! calendar day, a status page.

pub mod boot;
#[cfg(test)]
pub mod hand;
pub mod watch;

pub mod rfc3339;

use std::time::{Duration, SystemTime};

pub use boot::BootTime;

/// The wall-clock time now.
#[cfg(not(test))]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// In unit tests wall time runs with tokio's clock, so that a paused test controls both.
#[cfg(test)]
pub fn wall() -> SystemTime {
    hand::wall()
}

/// How long until `time`; zero when it is past.
pub fn until(time: SystemTime) -> Duration {
    time.duration_since(wall()).unwrap_or_default()
}

/// Whole seconds since 1970; 0 for anything earlier.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A wall-clock time as it can be written down: whole milliseconds.
pub fn whole_millis(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let below = u64::from(since.subsec_nanos() % 1_000_000);
    time - Duration::from_nanos(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_time_runs_with_the_clock_of_the_runtime() {
        let end = wall() + Duration::from_secs(60);
        tokio::time::advance(Duration::from_secs(20)).await;
        let left = until(end);
        assert!(left <= Duration::from_secs(40) && left > Duration::from_secs(39), "{left:?}");
        assert_eq!(until(wall() - Duration::from_secs(5)), Duration::ZERO);
    }
}
