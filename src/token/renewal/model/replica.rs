//! A replica of the model: the renewal's own machine, and around it what the refresher does with
//! what a renewal leaves behind.

use std::time::SystemTime;

use super::super::super::page::{Gain, Page};
use super::super::super::wire::{Denied, Grant};
use super::super::super::{Outcome, Reason};
use super::super::{End, Heard, Now, Renewal, Rules, Stage, Step, Task};
use super::vendor::serial;
use super::{Flaw, Kept};

/// A process and its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Replica {
    /// Processes before this one in the same place.
    pub(super) lives: u8,
    pub(super) is_up: bool,
    pub(super) has_tried: bool,
    pub(super) known: Option<Page>,
    pub(super) unsaved: Option<Gain>,
    pub(super) unanswered: Option<u64>,
    /// The token that requests carry: its generation, and its number.
    pub(super) serves: Option<(u64, u8)>,
    pub(super) failure: Option<Failure>,
    /// When it renews by itself; `None`: not within this run.
    pub(super) due: Option<SystemTime>,
    pub(super) run: Option<Run>,
}

/// Why callers are sent away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) until: SystemTime,
    pub(super) needs_a_person: bool,
}

/// A renewal that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) machine: Renewal,
    pub(super) waits: Waits,
    /// The page as the store gave it last: what a swap replaces.
    pub(super) revision: Kept<Page>,
}

/// What a renewal waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Waits {
    /// That this step is carried out.
    Step(Step),
    /// The vendor's answer, which is on its way.
    Answer(Result<Grant, Denied>),
}

/// What others see of a replica's step.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) published: Option<Page>,
    /// The refresh token that it sends to the vendor.
    pub(super) presents: u8,
}

impl Replica {
    pub(super) fn holder(place: usize, lives: u8) -> String {
        format!("{place}.{lives}")
    }

    pub(super) fn generation(&self) -> u64 {
        self.known.as_ref().map_or(0, |page| page.generation)
    }

    /// As `Refresher::start`.
    pub(super) fn start(
        &mut self,
        rules: &Rules,
        page: Option<Page>,
        now: SystemTime,
        flaw: Flaw,
    ) -> Shown {
        self.is_up = true;
        let Some(page) = page else {
            self.begin(Reason::Start, 0, flaw);
            return Shown::default();
        };
        let living = page.is_living(now);
        let wanted = !living || page.is_doubtful() || rules.seed_is_new(&page) || page.unproven;
        let published = living.then(|| self.publish(&page));
        self.known = Some(page);
        if wanted {
            self.begin(Reason::Start, self.generation(), flaw);
        }
        Shown { published, presents: 0 }
    }

    /// As `Refresher::renew`.
    pub(super) fn begin(&mut self, reason: Reason, than: u64, flaw: Flaw) {
        let known = self.known.clone().filter(|_| flaw != Flaw::GivesNothingBack);
        let (machine, step) = Renewal::begin(Task {
            reason,
            than,
            known: known.unwrap_or_default(),
            unsaved: self.unsaved.take(),
            unanswered: self.unanswered.take(),
            chance: u16::MAX,
            worked: false,
            first: !self.has_tried,
        });
        self.has_tried = true;
        self.due = None;
        let revision = Kept::new(Page::default());
        self.run = Some(Run { machine, waits: Waits::Step(step), revision });
    }

    /// Goes on with what came of the last step.
    pub(super) fn hear(&mut self, rules: &Rules, heard: Heard, now: Now, flaw: Flaw) -> Shown {
        let Some(mut run) = self.run.take() else { return Shown::default() };
        if let Heard::Page(page) | Heard::Stale(page) = &heard {
            run.revision = Kept::new(page.clone());
        }
        if let (Flaw::TakesLatePairs, Stage::Keeping { gain, .. }) = (flaw, &mut run.machine.stage)
        {
            gain.base = u64::MAX;
        }
        let mut shown = Shown::default();
        match run.machine.next(rules, heard, now) {
            Step::End(end) => {
                shown.published = self.take_over(*end, now.wall, flaw);
                return shown;
            }
            step => {
                if let Step::Refresh(token) = &step {
                    shown.presents = serial(Some(token));
                }
                run.waits = Waits::Step(step);
            }
        }
        self.run = Some(run);
        shown
    }

