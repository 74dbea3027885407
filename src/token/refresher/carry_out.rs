//! Carries out the steps of a renewal, and tells it what came of them.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::causes::causes;
use crate::clock::{self, BootTime};

use super::super::page::Page;
use super::super::provider::TokenEndpoint;
use super::super::renewal::{End, Heard, Now, Renewal, Step, Task};
use super::super::store::{Pages, Revision, StoreError, Swap};
use super::super::wire::{Denied, Grant};
use super::Refresher;
use super::shifts::reached;

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    /// A renewal that takes longer than the token in hand has left to live does not hide that it is
    /// over.
    pub(super) async fn carry_out_watched(&mut self, task: Task) -> End {
        let (part, over_at) = (self.part.clone(), self.over_at);
        let renewal = self.carry_out(task);
        tokio::pin!(renewal);
        tokio::select! {
            biased;
            end = &mut renewal => return end,
            () = reached(over_at) => part.not_ready("the token is over while it is being renewed"),
        }
        renewal.await
    }

    async fn carry_out(&mut self, task: Task) -> End {
        let began = Instant::now();
        let mut waited = Duration::ZERO;
        let mut revision = Revision::default();
        let mut taken_at = BootTime::now();
        let (mut renewal, mut step) = Renewal::begin(task);
        loop {
            let heard = match step {
                Step::Load => self.read(&mut revision).await,
                Step::Watch if began.elapsed() >= self.config.wait => Heard::Impatient,
                Step::Watch => {
                    let since = Instant::now();
                    tokio::select! {
                        biased;
                        () = self.store.changed(&self.config.page) => {}
                        () = sleep(self.lease.look()) => {}
                    }
                    let heard = self.read(&mut revision).await;
                    waited += since.elapsed();
                    heard
                }
                Step::Pause(pause) => {
                    sleep(pause).await;
                    self.read(&mut revision).await
                }
                Step::Swap(next) => {
                    taken_at = BootTime::now();
                    self.swap(&mut revision, &next).await
                }
                Step::Refresh(_) | Step::Mint if self.lease.may_be_lost(taken_at) => {
                    Heard::Answer(Err(Denied::NotSent(LEASE_LOST.to_owned())))
                }
                Step::Refresh(token) => {
                    let call = self.endpoint.refresh(&token);
                    self.heed(call, &mut renewal, &mut revision).await
                }
                Step::Mint => self.heed(self.endpoint.mint(), &mut renewal, &mut revision).await,
                Step::End(end) => {
                    self.metrics.lock_wait.set(waited.as_secs_f64());
                    return *end;
                }
            };
            let lease_is_over = self.observe(&heard);
            let now = Now { wall: clock::wall(), lease_is_over, rest: self.rest() };
            step = renewal.next(&self.rules, heard, now);
        }
    }

    /// Awaits the vendor's answer, and shows meanwhile that the lease's holder lives.
    async fn heed(
        &self,
        call: impl Future<Output = Result<Grant, Denied>>,
        renewal: &mut Renewal,
        revision: &mut Revision,
    ) -> Heard {
        tokio::pin!(call);
        let period = self.lease.beat();
        let mut beats = interval_at(Instant::now() + period, period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                answer = &mut call => return Heard::Answer(answer),
                _ = beats.tick() => {
                    if let Some(next) = renewal.beat(&self.rules) {
                        let heard = self.swap(revision, &next).await;
                        renewal.beaten(next, heard);
                    }
                }
            }
        }
    }

    async fn read(&self, revision: &mut Revision) -> Heard {
        match self.store.load(&self.config.page).await {
            Ok(seen) => {
                *revision = seen.revision;
                Heard::Page(seen.page)
            }
            Err(error) => down(&error),
        }
    }

    async fn swap(&self, revision: &mut Revision, next: &Page) -> Heard {
        match self.store.swap(&self.config.page, *revision, next).await {
            Ok(Swap::Done(replaced)) => {
                *revision = replaced;
                Heard::Swapped
            }
            Ok(Swap::Stale(seen)) => {
                *revision = seen.revision;
                Heard::Stale(seen.page)
            }
            Err(error) => down(&error),
        }
    }

    fn observe(&mut self, heard: &Heard) -> bool {
        match heard {
            Heard::Page(page) | Heard::Stale(page) => self.lease.observe(page),
            _ => false,
        }
    }

    /// The last chance of a pair that could not be saved: a stop would lose it.
    pub(super) async fn save_at_last(&mut self) {
        let Some(gain) = self.unsaved.take() else { return };
        let mut revision = Revision::default();
        let mut heard = self.read(&mut revision).await;
        // Whoever has changed the page meanwhile is not met often.
        for _ in 0..LAST_TRIES {
            let (Heard::Page(page) | Heard::Stale(page)) = heard else { break };
            let known = self.known.clone().unwrap_or_default();
            let page = page.restored(&known);
            let late = page.generation > gain.base;
            let next = if late { page.spared(&gain) } else { page.gained(&gain) };
            heard = self.swap(&mut revision, &next.released(&self.config.holder)).await;
            if matches!(heard, Heard::Swapped) {
                return;
            }
        }
        tracing::error!(upstream = %self.config.upstream,
            "a new token could not be saved before the end, and may be lost");
    }
}

fn down(error: &StoreError) -> Heard {
    Heard::Down(causes(error))
}

const LEASE_LOST: &str = "so long has passed since the lease was taken that it may be lost: the machine has slept, or the \
     store is slow";
const LAST_TRIES: usize = 5;
