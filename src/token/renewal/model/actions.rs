//! What can happen next, and what it does.

use super::super::super::Reason;
use super::super::super::page::Page;
use super::super::super::wire::Denied;
use super::super::{Heard, Step};
use super::properties::is_accounted_for;
use super::replica::{Replica, Waits};
use super::world::{Fault, Kept, World};
use super::{Flaw, Protocol};

/// One thing that happens. Numbers are places of replicas, or of what is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// A process begins, and reads the store. `false`: it cannot.
    Start(usize, bool),
    /// A request meets the vendor's rejection.
    Reject(usize),
    /// The time for a renewal, or for another try, has come.
    Retry(usize),
    /// The store is read between renewals.
    Follow(usize),
    /// A page that was asked for is read. `true`: its lease is taken for over.
    Read(usize, bool),
    Impatient(usize),
    /// A write is done, or turned down for what stands there, whose lease may be taken for over.
    Write(usize, bool),
    /// A read, or a write before it was done, fails.
    Down(usize),
    /// A write is done, and its sender hears of a failure.
    Unacknowledged(usize),
    /// A write fails for its sender, and may be done later.
    Overdue(usize),
    /// The vendor acts upon a call; the answer is on its way.
    Call(usize),
    CallTwice(usize),
    CallUnsent(usize),
    CallLost(usize),
    /// The caller gives up, and the vendor may act later.
    CallLate(usize),
    Answer(usize),
    AnswerLost(usize),
    /// A sign of life while a call is under way. `false`: it is done, and that is not heard.
    Beat(usize, bool),
    /// `true`: what the process has sent arrives nevertheless.
    Crash(usize, bool),
    /// A write whose sender has given up comes to the store.
    LateWrite(usize),
    /// A call whose caller has given up comes to the vendor.
    LateCall(usize),
    /// The vendor ends the access token.
    Death,
    /// The vendor ends all tokens.
    Revoke,
    /// The time for a renewal comes.
    Due,
    Tick,
    /// The store loses its last write.
    Failover,
    Wipe,
}

/// Collects what can happen.
pub(super) fn all(protocol: &Protocol, world: &World, actions: &mut Vec<Action>) {
    for place in 0..world.replicas.len() {
        of_replica(protocol, world, place, actions);
    }
    let may = |fault| may(protocol, world, fault);
    actions.extend((0..world.late.len()).map(Action::LateWrite));
    actions.extend((0..world.orphans.len()).map(Action::LateCall));
    let access = world.vendor.access;
    let in_use = access != 0
        && world.replicas.iter().any(|it| it.serves.is_some_and(|(_, serial)| serial == access));
    let seen = &world.seen;
    add(actions, Action::Death, in_use && seen.deaths < protocol.deaths);
    add(actions, Action::Revoke, in_use && protocol.revokes && !seen.revoked);
    add(actions, Action::Due, in_use && seen.dues < protocol.dues);
    let now = world.wall();
    let awaited = world.replicas.iter().any(|it| it.due.is_some_and(|due| due > now));
    add(actions, Action::Tick, awaited && world.ticks < protocol.ticks);
    let forgets = world.before.as_ref().is_some_and(|before| *before != world.page);
    add(actions, Action::Failover, forgets && may(Fault::Failover));
    add(actions, Action::Wipe, *world.page != Page::default() && may(Fault::Wipe));
}

