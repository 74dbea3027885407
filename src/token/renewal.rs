//! One renewal as a machine: it says the next step and is told what came of it.
//!
//! It neither waits nor calls, so the refresher, the model checker and the simulation run the same
//! transitions. A renewal reads the page and sees whether somebody else has been faster; if not, it
//! takes the lease and notes in one write what it is about to present; calls; and writes what came
//! of it. Every write replaces the page that was seen last, or is told what stands there instead.

mod ending;
mod keep;
mod now;
mod setback;
mod ways;

use std::time::{Duration, SystemTime};

use crate::clock;
use crate::secret::{Fingerprint, Secret};

use super::budget::Limits;
use super::deaths::Death;
use super::page::{Gain, Page};
use super::wire::{Denied, Grant};
use super::{Outcome, Reason};

pub use now::Now;
pub use setback::Setback;
use setback::Trouble;
use ways::Way;

/// What does not change from one renewal to the next.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The upstream's name, for what is said to people.
    pub upstream: String,
    /// This process, as leases name it.
    pub holder: String,
    pub can_refresh: bool,
    pub can_mint: bool,
    /// The refresh token that the operator has configured.
    pub seed: Option<Secret>,
    pub limits: Limits,
    /// The least time between two calls of the vendor's token endpoint.
    pub vendor_interval: Duration,
}

/// Why a token is renewed, and what is known before.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
pub struct Task {
    pub reason: Reason,
    /// A token of a later generation than this is wanted.
    pub than: u64,
    /// The vendor has accepted the token of that generation.
    pub worked: bool,
    /// This process has not tried before: who has started it may have mended what failed.
    pub first: bool,
    /// The page as this process knows it: the store may have lost it.
    pub known: Page,
    /// What an earlier renewal brought and could not save.
    pub unsaved: Option<Gain>,
    /// An earlier renewal does not know whether it has taken this lease. If so, it never called.
    pub unanswered: Option<u64>,
    /// 0 to 1: where in its span a pause ends.
    pub chance: u16,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub enum Step {
    /// Read the page.
    Load,
    /// Replace the page that was read last.
    Swap(Box<Page>),
    /// Wait until the page changes or its lease runs out, and read it.
    Watch,
    /// Wait this long, and read the page.
    Pause(Duration),
    Refresh(Secret),
    Mint,
    End(Box<End>),
}

/// What came of a step.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub enum Heard {
    Page(Page),
    /// The page was replaced.
    Swapped,
    /// The page is another than was read last.
    Stale(Page),
    /// The store cannot be reached, or not be written. A swap may be done all the same.
    Down(String),
    /// The page has not changed for as long as anybody waits.
    Impatient,
    Answer(Result<Grant, Denied>),
}

/// How a renewal ended.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
pub struct End {
    pub result: Result<Outcome, Setback>,
    /// The page as it is known now.
    pub page: Page,
    /// See [`Task::unsaved`].
    pub unsaved: Option<Gain>,
    /// See [`Task::unanswered`].
    pub unanswered: Option<u64>,
    /// How the token died that was replaced, if that was long before its end.
    pub death: Option<Death>,
    /// What the vendor refused, though another way was open in the end.
    pub refusals: Vec<String>,
}

/// The machine.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
pub struct Renewal {
    task: Task,
    stage: Stage,
    /// The page that was read last: what a swap replaces.
    seen: Page,
    /// Presented in this renewal.
    tried: Vec<Fingerprint>,
    minted: bool,
    refusals: Vec<String>,
    /// The call for which the vendor's interval has been waited.
    waited: Option<SystemTime>,
    /// See [`End::death`].
    death: Option<Death>,
}

/// What the machine waits for.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
enum Stage {
    /// The page.
    Looking,
    /// The lease, with the intent to go this way.
    Taking {
        way: Way,
        next: Page,
    },
    /// The vendor's answer.
    Calling(Call),
    /// The correction of times that only a wrong clock has seen.
    Correcting {
        next: Page,
    },
    /// The save of what came.
    Keeping {
        gain: Gain,
        next: Page,
    },
    /// The save of a refresh token that came too late.
    Sparing {
        gain: Gain,
        next: Page,
    },
    /// The note that a refresh token was refused.
    Noting {
        token: Fingerprint,
        fence: u64,
        next: Page,
    },
    /// The last write: it gives the lease back.
    Ending {
        end: Box<End>,
        trouble: Option<Trouble>,
        next: Page,
    },
    Ended,
}

