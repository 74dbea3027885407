//! Everything that a run of the model is at one moment: vendor, store, replicas, what is on its way,
//! and what has been seen so far.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::super::page::Page;
use super::super::super::wire::{Denied, Grant};
use super::super::{Heard, Now, Rules, Step};
use super::replica::{Replica, Shown, Waits};
use super::vendor::{Vendor, refresh_token, serial};
use super::{Flaw, Protocol};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Time stands still but for these.
    pub(super) ticks: u8,
    pub(super) vendor: Vendor,
    pub(super) page: Kept<Page>,
    /// What a store falls back to that loses its last write.
    pub(super) before: Option<Kept<Page>>,
    pub(super) replicas: Vec<Kept<Replica>>,
    /// Writes on their way whose senders have given up: what they replace, and by what.
    pub(super) late: Vec<(Kept<Page>, Kept<Page>)>,
    /// Calls on their way whose callers have given up: the refresh token; 0: a mint.
    pub(super) orphans: Vec<u8>,
    pub(super) used: Faults,
    pub(super) seen: Seen,
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    Loss,
    Late,
    RunOut,
    Failover,
    Wipe,
}

/// How often what may go wrong goes wrong, at the most or so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    /// A process ends, and another begins without its memory.
    pub(super) crashes: u8,
    /// A request or an answer, of store or vendor, is lost.
    pub(super) losses: u8,
    /// It comes after its sender has given up, or twice.
    pub(super) late: u8,
    /// A lease is taken for over while its holder lives: it was paused, or its signs were late.
    pub(super) run_outs: u8,
    /// The store loses its last write though it was acknowledged.
    pub(super) failovers: u8,
    /// The store loses everything.
    pub(super) wipes: u8,
}

/// What is known of a run besides its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// Access tokens that died, or were to be renewed.
    pub(super) wanted: u8,
    /// The last of them.
    pub(super) wanted_for: u8,
    pub(super) deaths: u8,
    pub(super) dues: u8,
    pub(super) beats: u8,
    pub(super) revoked: bool,
    /// Bit n: pair n was in the store.
    pub(super) stored_access: u32,
    pub(super) stored_refresh: u32,
    /// Refresh tokens of which the store has said that they are spent.
    pub(super) spent: u32,
    /// Calls that the vendor has seen without their being made: repeats.
    pub(super) repeats: u8,
    /// Nobody heard of the pair that was handed out last, or who did has crashed.
    pub(super) lost: bool,
    /// Promises that a step has broken: bits of `BROKEN_…`.
    pub(super) broken: u8,
}

pub(super) const STORE_FELL: u8 = 1;
pub(super) const SERVED_FELL: u8 = 2;
pub(super) const SPENT_AGAIN: u8 = 4;
pub(super) const SERVED_UNSAVED: u8 = 8;

/// A value that is cheap to copy and to tell apart.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    value: Arc<T>,
    hash: u64,
}

// === impl World ===

impl World {
    pub(super) fn wall(&self) -> SystemTime {
        // Whole days since 1970, so that no day turns within a few ticks; and a later pair is later.
        let moment = Duration::from_millis(self.vendor.serial.into());
        SystemTime::UNIX_EPOCH + 20_000 * DAY + TICK * u32::from(self.ticks) + moment
    }

    pub(super) fn rules(&self, protocol: &Protocol, place: usize) -> Rules {
        protocol.rules(Replica::holder(place, self.replicas[place].lives))
    }

    /// Whether the holder of the page's lease is about to go on with it.
    pub(super) fn holder_lives(&self) -> bool {
        let Some(lease) = &self.page.lease else { return false };
        let holds = |(place, replica): (usize, &Kept<Replica>)| {
            replica.run.is_some() && Replica::holder(place, replica.lives) == lease.holder
        };
        self.replicas.iter().enumerate().any(holds)
    }

    pub(super) fn change<R>(&mut self, place: usize, how: impl FnOnce(&mut Replica) -> R) -> R {
        self.replicas[place].change(how)
    }

    /// A replica hears what came of its step, and what it does then is looked at.
    pub(super) fn tell(&mut self, protocol: &Protocol, place: usize, heard: Heard, over: bool) {
        let rules = self.rules(protocol, place);
        let now = Now { wall: self.wall(), lease_is_over: over, rest: None };
        let before = self.replicas[place].serves;
        let shown = self.change(place, |it| it.hear(&rules, heard, now, protocol.flaw));
        self.look(before, shown);
    }