fn of_replica(protocol: &Protocol, world: &World, place: usize, actions: &mut Vec<Action>) {
    let replica = &world.replicas[place];
    let may = |fault| may(protocol, world, fault);
    if !replica.is_up {
        // Replicas are alike until they begin: they are counted in the order in which they do.
        let has_begun = |it: &Kept<Replica>| it.is_up || it.lives > 0;
        if place == 0 || has_begun(&world.replicas[place - 1]) {
            actions.push(Action::Start(place, true));
            add(actions, Action::Start(place, false), may(Fault::Loss));
        }
        return;
    }
    let Some(run) = &replica.run else {
        let now = world.wall();
        let dead = replica.serves.is_some_and(|(_, serial)| serial != world.vendor.access);
        add(actions, Action::Reject(place), dead && replica.meets(now));
        add(actions, Action::Retry(place), replica.due.is_some_and(|due| due <= now));
        let news = replica.known.as_ref().is_some_and(|known| *known != *world.page);
        add(actions, Action::Follow(place), news);
        add(actions, Action::Crash(place, false), may(Fault::Crash));
        return;
    };
    let calls = match &run.waits {
        Waits::Answer(_) => {
            actions.push(Action::Answer(place));
            add(actions, Action::AnswerLost(place), may(Fault::Loss));
            true
        }
        Waits::Step(Step::Refresh(_) | Step::Mint) => {
            actions.push(Action::Call(place));
            for lost in [Action::CallUnsent(place), Action::CallLost(place)] {
                add(actions, lost, may(Fault::Loss));
            }
            for late in [Action::CallTwice(place), Action::CallLate(place)] {
                add(actions, late, may(Fault::Late));
            }
            true
        }
        Waits::Step(Step::Swap(_)) => {
            let stale = run.revision != world.page;
            let overs = overs(protocol, world, place).filter(|_| stale);
            actions.extend(overs.map(|over| Action::Write(place, over)));
            add(actions, Action::Write(place, false), !stale);
            add(actions, Action::Down(place), may(Fault::Loss));
            add(actions, Action::Unacknowledged(place), !stale && may(Fault::Loss));
            add(actions, Action::Overdue(place), !stale && may(Fault::Late));
            false
        }
        Waits::Step(step) => {
            let watches = matches!(step, Step::Watch);
            let changed = run.revision != world.page;
            let overs = overs(protocol, world, place).filter(|over| !watches || changed || *over);
            actions.extend(overs.map(|over| Action::Read(place, over)));
            add(actions, Action::Impatient(place), watches);
            add(actions, Action::Down(place), may(Fault::Loss));
            false
        }
    };
    if calls && world.seen.beats < protocol.beats {
        actions.push(Action::Beat(place, true));
        add(actions, Action::Beat(place, false), may(Fault::Loss));
    }
    add(actions, Action::Crash(place, false), may(Fault::Crash));
    let sent = calls && !matches!(run.waits, Waits::Answer(_))
        || matches!(&run.waits, Waits::Step(Step::Swap(_)) if run.revision == world.page);
    add(actions, Action::Crash(place, true), sent && may(Fault::Crash) && may(Fault::Late));
}

/// What can be thought of the lease in the page that is there: it is over once its holder is gone;
/// while that lives, only by mistake.
fn overs(protocol: &Protocol, world: &World, place: usize) -> impl Iterator<Item = bool> + use<> {
    let own = Replica::holder(place, world.replicas[place].lives);
    let of_others = world.page.lease.as_ref().is_some_and(|lease| lease.holder != own);
    let (no, yes) = match (of_others, world.holder_lives()) {
        (false, _) => (true, false),
        (true, _) if protocol.flaw == Flaw::IgnoresLeases => (false, true),
        (true, true) => (true, may(protocol, world, Fault::RunOut)),
        (true, false) => (false, true),
    };
    [no.then_some(false), yes.then_some(true)].into_iter().flatten()
}

fn may(protocol: &Protocol, world: &World, fault: Fault) -> bool {
    let (mut used, mut most) = (world.used, protocol.faults);
    used.sum() < protocol.most_faults && used.of(fault) < most.of(fault)
}

fn add(actions: &mut Vec<Action>, action: Action, when: bool) {
    if when {
        actions.push(action);
    }
}

impl Action {
    /// Whether something goes wrong by it.
    pub(super) fn is_fault(self, world: &World) -> bool {
        match self {
            Self::Read(_, over) | Self::Write(_, over) => over && world.holder_lives(),
            Self::Start(_, heard) => !heard,
            Self::Reject(_) | Self::Retry(_) | Self::Follow(_) | Self::Call(_) => false,
            Self::Answer(_) | Self::LateWrite(_) | Self::LateCall(_) => false,
            _ => true,
        }
    }

    fn fault(self, world: &World) -> Option<Fault> {
        Some(match self {
            Self::Start(_, false) | Self::Down(_) | Self::Unacknowledged(_) => Fault::Loss,
            Self::CallUnsent(_) | Self::CallLost(_) | Self::AnswerLost(_) => Fault::Loss,
            Self::Beat(_, false) => Fault::Loss,
            Self::CallTwice(_) | Self::CallLate(_) | Self::Overdue(_) => Fault::Late,
            Self::Crash(..) => Fault::Crash,
            Self::Failover => Fault::Failover,
            Self::Wipe => Fault::Wipe,
            _ if self.is_fault(world) && matches!(self, Self::Read(..) | Self::Write(..)) => {
                Fault::RunOut
            }
            _ => return None,
        })
    }