/// A call that is under way.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
struct Call {
    way: Way,
    /// Of the lease under which it was made, which may be lost since.
    fence: u64,
    /// The generation of the page from which it was made.
    base: u64,
    death: Option<Death>,
}

// === impl Renewal ===

impl Renewal {
    /// The machine, and its first step.
    pub fn begin(task: Task) -> (Self, Step) {
        let seen = task.known.clone();
        let renewal = Self {
            task,
            stage: Stage::Looking,
            seen,
            tried: Vec::new(),
            minted: false,
            refusals: Vec::new(),
            waited: None,
            death: None,
        };
        (renewal, Step::Load)
    }

    /// What to do after what was heard.
    pub fn next(&mut self, rules: &Rules, heard: Heard, now: Now) -> Step {
        match (std::mem::replace(&mut self.stage, Stage::Ended), heard) {
            (Stage::Looking, Heard::Page(page)) => self.look(rules, page, now),
            (Stage::Looking, Heard::Impatient) => self.end(Err(Setback::impatient())),
            (Stage::Looking, Heard::Down(error)) => self.end(Err(Setback::of_store(error))),

            (Stage::Correcting { next }, Heard::Swapped) => self.look(rules, next, now),
            (Stage::Correcting { .. }, Heard::Stale(page)) => self.look(rules, page, now),
            (Stage::Correcting { .. }, Heard::Down(error)) => {
                self.end(Err(Setback::of_store(error)))
            }

            (Stage::Taking { way, next }, Heard::Swapped) => self.call(way, next, now),
            (Stage::Taking { .. }, Heard::Stale(page)) => self.look(rules, page, now),
            (Stage::Taking { next, .. }, Heard::Down(error)) => {
                // Without its note nothing is presented. The note may stand all the same.
                self.task.unanswered = Some(next.fence);
                self.end(Err(Setback::of_store(error)))
            }

            (Stage::Calling(call), Heard::Answer(answer)) => {
                self.answered(rules, call, answer, now)
            }

            (Stage::Keeping { gain, next }, Heard::Swapped) => {
                self.death = gain.death;
                self.kept(rules, next, now)
            }
            (Stage::Keeping { gain, .. }, Heard::Stale(page)) => self.keep(rules, gain, page, now),
            (Stage::Keeping { gain, next }, Heard::Down(error)) => self.unsaved(gain, next, error),

            (Stage::Sparing { next, .. }, Heard::Swapped) => {
                self.seen = next;
                self.end(Ok(Outcome::Adopted))
            }
            (Stage::Sparing { gain, .. }, Heard::Stale(page)) => self.keep(rules, gain, page, now),
            (Stage::Sparing { gain, .. }, Heard::Down(_)) => {
                self.task.unsaved = Some(gain);
                self.end(Ok(Outcome::Adopted))
            }

            (Stage::Noting { next, .. }, Heard::Swapped) => self.look(rules, next, now),
            (Stage::Noting { token, fence, .. }, Heard::Stale(page)) => {
                self.note(token, fence, page, now)
            }
            (Stage::Noting { .. }, Heard::Down(error)) => self.end(Err(Setback::of_store(error))),

            (Stage::Ending { mut end, next, .. }, Heard::Swapped) => {
                end.page = next;
                Step::End(end)
            }
            (Stage::Ending { end, trouble, .. }, Heard::Stale(page)) => {
                if end.result.is_err() && self.is_wanted(rules, &page, now) {
                    return self.adopt(rules, page);
                }
                self.close(rules, end.result, trouble, page, now)
            }
            (Stage::Ending { end, .. }, Heard::Down(_)) => Step::End(end),

            (stage, heard) => unreachable!("{heard:?} is no answer to {stage:?}"),
        }
    }

    /// A sign of life while the vendor's answer is awaited: the page that shows it, unless the
    /// lease is lost.
    pub fn beat(&self, rules: &Rules) -> Option<Page> {
        matches!(self.stage, Stage::Calling(_)).then(|| self.seen.beaten(&rules.holder)).flatten()
    }

