//! A clock that is armed seldom: work that goes on only says when it began.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Measures how long something has lasted that may end at any moment.
///
/// Most waits end long before their time is up. A timer is therefore not moved with each of them:
/// it fires when the time of an earlier wait would have been up, and is set anew then.
#[derive(Debug, Default)]
pub struct Clock {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Who is woken when the timer fires.
    waker: Option<Waker>,
}

impl Clock {
    pub fn stop(&mut self) {
        self.since = None;
    }

    pub fn is_running(&self) -> bool {
        self.since.is_some()
    }

    /// What it measures began at this time.
    pub fn start_at(&mut self, since: Instant) {
        self.since = Some(since);
    }

    /// Starts the clock where it stands still. Ready, again and again until it is stopped: it has
    /// run for `limit`.
    pub fn poll(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        // A time that no clock can show never comes.
        let Some(end) = since.checked_add(limit) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        let wakes_us = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if wakes_us && !timer.is_elapsed() && timer.deadline() <= end {
            return Poll::Pending;
        }
        if timer.is_elapsed() || timer.deadline() > end {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
        if !wakes_us {
            self.waker = Some(cx.waker().clone());
        }
        // A task whose turn is over must not be taken for one that the timer will wake.
        if pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            // It fired between two looks: the next poll finds out what that means.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
