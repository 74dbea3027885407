//! Looks at every write, call, answer and published token, and says what must not have been.

mod calls;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::time::Instant;

use super::super::super::cache::Live;
use super::super::super::page::Page;
use super::shaky::{Shelf, since};
use super::vendor::{Trouble, Vendor, number, text};
use super::world::Replica;
use crate::secret::Fingerprint;

/// Everything of a run but the store itself.
#[derive(Debug)]
pub(super) struct State {
    pub(super) vendor: Vendor,
    pub(super) shelf: Shelf,
    pub(super) books: Books,
}

/// What has happened, as far as it matters for what may happen.
#[derive(Debug)]
pub(super) struct Books {
    began: Instant,
    trace: Option<Vec<String>>,
    pub(super) violation: Option<String>,
    pub(super) counts: Counts,
    pub(super) caps: Caps,
    /// After this a second call, or a second grant, can have its reason.
    disturbed_at: Option<Instant>,
    /// Faults of the store, ends and pauses of replicas: with each, something is forgotten.
    disturbances: VecDeque<Instant>,
    calls: VecDeque<Instant>,
    outage_at: Option<Instant>,
    day: (u64, u32),
    /// What each replica has written last: the refresh token that it is about to present, and
    /// whether it holds the lease.
    wrote: BTreeMap<Replica, (Option<Fingerprint>, bool)>,
    under_way: BTreeMap<Replica, Call>,
    granted: Option<(u64, Instant)>,
    /// Generation and access token, by living replica.
    served: BTreeMap<Replica, (u64, usize)>,
    /// Which refresh token stood beside an access token in the store.
    pairs: BTreeMap<usize, usize>,
    saved: BTreeSet<usize>,
    /// Good refresh tokens that the store has lost, and the replicas that could give them back.
    missing: BTreeMap<usize, BTreeSet<Replica>>,
    ended: BTreeSet<Replica>,
    generation: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) grants: u32,
    pub(super) writes: u32,
    pub(super) disturbances: u32,
    pub(super) losses: u32,
    /// The operator has asked for a refresh.
    pub(super) wishes: u32,
    /// Answers lost between the vendor and a replica, or with a replica.
    pub(super) lost_answers: u32,
    pub(super) pleas: u32,
}

/// What bounds the calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) per_day: u32,
    pub(super) per_minute: u32,
    pub(super) day_offset: u64,
    /// Calls in ten minutes that the tokens' lives alone explain.
    pub(super) natural: u32,
}

#[derive(Debug)]
struct Call {
    began: Instant,
    base: u64,
    granted: bool,
}

impl Books {
    pub(super) fn new(caps: Caps, traced: bool) -> Self {
        Self {
            began: Instant::now(),
            trace: traced.then(Vec::new),
            violation: None,
            counts: Counts::default(),
            caps,
            disturbed_at: None,
            disturbances: VecDeque::new(),
            calls: VecDeque::new(),
            outage_at: None,
            day: (0, 0),
            wrote: BTreeMap::new(),
            under_way: BTreeMap::new(),
            granted: None,
            served: BTreeMap::new(),
            pairs: BTreeMap::new(),
            saved: BTreeSet::from([0]),
            missing: BTreeMap::new(),
            ended: BTreeSet::new(),
            generation: 0,
        }
    }

    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    pub(super) fn served(&self, who: Replica) -> Option<(u64, usize)> {
        self.served.get(&who).copied()
    }

    fn calm_since(&self, instant: Instant) -> bool {
        self.disturbed_at.is_none_or(|at| at < instant)
    }
}

// === impl State ===