    /// What came of it. The answer is awaited in any case.
    pub fn beaten(&mut self, next: Page, heard: Heard) {
        match heard {
            Heard::Swapped => self.seen = next,
            Heard::Stale(page) => self.seen = page,
            _ => {}
        }
    }

    /// With the page in hand: is anything left to do, and may it be done?
    fn look(&mut self, rules: &Rules, page: Page, now: Now) -> Step {
        let page = self.take_back(rules, page);
        if let Some(gain) = self.task.unsaved.take() {
            return self.keep(rules, gain, page, now);
        }
        if self.is_wanted(rules, &page, now) {
            return self.adopt(rules, page);
        }
        let of_others = page.lease.as_ref().is_some_and(|lease| lease.holder != rules.holder);
        if of_others && !now.lease_is_over {
            self.seen = page;
            self.stage = Stage::Looking;
            return Step::Watch;
        }
        if let Some(next) = page.corrected(&rules.limits, now.wall) {
            return self.swap(page, next, |next| Stage::Correcting { next });
        }
        if let Some(setback) = self.shared_failure(rules, &page, now.wall) {
            return self.close(rules, Err(setback), None, page, now);
        }
        if let Err(spent) = rules.limits.check(&page.ledger, self.task.reason, now.wall) {
            return self.close(rules, Err(spent.into()), None, page, now);
        }
        let Some(way) = self.way(rules, &page, now.wall) else {
            let setback = self.plea(rules, &page, now.wall);
            return self.close(rules, Err(setback), None, page, now);
        };
        match self.interval_left(rules, &page, now.wall) {
            Duration::ZERO => self.take(rules, way, page, now),
            short if short <= LONGEST_PAUSE => {
                self.waited = page.ledger.last_call;
                self.seen = page;
                self.stage = Stage::Looking;
                Step::Pause(short)
            }
            long => self.close(rules, Err(Setback::too_soon(long)), None, page, now),
        }
    }

    /// A page that a store has lost, or a lease that nobody knew to be ours.
    fn take_back(&mut self, rules: &Rules, page: Page) -> Page {
        let unanswered = self.task.unanswered.take();
        let page = match unanswered {
            Some(fence) if page.holds_lease(&rules.holder) && page.fence == fence => {
                page.unsent(fence, self.task.reason)
            }
            _ => page,
        };
        page.restored(&self.task.known)
    }

    /// Whether somebody else has brought what is wanted here.
    /// A credential that the operator has just given wins over any token.
    fn is_wanted(&self, rules: &Rules, page: &Page, now: Now) -> bool {
        let newer = page.generation > self.task.than && now.is_living(page);
        newer && !self.has_news(rules, page)
    }

    fn adopt(&mut self, rules: &Rules, page: Page) -> Step {
        self.release(rules, Ok(Outcome::Adopted), page)
    }

    /// Lease and journal in one write.
    fn take(&mut self, rules: &Rules, way: Way, page: Page, now: Now) -> Step {
        let presents = way.token().map(Secret::fingerprint);
        let wall = clock::whole_millis(now.wall);
        let mut page = page;
        if now.lease_is_over {
            page.lease.take_if(|lease| lease.holder != rules.holder);
        }
        let mut next = page.taken(&rules.holder, presents, wall);
        next.ledger = rules.limits.spend(&next.ledger, self.task.reason, wall);
        self.stage = Stage::Taking { way, next: next.clone() };
        self.seen = page;
        Step::Swap(Box::new(next))
    }

    fn call(&mut self, way: Way, page: Page, now: Now) -> Step {
        let step = match &way {
            Way::Mint => {
                self.minted = true;
                Step::Mint
            }
            Way::Refresh(token) => {
                self.tried.push(token.fingerprint());
                Step::Refresh(token.clone())
            }
        };
        let death = self.death_of(&page, now);
        let (fence, base) = (page.fence, page.generation);
        self.stage = Stage::Calling(Call { way, fence, base, death });
        self.seen = page;
        step
    }
}

/// The vendor's interval is waited for within a renewal up to this; beyond, it comes back.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
