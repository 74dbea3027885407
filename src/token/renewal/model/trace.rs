//! A run in words, for whoever must understand a counterexample.

use stateright::Path;

use super::super::super::page::Page;
use super::actions::Action;
use super::properties::settled;
use super::replica::{Replica, Waits};
use super::vendor::serial;
use super::world::World;
use super::{Protocol, Step};

/// Every state and what led to the next; at last, what becomes of it when nothing more goes wrong.
pub(super) fn tell(protocol: &Protocol, path: Path<World, Action>) -> String {
    let last = settled(protocol, path.last_state());
    let mut lines = Vec::new();
    for (world, action) in path.into_vec() {
        of_world(&world, &mut lines);
        lines.extend(action.map(|action| format!("{action:?} →")));
    }
    match last {
        Some(world) => {
            lines.push("… →".into());
            of_world(&world, &mut lines);
        }
        None => lines.push("… and comes to no end".into()),
    }
    lines.join("\n")
}

fn of_world(world: &World, lines: &mut Vec<String>) {
    let (vendor, late, orphans) = (&world.vendor, world.late.len(), &world.orphans);
    lines.push(format!(
        "    vendor a{} r{}, {} calls; store {}; late writes {late}, late calls {orphans:?}",
        vendor.access,
        vendor.refresh,
        vendor.calls,
        of_page(&world.page),
    ));
    let up = world.replicas.iter().enumerate().filter(|(_, replica)| replica.is_up);
    lines.extend(up.map(|(place, replica)| of_replica(world, place, replica)));
}

fn of_replica(world: &World, place: usize, replica: &Replica) -> String {
    let run = match replica.run.as_ref().map(|run| &run.waits) {
        None => "idle".to_owned(),
        Some(Waits::Step(Step::Swap(next))) => format!("writes {}", of_page(next)),
        Some(Waits::Step(Step::Refresh(token))) => format!("presents r{}", serial(Some(token))),
        Some(Waits::Step(step)) => format!("{step:?}"),
        Some(Waits::Answer(answer)) => format!("is answered {}", answer.is_ok()),
    };
    let failure = replica.failure.as_ref();
    let failure = failure.map(|it| (it.outcome, it.until > world.wall(), it.needs_a_person));
    format!(
        "    {}: serves {:?}, knows g{}, unsaved {}, failure {failure:?}, {run}",
        Replica::holder(place, replica.lives),
        replica.serves,
        replica.generation(),
        replica.unsaved.is_some(),
    )
}

fn of_page(page: &Page) -> String {
    let spares: Vec<_> = page.tokens.spares.iter().map(|spare| serial(Some(spare))).collect();
    format!(
        "g{} a{} r{} {spares:?} lease {:?} intent {:?} lost {:?} used {}",
        page.generation,
        serial(page.tokens.access.as_ref()),
        serial(page.tokens.refresh.as_ref()),
        page.lease.as_ref().map(|lease| (&lease.holder, lease.fence, lease.beat)),
        page.intent.as_ref().map(|intent| (intent.fence, intent.doubt.is_some())),
        page.refusals.iter().map(|refusal| refusal.lost_at.is_some()).collect::<Vec<_>>(),
        page.ledger.used,
    )
}