impl State {
    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        let at = since(self.books.began);
        if let Some(trace) = &mut self.books.trace {
            trace.push(format!("{:>12.3} {}", at.as_secs_f64(), what()));
        }
    }

    /// What must not be. The first is what counts.
    pub(super) fn fail(&mut self, what: String) {
        self.say(|| format!("VIOLATION {what}"));
        let at = since(self.books.began).as_secs_f64();
        self.books.violation.get_or_insert_with(|| format!("at {at:.3} s: {what}"));
    }

    /// A call or a grant that comes after this can have its reason in it.
    fn excuse(&mut self) {
        self.books.disturbed_at = Some(Instant::now());
    }

    pub(super) fn disturb(&mut self) {
        self.excuse();
        self.books.counts.disturbances += 1;
        self.books.disturbances.push_back(Instant::now());
    }

    pub(super) fn outage(&mut self, trouble: Option<Trouble>) {
        self.say(|| format!("vendor: outage {trouble:?}"));
        self.vendor.outage = trouble;
        self.books.outage_at = trouble.map(|_| Instant::now());
    }

    // --- the store

    pub(super) fn applied(&mut self, who: Replica, old: &Page, next: &Page) {
        self.say(|| format!("store: {who} writes {}", described(next)));
        if next.generation < old.generation || next.fence < old.fence {
            self.fail(format!("{who} writes an older page over a newer: {}", described(old)));
        }
        let (before, after) = (refresh_tokens(old), refresh_tokens(next));
        let good = |numbers: &[usize]| numbers.iter().any(|of| self.vendor.is_good(*of));
        if !self.vendor.terms.mints && good(&before) && !good(&after) {
            self.fail(format!("{who} replaces a good refresh token by none: {}", described(old)));
        }
        let books = &mut self.books;
        books.counts.writes += 1;
        books.generation = next.generation;
        let holds = next.holds_lease(&who.to_string());
        books.wrote.insert(who, (next.intent.as_ref().map(|intent| intent.presented), holds));
        books.saved.extend(after.iter().copied());
        books.missing.retain(|number, _| !after.contains(number));
        if let (Some(access), Some(refresh)) = (&next.tokens.access, &next.tokens.refresh) {
            books.pairs.insert(number(access), number(refresh));
        }
    }

    /// The store has forgotten its last writes.
    pub(super) fn lost(&mut self, old: &Page, now: &Page) {
        self.say(|| format!("store: back to {}, after {}", described(now), described(old)));
        self.disturb();
        self.books.counts.losses += 1;
        self.books.generation = now.generation;
        let kept = refresh_tokens(now);
        for lost in refresh_tokens(old).into_iter().filter(|number| !kept.contains(number)) {
            let books = &mut self.books;
            let serves = |access: &usize| books.pairs.get(access) == Some(&lost);
            let carriers = books.served.iter().filter(|(_, (_, access))| serves(access));
            let carriers = carriers.map(|(who, _)| *who).collect();
            books.missing.insert(lost, carriers);
        }
    }

    // --- the replicas

    /// A replica's task has run: what does it serve now?
    pub(super) fn watch(&mut self, who: Replica, live: &Live) {
        let before = self.books.served.get(&who).copied();
        if before.is_some_and(|(generation, _)| generation == live.generation) {
            return;
        }
        let header = &live.injection.headers[0].1;
        let access = header.to_str().expect("text")[1..].parse().expect("numbered tokens");
        self.say(|| format!("{who} serves a{access}, generation {}", live.generation));
        if let Some((generation, _)) = before.filter(|(of, _)| *of > live.generation) {
            self.fail(format!("{who} went back from generation {generation}"));
        }
        let unsaved = self.vendor.pair_of(access).filter(|pair| !self.books.saved.contains(pair));
        if let Some(pair) = unsaved {
            self.fail(format!("{who} serves a{access} before r{pair} was saved"));
        }
        self.books.served.insert(who, (live.generation, access));
    }

    pub(super) fn ended(&mut self, who: Replica, how: &str) {
        self.say(|| format!("{who} {how}"));
        self.disturb();
        self.books.served.remove(&who);
        self.books.missing.values_mut().for_each(|carriers| {
            carriers.remove(&who);
        });
        self.books.ended.insert(who);
    }

    // --- the end

    /// Whether anything in this page, or the seed, can bring a token. What was refused after its
    /// answer had been lost is left alone, though the vendor may have refused it by mistake.
    pub(super) fn has_hope(&self, page: &Page, seed: Option<usize>) -> bool {
        let is_open = |number: &usize| {
            let refusal = page.refusal_of(text(*number).fingerprint());
            refusal.is_none_or(|refusal| refusal.lost_at.is_none())
        };
        let mut open = refresh_tokens(page).into_iter().chain(seed).filter(is_open);
        self.vendor.terms.mints || open.any(|number| self.vendor.is_good(number))
    }

    /// Refresh tokens that the vendor would take, that have reached a replica, and that are gone
    /// without a reason.
    pub(super) fn thrown_away(&self, page: &Page) -> Vec<usize> {
        let kept = refresh_tokens(page);
        let gone = self.vendor.tokens().filter(|(number, _)| {
            self.vendor.is_good(*number) && !kept.contains(number) && *number != 0
        });
        let reached = gone.filter_map(|(number, token)| Some((number, token.reached?)));
        let without = reached.filter(|(number, who)| match self.books.missing.get(number) {
            Some(carriers) => !carriers.is_empty(),
            None => self.books.saved.contains(number) || !self.books.ended.contains(who),
        });
        without.map(|(number, _)| number).collect()
    }

    /// The page's refresh token is spent, and nobody has heard what it was spent for.
    pub(super) fn is_spent_by_loss(&self, page: &Page) -> bool {
        page.tokens.refresh.as_ref().is_some_and(|token| self.is_lost(number(token)))
    }
}

fn refresh_tokens(page: &Page) -> Vec<usize> {
    page.tokens.refresh.iter().chain(&page.tokens.spares).map(number).collect()
}

fn described(page: &Page) -> String {
    let lease = page.lease.as_ref().map(|lease| format!("{}#{}", lease.holder, lease.beat));
    let access = page.tokens.access.as_ref().map(number);
    let (intent, failure) = (page.intent.is_some(), page.failure.as_ref());
    format!(
        "generation {} a{access:?} r{:?} fence {} lease {lease:?} intent {intent} refusals {} \
         used {} failure {:?}",
        page.generation,
        refresh_tokens(page),
        page.fence,
        page.refusals.len(),
        page.ledger.used,
        failure.map(|failure| (failure.outcome, failure.times)),
    )
}
