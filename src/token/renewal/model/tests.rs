//! The model is checked.

use stateright::{Checker, Model};
use tokio::time::Instant;

use super::*;

fn strict(replicas: usize) -> Protocol {
    Protocol {
        replicas,
        rotation: Rotation::Strict,
        can_refresh: true,
        can_mint: false,
        from_seed: false,
        faults: Faults::default(),
        most_faults: 0,
        deaths: 1,
        dues: 0,
        ticks: 0,
        beats: 0,
        revokes: false,
        flaw: Flaw::None,
    }
}

fn check(name: &str, protocol: Protocol) {
    let began = Instant::now();
    let checker = protocol.checker().spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, depth {}, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    if let Some((name, path)) = checker.discoveries().into_iter().next() {
        let model = checker.model();
        let mut told = String::new();
        for (state, action) in path.clone().into_vec() {
            told += &format!("{}\n    {action:?}\n", brief(&state));
        }
        if let Some(end) = properties::settled(model, path.last_state()) {
            told += &format!("and then at last\n{}", brief(&end));
        }
        panic!("{name}:\n{told}");
    }
}

#[test]
fn p17_one_death_costs_one_refresh_without_faults() {
    check("2", strict(2));
    check("3", strict(3));
}

fn brief(world: &World) -> String {
    let v = &world.vendor;
    let p = &world.page;
    let page = |p: &Page| {
        let spares: Vec<u8> =
            p.tokens.spares.iter().map(|spare| vendor::serial(Some(spare))).collect();
        format!(
            "g{} a{} r{}{} f{} lease {:?} intent {:?} refusals {:?} used {} failure {:?}",
            p.generation,
            vendor::serial(p.tokens.access.as_ref()),
            vendor::serial(p.tokens.refresh.as_ref()),
            if spares.is_empty() { String::new() } else { format!("+{spares:?}") },
            p.fence,
            p.lease.as_ref().map(|l| (&l.holder, l.fence, l.beat)),
            p.intent.as_ref().map(|i| (i.fence, i.doubt.is_some())),
            p.refusals.iter().map(|r| (r.times, r.lost_at.is_some())).collect::<Vec<_>>(),
            p.ledger.used,
            p.failure.as_ref().map(|f| (f.outcome, f.times, f.until > world.wall())),
        )
    };
    let mut text = format!(
        "t{} vendor a{} r{} ({}) calls {} | {} | late {} orphans {:?}",
        world.ticks, v.access, v.refresh, v.previous, v.calls, page(p), world.late.len(), world.orphans
    );
    for (place, r) in world.replicas.iter().enumerate() {
        if !r.is_up {
            continue;
        }
        text += &format!(
            "\n  {place}.{} serves {:?} known g{} unsaved {:?} unanswered {:?} failure {:?} due {:?} run {}",
            r.lives,
            r.serves,
            r.generation(),
            r.unsaved.as_ref().map(|g| vendor::serial(g.tokens.refresh.as_ref())),
            r.unanswered,
            r.failure.as_ref().map(|f| (f.outcome, f.until > world.wall(), f.needs_a_person)),
            r.due.map(|d| d > world.wall()),
            r.run.as_ref().map_or("-".into(), |run| {
                let stage = format!("{:?}", run.machine.stage);
                let stage: String = stage.chars().take_while(|c| c.is_alphabetic()).collect();
                match &run.waits {
                    replica::Waits::Step(super::super::Step::Swap(next)) => format!("{stage} swap {}", page(next)),
                    replica::Waits::Step(step) => {
                        format!("{stage} {}", format!("{step:?}").chars().take(20).collect::<String>())
                    }
                    replica::Waits::Answer(a) => format!("{stage} answer {}", a.is_ok()),
                }
            }),
        );
    }
    text
}

#[test]
fn lab() {
    let Ok(text) = std::env::var("LAB") else { return };
    let mut p = strict(2);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').expect("k=v");
        let n: u8 = value.parse().unwrap_or(0);
        match key {
            "n" => p.replicas = n.into(),
            "rot" => p.rotation = [Rotation::Strict, Rotation::Grace, Rotation::Never][n as usize],
            "refresh" => p.can_refresh = n > 0,
            "mint" => p.can_mint = n > 0,
            "seed" => p.from_seed = n > 0,
            "crash" => p.faults.crashes = n,
            "loss" => p.faults.losses = n,
            "late" => p.faults.late = n,
            "run" => p.faults.run_outs = n,
            "fail" => p.faults.failovers = n,
            "wipe" => p.faults.wipes = n,
            "most" => p.most_faults = n,
            "deaths" => p.deaths = n,
            "dues" => p.dues = n,
            "ticks" => p.ticks = n,
            "beats" => p.beats = n,
            "revokes" => p.revokes = n > 0,
            "flaw" => p.flaw = [Flaw::None, Flaw::NotesNothing, Flaw::BooksNothing, Flaw::NotesNoDoubt,
                Flaw::ForgetsUnsaved, Flaw::ServesUnsaved, Flaw::TakesLatePairs, Flaw::DropsLatePairs,
                Flaw::GivesNothingBack, Flaw::StoreCompares, Flaw::IgnoresLeases][n as usize],
            _ => panic!("{key}"),
        }
    }
    check(&text, p);
}
