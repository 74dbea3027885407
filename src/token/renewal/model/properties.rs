//! What must hold, whatever happens.

use stateright::Property;

use super::Protocol;
use super::actions::{self, Action};
use super::replica::{Replica, knows};
use super::vendor::serial;
use super::world::{Faults, Kept, SERVED_FELL, SERVED_UNSAVED, SPENT_AGAIN, STORE_FELL, World};

pub(super) const NOTHING_LOST: &str = "the good refresh token is not lost, or the journal says so";
pub(super) const STORE_ASCENDS: &str = "no older token replaces a newer in the store";
pub(super) const SERVED_ASCENDS: &str = "no older token replaces a newer in a replica";
pub(super) const ONE_REFRESH: &str = "one death costs one refresh";
pub(super) const ENDS_WELL: &str = "every run ends with a usable token or an exact plea";
pub(super) const NOT_AGAIN: &str = "a spent refresh token is not presented again";
pub(super) const SAVED_FIRST: &str = "a token is saved before it is used";
pub(super) const ALL_BOOKED: &str = "no call is made that is not booked";

pub(super) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(NOTHING_LOST, nothing_is_lost),
        Property::always(STORE_ASCENDS, |_, world: &World| world.seen.broken & STORE_FELL == 0),
        Property::always(SERVED_ASCENDS, |_, world: &World| world.seen.broken & SERVED_FELL == 0),
        Property::always(ONE_REFRESH, |_, world: &World| {
            world.used != Faults::default() || world.vendor.grants <= world.seen.wanted
        }),
        Property::always(ENDS_WELL, ends_well),
        Property::always(NOT_AGAIN, |_, world: &World| {
            forgets(world) || world.seen.broken & SPENT_AGAIN == 0
        }),
        Property::always(SAVED_FIRST, |_, world: &World| world.seen.broken & SERVED_UNSAVED == 0),
        Property::always(ALL_BOOKED, |_, world: &World| {
            let booked = world.page.ledger.used + u32::from(world.seen.repeats);
            forgets(world) || booked >= u32::from(world.vendor.calls)
        }),
    ]
}

/// Whether the store has lost what it had acknowledged.
fn forgets(world: &World) -> bool {
    world.used.failovers + world.used.wipes > 0
}

/// Whether a refresh token that the vendor would accept is anywhere where it can be found.
pub(super) fn is_accounted_for(protocol: &Protocol, world: &World) -> bool {
    let is_somewhere = |token: u8| {
        token == serial(protocol.seed().as_ref())
            || knows(&world.page, token)
            || world.replicas.iter().any(|it| it.has(token))
    };
    accepted(protocol, world).any(is_somewhere)
}

fn accepted(protocol: &Protocol, world: &World) -> impl Iterator<Item = u8> {
    let (vendor, rotation) = (world.vendor.clone(), protocol.rotation);
    (1..=vendor.serial).filter(move |token| vendor.accepts(rotation, *token))
}

fn nothing_is_lost(protocol: &Protocol, world: &World) -> bool {
    if !protocol.can_refresh || world.vendor.refresh == 0 || is_accounted_for(protocol, world) {
        return true;
    }
    let noted = world.page.intent.is_some()
        || world.page.refusals.iter().any(|refusal| refusal.lost_at.is_some());
    // A vendor that mints hands out another.
    world.seen.lost && (noted || forgets(world)) || protocol.can_mint && world.used.sum() > 0
}

/// From here on nothing goes wrong any more, and time passes: what is the end?
fn ends_well(protocol: &Protocol, world: &World) -> bool {
    let at_rest = world.replicas.iter().all(|it| it.run.is_none());
    !at_rest || settled(protocol, world).is_some_and(|end| is_well(protocol, &end))
}

/// The end of a run without further faults, each replica in its turn; `None` when there is none.
pub(super) fn settled(protocol: &Protocol, world: &World) -> Option<World> {
    let mut world = world.clone();
    let mut found = Vec::new();
    let (mut turn, mut hours) = (0, 0);
    for _ in 0..MOST_STEPS {
        found.clear();
        actions::all(protocol, &world, &mut found);
        found.retain(|action| !action.is_fault(&world));
        if found.is_empty() {
            let now = world.wall();
            let awaited = |it: &Kept<Replica>| it.due.is_some_and(|due| due > now);
            if hours == MOST_TICKS || !world.replicas.iter().any(awaited) {
                return Some(world);
            }
            hours += 1;
            world = Action::Tick.carry_out(protocol, &world)?;
            continue;
        }
        turn += 1;
        world = found[turn % found.len()].carry_out(protocol, &world)?;
    }
    None
}

fn is_well(protocol: &Protocol, world: &World) -> bool {
    let no_way = || !protocol.can_mint && !is_accounted_for(protocol, world);
    world.replicas.iter().all(|replica| {
        let serves = replica.serves.is_some_and(|(_, serial)| serial == world.vendor.access);
        let pleads = replica.failure.as_ref().is_some_and(|failure| failure.needs_a_person);
        serves || pleads && no_way()
    })
}

/// Of one replica and the vendor, a run is a dozen steps.
const MOST_STEPS: usize = 400;
const MOST_TICKS: u8 = 4;
