//! Time in the hands of a unit test: each thread has its own.
//!
//! Without a call of [`begin`] all threads share a time that begins with the process, and nothing
//! sleeps.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::boot::LONGEST_NAP;

thread_local! {
    static TIME: Cell<Option<Time>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Time {
    began: Instant,
    wall: SystemTime,
    asleep: Duration,
    /// A machine that can be put to sleep is looked after.
    can_sleep: bool,
}

/// From now on this thread has a time of its own, at which it is `wall`. Needed once for every
/// paused runtime, for each has a clock of its own.
pub fn begin(wall: SystemTime) {
    set(Time { began: Instant::now(), wall, asleep: Duration::ZERO, can_sleep: true });
}

/// The same for a simulation in which [`sleep`] is never called: nobody wakes up to look for it.
pub fn begin_awake(wall: SystemTime) {
    set(Time { began: Instant::now(), wall, asleep: Duration::ZERO, can_sleep: false });
}

/// The machine has slept for so long: tokio's clock has stood still.
pub fn sleep(time: Duration) {
    let now = own();
    set(Time { asleep: now.asleep + time, ..now });
}

/// Somebody has set the wall clock: it shows `now`.
pub fn set_wall(now: SystemTime) {
    let time = own();
    let passed = since_boot_of(time);
    // What has passed since the beginning is added to it again.
    set(Time { wall: now - passed, ..time });
}

pub fn set_forward(by: Duration) {
    set_wall(wall() + by);
}

pub fn set_back(by: Duration) {
    set_wall(wall() - by);
}

pub(super) fn wall() -> SystemTime {
    let time = TIME.get().unwrap_or_else(common);
    time.wall + since_boot_of(time)
}

pub(super) fn since_boot() -> Duration {
    // Far from zero, so that what is earlier than the beginning is not cut off.
    HOUR + since_boot_of(TIME.get().unwrap_or_else(common))
}

pub(super) fn longest_nap() -> Duration {
    match TIME.get() {
        Some(time) if time.can_sleep => LONGEST_NAP,
        _ => 24 * HOUR,
    }
}

fn since_boot_of(time: Time) -> Duration {
    Instant::now().saturating_duration_since(time.began) + time.asleep
}

fn common() -> Time {
    static COMMON: OnceLock<(SystemTime, Instant)> = OnceLock::new();
    let (wall, began) = *COMMON.get_or_init(|| (SystemTime::now(), Instant::now()));
    Time { began, wall, asleep: Duration::ZERO, can_sleep: false }
}

fn own() -> Time {
    TIME.get().expect("`hand::begin` comes first")
}

fn set(time: Time) {
    TIME.set(Some(time));
}

const HOUR: Duration = Duration::from_secs(3600);