    /// As `Refresher::take_over` and `Refresher::put_off`. Waits that each process counts by itself
    /// are over at once.
    fn take_over(&mut self, end: End, now: SystemTime, flaw: Flaw) -> Option<Page> {
        let End { result, page, unsaved, unanswered, .. } = end;
        let early = unsaved.as_ref().filter(|_| flaw == Flaw::ServesUnsaved);
        let early = early.map(|gain| page.gained(gain));
        (self.unsaved, self.unanswered) = (unsaved, unanswered);
        if flaw == Flaw::ForgetsUnsaved {
            self.unsaved = None;
        }
        match result {
            Ok(_) => {
                let published = self.publish(&page);
                self.known = Some(page);
                self.failure = None;
                Some(published)
            }
            Err(setback) => {
                if self.known.is_some() || page != Page::default() {
                    self.known = Some(page);
                }
                let wait = setback.wait.filter(|_| setback.outcome != Outcome::Waiting);
                let until = now + wait.unwrap_or_default();
                let (outcome, needs_a_person) = (setback.outcome, setback.needs_a_person);
                self.failure = Some(Failure { outcome, until, needs_a_person });
                self.due = Some(until);
                early.map(|page| self.publish(&page))
            }
        }
    }

    /// As `Refresher::publish`.
    fn publish(&mut self, page: &Page) -> Page {
        self.serves = Some((page.generation, serial(page.tokens.access.as_ref())));
        self.due = None;
        page.clone()
    }

    /// As `Refresher::meet`: whether a rejection of the token that is served begins a renewal now.
    pub(super) fn meets(&self, now: SystemTime) -> bool {
        self.failure.as_ref().is_none_or(|failure| failure.until <= now)
    }

    /// As `Refresher::learn`.
    pub(super) fn learn(&mut self, page: Page, now: SystemTime) -> Option<Page> {
        let newer = page.generation > self.serves.map_or(0, |(generation, _)| generation);
        let gain = self.known.as_ref().map(|known| known.life) != Some(page.life);
        let published = (page.is_living(now) && (newer || gain)).then(|| self.publish(&page));
        if published.is_some() && newer {
            self.failure = None;
        }
        self.known = Some(page);
        published
    }

    /// The page of the lease that is shown to live, if a call is under way.
    pub(super) fn beat(&self, rules: &Rules) -> Option<Page> {
        self.run.as_ref().and_then(|run| run.machine.beat(rules))
    }

    /// What the store has said to a sign of life.
    pub(super) fn beaten(&mut self, next: Page, heard: Heard) {
        let Some(run) = &mut self.run else { return };
        match &heard {
            Heard::Swapped => run.revision = Kept::new(next.clone()),
            Heard::Stale(page) => run.revision = Kept::new(page.clone()),
            _ => {}
        }
        run.machine.beaten(next, heard);
    }

    /// Whether this process has this refresh token, wherever it keeps it.
    pub(super) fn has(&self, token: u8) -> bool {
        let in_page = |page: &Page| knows(page, token);
        let in_gain = |gain: &Gain| serial(gain.tokens.refresh.as_ref()) == token;
        let in_run = |run: &Run| {
            let answered = match &run.waits {
                Waits::Answer(Ok(grant)) => serial(grant.refresh_token.as_ref()) == token,
                _ => false,
            };
            let kept = match &run.machine.stage {
                Stage::Keeping { gain, .. } | Stage::Sparing { gain, .. } => in_gain(gain),
                _ => false,
            };
            answered
                || kept
                || run.machine.task.unsaved.as_ref().is_some_and(in_gain)
                || in_page(&run.machine.task.known)
                || in_page(&run.machine.seen)
        };
        self.known.as_ref().is_some_and(in_page)
            || self.unsaved.as_ref().is_some_and(in_gain)
            || self.run.as_ref().is_some_and(in_run)
    }
}

/// Whether this refresh token is one of the page's.
pub(super) fn knows(page: &Page, token: u8) -> bool {
    let tokens = page.tokens.refresh.iter().chain(&page.tokens.spares);
    tokens.into_iter().any(|known| serial(Some(known)) == token)
}