    pub(super) fn carry_out(self, protocol: &Protocol, before: &World) -> Option<World> {
        let mut world = before.clone();
        // A flaw is no excuse.
        let flawed = protocol.flaw == Flaw::IgnoresLeases;
        if let Some(fault) = self.fault(before).filter(|it| *it != Fault::RunOut || !flawed) {
            *world.used.of(fault) += 1;
        }
        let down = || Heard::Down("down".into());
        let silent = || Heard::Answer(Err(Denied::Unreachable("silent".into())));
        let now = world.wall();
        match self {
            Self::Start(place, heard) => {
                let page = heard.then(|| Page::clone(&world.page));
                let rules = world.rules(protocol, place);
                let shown = world.change(place, |it| it.start(&rules, page, now, protocol.flaw));
                world.look(None, shown);
            }
            Self::Reject(place) => {
                let than = world.replicas[place].serves.map_or(0, |(generation, _)| generation);
                world.change(place, |it| it.begin(Reason::Rejected, than, protocol.flaw));
            }
            Self::Retry(place) => {
                world
                    .change(place, |it| it.begin(Reason::Schedule, it.generation(), protocol.flaw));
            }
            Self::Follow(place) => world.follow(protocol, place),
            Self::Read(place, over) => {
                let page = Heard::Page(Page::clone(&world.page));
                world.tell(protocol, place, page, over);
            }
            Self::Impatient(place) => world.tell(protocol, place, Heard::Impatient, false),
            Self::Write(place, over) => {
                let heard = world.swap_of(protocol, place)?;
                world.tell(protocol, place, heard, over);
            }
            Self::Down(place) => world.tell(protocol, place, down(), false),
            Self::Unacknowledged(place) => {
                world.swap_of(protocol, place)?;
                world.tell(protocol, place, down(), false);
            }
            Self::Overdue(place) => {
                world.leave(place);
                world.tell(protocol, place, down(), false);
            }
            Self::Call(place) => world.call(protocol, place),
            Self::CallTwice(place) => {
                world.leave(place);
                world.seen.repeats += 1;
                world.call(protocol, place);
            }
            Self::CallUnsent(place) => {
                let heard = Heard::Answer(Err(Denied::NotSent("no way".into())));
                world.tell(protocol, place, heard, false);
            }
            Self::CallLost(place) => world.tell(protocol, place, silent(), false),
            Self::CallLate(place) => {
                world.leave(place);
                world.tell(protocol, place, silent(), false);
            }
            Self::Answer(place) => {
                let Waits::Answer(answer) = &before.replicas[place].run.as_ref()?.waits else {
                    return None;
                };
                let own = Replica::holder(place, before.replicas[place].lives);
                let heard = match protocol.flaw {
                    Flaw::DropsLatePairs if !before.page.holds_lease(&own) => silent(),
                    _ => Heard::Answer(answer.clone()),
                };
                world.tell(protocol, place, heard, false);
            }
            Self::AnswerLost(place) => world.tell(protocol, place, silent(), false),
            Self::Beat(place, heard) => world.beat(protocol, place, heard)?,
            Self::Crash(place, arrives) => {
                if arrives {
                    world.used.late += 1;
                    world.leave(place);
                }
                let lives = before.replicas[place].lives + 1;
                world.change(place, |it| *it = Replica { lives, ..Replica::default() });
            }
            Self::LateWrite(index) => {
                let (seen, next) = world.late.remove(index);
                world.swap(protocol, &seen, &next);
            }
            Self::LateCall(index) => {
                let token = world.orphans.remove(index);
                // Nobody hears the answer.
                let _ = world.serve(protocol, token);
            }
            Self::Death => {
                world.want();
                world.seen.deaths += 1;
                world.vendor.access = 0;
            }
            Self::Revoke => {
                world.want();
                world.seen.revoked = true;
                let vendor = &mut world.vendor;
                (vendor.access, vendor.refresh, vendor.previous) = (0, 0, 0);
            }
            Self::Due => world.due(),
            Self::Tick => world.ticks += 1,
            Self::Failover => {
                let page = Page::clone(world.before.as_ref()?);
                world.put(page);
                world.before =
                    (world.used.failovers < protocol.faults.failovers).then(|| world.page.clone());
            }
            Self::Wipe => world.put(Page::default()),
        }
        let may_lose = matches!(
            self,
            Self::AnswerLost(_) | Self::LateCall(_) | Self::Crash(..) | Self::Failover | Self::Wipe
        );
        if may_lose && !is_accounted_for(protocol, &world) {
            world.seen.lost = true;
        }
        Some(world)
    }
}
