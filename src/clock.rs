//! Wall-clock time, and its place on tokio's monotonic clock.
//!
//! Intervals and deadlines are tokio `Instant`s, so that tests can pause them. Wall time is only
//! for what is written down: the end of a token in the store, a calendar day, a status page.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The wall-clock time now.
#[cfg(not(test))]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// In unit tests wall time runs with tokio's clock, so that a paused test controls both.
#[cfg(test)]
pub fn wall() -> SystemTime {
    static START: std::sync::OnceLock<(SystemTime, Instant)> = std::sync::OnceLock::new();
    let (wall, instant) = START.get_or_init(|| (SystemTime::now(), Instant::now()));
    *wall + Instant::now().saturating_duration_since(*instant)
}

/// The instant at which the wall clock will show `time`, as far as can be told now. A time that is
/// past is now.
pub fn instant_of(time: SystemTime) -> Instant {
    Instant::now() + until(time)
}

/// How long until `time`; zero when it is past.
pub fn until(time: SystemTime) -> Duration {
    time.duration_since(wall()).unwrap_or_default()
}

/// Whole seconds since 1970; 0 for anything earlier.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Wall-clock times in files and answers: RFC 3339, in UTC, whole seconds.
pub mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&humantime::format_rfc3339_seconds(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_time_and_instants_agree() {
        let end = wall() + Duration::from_secs(60);
        tokio::time::advance(Duration::from_secs(20)).await;
        let left = instant_of(end) - Instant::now();
        assert!(left <= Duration::from_secs(40) && left > Duration::from_secs(39), "{left:?}");
        assert_eq!(until(wall() - Duration::from_secs(5)), Duration::ZERO);
    }
}
