//! What time it was when this turn of a worker began.
//!
//! A worker waits for its sockets, does what there is to do for all that are ready, and waits again: that
//! is a turn, and as a rule takes less than a millisecond. Asking the clock several times for each
//! request would take a twentieth of the worker's own time, and tell no more.

use std::cell::Cell;

use tokio::time::Instant;

use super::BootTime;

thread_local! {
    /// `None` on threads that know no turns.
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Turn {
    now: Instant,
    boot: BootTime,
    /// How often it may still be asked: a turn can be long when there is very much to do.
    left: u32,
}

/// A turn of this thread begins. To be called whenever it has waited.
pub fn begin() {
    TURN.set(Some(Turn::new()));
}

/// For what may be late by a turn: not for what has to wake somebody at a time.
pub fn now() -> Instant {
    turn().map_or_else(Instant::now, |turn| turn.now)
}

/// The same, on the clock that runs on while the machine sleeps.
pub fn boot_time() -> BootTime {
    turn().map_or_else(BootTime::now, |turn| turn.boot)
}

fn turn() -> Option<Turn> {
    let turn = TURN.get()?;
    let turn = if turn.left == 0 { Turn::new() } else { Turn { left: turn.left - 1, ..turn } };
    TURN.set(Some(turn));
    Some(turn)
}

impl Turn {
    fn new() -> Self {
        Self { now: Instant::now(), boot: BootTime::now(), left: MOST_ASKED }
    }
}

/// About what twenty requests ask.
const MOST_ASKED: u32 = 128;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_stands_still_within_a_turn_but_not_for_long() {
        let before = now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(now() - before, Duration::from_secs(1), "no turn has begun");
        begin();
        let began = now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(now(), began);
        for _ in 1..MOST_ASKED {
            now();
        }
        let late = now();
        assert_eq!(late - began, Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        begin();
        assert_eq!(now() - began, Duration::from_secs(2));
    }
}