    pub(super) fn look(&mut self, before: Option<(u64, u8)>, shown: Shown) {
        if shown.presents != 0 && self.seen.spent & bit(shown.presents) != 0 {
            self.seen.broken |= SPENT_AGAIN;
        }
        let Some(page) = shown.published else { return };
        if before.is_some_and(|(generation, _)| page.generation < generation) {
            self.seen.broken |= SERVED_FELL;
        }
        let access = bit(serial(page.tokens.access.as_ref()));
        let refresh = bit(serial(page.tokens.refresh.as_ref()));
        // Without a refresh token, or with one that is stored, nothing is lost with it.
        let stored = (self.seen.stored_refresh | bit(0)) & refresh != 0;
        if self.seen.stored_access & access == 0 && !stored {
            self.seen.broken |= SERVED_UNSAVED;
        }
    }

    /// The store replaces its page, if it is the one that was read. What stands there otherwise.
    pub(super) fn swap(&mut self, protocol: &Protocol, seen: &Kept<Page>, next: &Page) -> Heard {
        let stored = &self.page;
        let newer = stored.generation <= next.generation && stored.fence <= next.fence;
        if (*stored != *seen || !newer) && protocol.flaw != Flaw::StoreCompares {
            return Heard::Stale(Page::clone(stored));
        }
        self.write(protocol, next);
        Heard::Swapped
    }

    fn write(&mut self, protocol: &Protocol, next: &Page) {
        for refusal in next.refusals.iter().filter(|refusal| refusal.lost_at.is_some()) {
            let is = |serial: &u8| refresh_token(*serial).fingerprint() == refusal.token;
            self.seen.spent |= (1..=self.vendor.serial).find(is).map_or(0, bit);
        }
        let next = protocol.flaw.spoil(&self.page, next.clone());
        let newest = |page: &Page| serial(page.tokens.access.as_ref());
        // Once it has lost pages, generations are given again, and their order is all there is.
        let remembers = self.used.failovers + self.used.wipes == 0;
        let older = remembers && newest(&next) < newest(&self.page);
        if older || next.generation < self.page.generation {
            self.seen.broken |= STORE_FELL;
        }
        self.put(next);
    }

    /// What the store has been seen with counts as saved.
    pub(super) fn put(&mut self, next: Page) {
        self.seen.stored_access |= bit(serial(next.tokens.access.as_ref()));
        for token in next.tokens.refresh.iter().chain(&next.tokens.spares) {
            self.seen.stored_refresh |= bit(serial(Some(token)));
        }
        let before = std::mem::replace(&mut self.page, Kept::new(next));
        if self.before.is_some() {
            self.before = Some(before);
        }
    }

    /// The vendor acts upon what a replica, or one that has given up, has sent.
    pub(super) fn serve(&mut self, protocol: &Protocol, token: u8) -> Result<Grant, Denied> {
        let wall = self.wall();
        let answer = match token {
            0 => Ok(self.vendor.mint(protocol.can_refresh, wall)),
            token => self.vendor.refresh(protocol.rotation, token, wall),
        };
        if answer.is_ok() {
            self.seen.lost = false;
        }
        answer
    }

    /// The step that a replica waits for.
    pub(super) fn step(&self, place: usize) -> Option<&Step> {
        match &self.replicas[place].run.as_ref()?.waits {
            Waits::Step(step) => Some(step),
            Waits::Answer(_) => None,
        }
    }
}

// === impl Faults ===

impl Faults {
    pub(super) fn of(&mut self, fault: Fault) -> &mut u8 {
        match fault {
            Fault::Crash => &mut self.crashes,
            Fault::Loss => &mut self.losses,
            Fault::Late => &mut self.late,
            Fault::RunOut => &mut self.run_outs,
            Fault::Failover => &mut self.failovers,
            Fault::Wipe => &mut self.wipes,
        }
    }

    pub(super) fn sum(&self) -> u8 {
        let Self { crashes, losses, late, run_outs, failovers, wipes } = self;
        crashes + losses + late + run_outs + failovers + wipes
    }
}

impl Default for Kept<Page> {
    fn default() -> Self {
        Self::new(Page::default())
    }
}

// === impl Kept ===

impl<T: Hash + Clone> Kept<T> {
    pub(super) fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self { value: Arc::new(value), hash: hasher.finish() }
    }

    pub(super) fn change<R>(&mut self, how: impl FnOnce(&mut T) -> R) -> R {
        let mut value = T::clone(&self.value);
        let result = how(&mut value);
        *self = Self::new(value);
        result
    }
}

impl<T> std::ops::Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && *self.value == *other.value
    }
}

impl<T: Eq> Eq for Kept<T> {}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

pub(super) fn bit(serial: u8) -> u32 {
    1 << serial.min(31)
}

const DAY: Duration = Duration::from_secs(86_400);
/// Longer than any pause or closure.
pub(super) const TICK: Duration = Duration::from_secs(7 * 3600);
