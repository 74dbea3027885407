//! How much one connection may read before the others of its thread have their turn.
//!
//! The runtime lets a task go on for a number of reads, whatever they bring. A peer that sends small
//! frames or many lines at full speed would so keep its thread busy for half a second at a time.

use std::task::{Context, Poll};

use tokio::task::coop::poll_proceed;

/// Counts a read as what it brings: the task yields after a few large ones.
pub fn spend(bytes: usize, cx: &mut Context<'_>) {
    for _ in 0..bytes / UNIT {
        match poll_proceed(cx) {
            Poll::Ready(unit) => unit.made_progress(),
            // The next read finds nothing, and the task is woken at once.
            Poll::Pending => return,
        }
    }
}

/// The runtime gives a task 128 units for a turn: 32 KiB.
const UNIT: usize = 256;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::coop::has_budget_remaining;

    use super::*;

    #[tokio::test]
    async fn p27_much_that_is_read_ends_a_turn() {
        for (bytes, goes_on) in [(0, true), (300, true), (16 << 10, true), (64 << 10, false)] {
            let left = tokio::spawn(poll_fn(move |cx| {
                spend(bytes, cx);
                Poll::Ready(has_budget_remaining())
            }));
            assert_eq!(left.await.expect("no panic"), goes_on, "{bytes} bytes");
        }
    }
}
