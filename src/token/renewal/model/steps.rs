//! What actions do to the world that takes more than a line.

use super::super::super::page::Page;
use super::super::{Heard, Step};
use super::replica::{Shown, Waits};
use super::vendor::serial;
use super::world::{Kept, World};
use super::{Flaw, Protocol};

impl World {
    /// The write that a replica waits for.
    pub(super) fn swap_of(&mut self, protocol: &Protocol, place: usize) -> Option<Heard> {
        let run = self.replicas[place].run.clone()?;
        let Waits::Step(Step::Swap(next)) = &run.waits else { return None };
        let heard = self.swap(protocol, &run.revision, next);
        if matches!(heard, Heard::Swapped) {
            let page = self.page.clone();
            self.change(place, |it| {
                if let Some(run) = &mut it.run {
                    run.revision = page;
                }
            });
        }
        Some(heard)
    }

    pub(super) fn call(&mut self, protocol: &Protocol, place: usize) {
        let token = match self.step(place) {
            Some(Step::Refresh(token)) => serial(Some(token)),
            _ => 0,
        };
        let answer = self.serve(protocol, token);
        self.change(place, |it| {
            if let Some(run) = &mut it.run {
                run.waits = Waits::Answer(answer);
            }
        });
    }

    /// What a replica has sent stays on its way, though nobody awaits it.
    pub(super) fn leave(&mut self, place: usize) {
        let Some(run) = &self.replicas[place].run else { return };
        match &run.waits {
            Waits::Step(Step::Swap(next)) => {
                let write = (run.revision.clone(), Kept::new(Page::clone(next)));
                self.late.push(write);
            }
            Waits::Step(Step::Refresh(token)) => {
                let token = serial(Some(token));
                self.orphans.push(token);
            }
            Waits::Step(Step::Mint) => self.orphans.push(0),
            _ => {}
        }
        self.orphans.sort_unstable();
    }

    pub(super) fn beat(&mut self, protocol: &Protocol, place: usize, heard: bool) -> Option<()> {
        self.seen.beats += 1;
        let rules = self.rules(protocol, place);
        let next = self.replicas[place].beat(&rules)?;
        let revision = self.replicas[place].run.as_ref()?.revision.clone();
        let answer = self.swap(protocol, &revision, &next);
        let answer = if heard { answer } else { Heard::Down("down".into()) };
        self.change(place, |it| it.beaten(next, answer));
        Some(())
    }

    /// As `Refresher::follow`. What it writes is compared with what it has read, so both are one.
    pub(super) fn follow(&mut self, protocol: &Protocol, place: usize) {
        let now = self.wall();
        let Some(known) = self.replicas[place].known.clone() else { return };
        let stored = self.page.clone();
        let mut page = Page::clone(&stored);
        if protocol.flaw != Flaw::GivesNothingBack {
            page = page.restored(&known);
        }
        let other = page.tokens.access != known.tokens.access;
        if page == *stored
            && other
            && page.generation == known.generation
            && known.tokens.access.is_some()
        {
            page.generation += 1;
        }
        if page != *stored {
            self.swap(protocol, &stored, &page);
        }
        let before = self.replicas[place].serves;
        let published = self.change(place, |it| it.learn(page, now));
        self.look(before, Shown { published, presents: 0 });
    }

    /// The access token that is good now is to be replaced.
    pub(super) fn want(&mut self) {
        if self.seen.wanted_for != self.vendor.access {
            self.seen.wanted_for = self.vendor.access;
            self.seen.wanted += 1;
        }
    }

    pub(super) fn due(&mut self) {
        self.want();
        self.seen.dues += 1;
        let (now, access) = (self.wall(), self.vendor.access);
        for replica in &mut self.replicas {
            let serves = replica.serves.is_some_and(|(_, serial)| serial == access);
            if serves && replica.run.is_none() {
                replica.change(|it| it.due = Some(now));
            }
        }
    }
}
