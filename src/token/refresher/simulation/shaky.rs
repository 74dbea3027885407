//! The real store behind a network that is slow, loses answers, breaks off, and a server that forgets.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::super::super::page::Page;
use super::super::super::store::memory::{MemoryStore, Sheets};
use super::super::super::store::{Pages, Revision, Seen, Store, StoreError, Swap};
use super::world::{Replica, Shared, World};
use super::{PAGE, chance, moment, span};

/// What the store meets for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    Refuses,
    Hangs,
    ReadOnly,
    Slow,
}

#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) outage: Option<Outage>,
    /// How many of the operations go wrong.
    pub(super) faults: f64,
    pub(super) poll: Duration,
    /// How many of the notices arrive that a page has changed.
    pub(super) notices: f64,
    /// The pages before each of the last writes.
    history: VecDeque<Sheets>,
}

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It does not arrive.
    Lost,
    /// It is done, and nobody hears of it; perhaps only after it was given up.
    Unheard,
}

/// The store as one replica reaches it.
pub(super) struct Shaky {
    pub(super) shared: Shared,
    pub(super) who: Replica,
}

// === impl Shelf ===

impl Shelf {
    pub(super) fn new(faults: f64, poll: Duration, notices: f64) -> Self {
        Self { outage: None, faults, poll, notices, history: VecDeque::new() }
    }

    fn note(&mut self, before: Sheets) {
        self.history.push_back(before);
        if self.history.len() > LONGEST_HISTORY {
            self.history.pop_front();
        }
    }
}

// === impl World ===

impl World {
    /// What stands in the store now.
    pub(super) fn page(&self) -> Page {
        let pages = self.store.pages().unwrap_or_default();
        pages.get(PAGE).map(|page| page.page().expect("a page")).unwrap_or_default()
    }

    /// A write arrives at the store.
    async fn apply(&self, who: Replica, seen: Revision, next: &Page) -> Result<Swap, StoreError> {
        let before = self.store.pages().unwrap_or_default();
        let old = self.page();
        let swapped = self.store.swap(PAGE, seen, next).await;
        if let Ok(Swap::Done(_)) = swapped {
            let mut state = self.state();
            state.shelf.note(before);
            state.applied(who, &old, next);
        }
        swapped
    }

    /// The last writes are lost, as in a failover; all of them, if there have not been as many.
    pub(super) fn forget(&self, writes: usize) {
        let old = self.page();
        let mut state = self.state();
        let keep = state.shelf.history.len().saturating_sub(writes);
        let pages = state.shelf.history.get(keep).cloned().unwrap_or_default();
        state.shelf.history.truncate(keep);
        drop(state);
        self.store.put_back(pages);
        self.state().lost(&old, &self.page());
    }

    pub(super) fn forget_all(&self) {
        let old = self.page();
        self.state().shelf.history.clear();
        self.store.put_back(Sheets::new());
        self.state().lost(&old, &Page::default());
    }
}

pub(super) fn empty_store() -> Store {
    Store::from(MemoryStore::default())
}

// === impl Shaky ===

impl Shaky {
    /// The time there and back, and what goes wrong.
    async fn meet(&self, writes: bool) -> (Duration, Duration, Option<Fault>) {
        let (mut there, mut back) = (moment(), moment());
        let (outage, faults) = {
            let state = self.shared.state();
            (state.shelf.outage, state.shelf.faults)
        };
        let fault = match outage {
            Some(Outage::Refuses) => Some(Fault::Lost),
            Some(Outage::ReadOnly) => writes.then_some(Fault::Lost),
            Some(Outage::Hangs) => {
                sleep(span(SECOND, TIMEOUT)).await;
                Some(Fault::Lost)
            }
            Some(Outage::Slow) => {
                there += span(MILLISECOND, TIMEOUT);
                back += span(MILLISECOND, TIMEOUT);
                None
            }
            None if chance(faults) => match chance(0.5) {
                true => Some(Fault::Lost),
                false => Some(Fault::Unheard),
            },
            None => None,
        };
        if fault.is_some() || there + back > SECOND {
            self.shared.state().disturb();
        }
        (there, back, fault)
    }
}

impl Pages for Shaky {
    async fn load(&self, name: &str) -> Result<Seen, StoreError> {
        let (there, back, fault) = self.meet(false).await;
        sleep(there).await;
        let seen = self.shared.store.load(name).await;
        sleep(back).await;
        match fault {
            Some(_) => Err(self.down("reading")),
            None => {
                self.shared.state().say(|| format!("{} reads", self.who));
                seen
            }
        }
    }

    async fn swap(&self, _: &str, seen: Revision, next: &Page) -> Result<Swap, StoreError> {
        let (there, back, fault) = self.meet(true).await;
        if fault == Some(Fault::Lost) {
            sleep(there).await;
            return Err(self.down("writing"));
        }
        let (reply, answer) = oneshot::channel();
        let (shared, who, next) = (self.shared.clone(), self.who, next.clone());
        // What has been sent arrives, though the sender may be gone.
        let late = if chance(0.2) { span(MILLISECOND, TIMEOUT) } else { Duration::ZERO };
        let arrives = if fault.is_some() { there + late } else { there };
        tokio::spawn(async move {
            sleep(arrives).await;
            let swapped = shared.apply(who, seen, &next).await;
            sleep(back).await;
            let _ = reply.send(swapped);
        });
        if fault.is_some() {
            sleep(there + back).await;
            return Err(self.down("writing, or hearing of it,"));
        }
        answer.await.unwrap_or_else(|_| Err(self.down("writing")))
    }

    async fn changed(&self, name: &str) {
        loop {
            self.shared.store.changed(name).await;
            let (heard, outage) = {
                let state = self.shared.state();
                (chance(state.shelf.notices), state.shelf.outage)
            };
            sleep(moment()).await;
            if heard && outage.is_none() {
                return;
            }
        }
    }

    fn poll(&self) -> Duration {
        self.shared.state().shelf.poll
    }
}

impl Shaky {
    fn down(&self, doing: &'static str) -> StoreError {
        let mut state = self.shared.state();
        state.disturb();
        state.say(|| format!("{}: {doing} failed", self.who));
        let source = io::Error::from(io::ErrorKind::TimedOut);
        StoreError::Io { path: "the simulated store".into(), doing, source }
    }
}

/// When a client of the store gives up.
const TIMEOUT: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const LONGEST_HISTORY: usize = 8;

/// Kept here for whoever reads a trace: every operation's instant is virtual.
pub(super) fn since(began: Instant) -> Duration {
    Instant::now() - began
}
