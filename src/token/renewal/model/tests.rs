//! The model is checked: small bounds always, larger ones with `TOKENWARD_TEST_MODEL=large`.

use stateright::{Checker, HasDiscoveries};
use tokio::time::Instant;

use super::*;
use properties::{
    ALL_BOOKED, NOT_AGAIN, NOTHING_LOST, ONE_REFRESH, SAVED_FIRST, SERVED_ASCENDS, STORE_ASCENDS,
};

/// Replicas that serve one living token of a vendor that rotates strictly; it dies once.
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

/// Anything may go wrong, so often in all.
fn with_faults(most: u8, protocol: Protocol) -> Protocol {
    let faults = Faults {
        crashes: most,
        losses: most,
        late: most,
        run_outs: most,
        failovers: most.min(1),
        wipes: most.min(1),
    };
    Protocol { faults, most_faults: most, ..protocol }
}

fn check(name: &str, protocol: Protocol) {
    let began = Instant::now();
    let checker = protocol.checker().spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, {} deep, {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: not true that {property}:\n{}", trace::tell(checker.model(), path));
    }
}

/// The property must be found broken.
fn catch(flaw: Flaw, property: &'static str, protocol: Protocol) {
    let until = HasDiscoveries::AnyOf([property].into());
    let flawed = Protocol { flaw, ..protocol.clone() };
    // A flawed protocol may go on for ever.
    let limit = Duration::from_secs(60);
    let checker = flawed.checker().finish_when(until).timeout(limit).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "{flaw:?} is not caught by: {property}");
}

#[test]
fn p17_one_death_costs_one_refresh_with_two_and_three_replicas() {
    check("2 replicas, a death, a schedule", Protocol { dues: 1, beats: 1, ..strict(2) });
    check("3 replicas", strict(3));
}

#[test]
fn p15_no_pair_is_lost_whatever_goes_wrong_once() {
    check("2 replicas, strict, 1 fault", with_faults(1, strict(2)));
}

#[test]
fn p15_what_was_lost_is_told_once_time_has_passed() {
    let faults = Faults { crashes: 1, losses: 1, ..Faults::default() };
    let protocol = Protocol { faults, most_faults: 1, deaths: 2, ticks: 1, ..strict(1) };
    check("1 replica, 2 deaths, 1 fault, 1 pause", protocol);
}

#[test]
fn p15_a_lease_that_runs_out_early_loses_no_pair() {
    let faults = Faults { crashes: 1, run_outs: 2, ..Faults::default() };
    check("2 replicas, leases run out", Protocol { faults, most_faults: 2, ..strict(2) });
}

#[test]
fn p17_vendors_that_repeat_their_answer_or_do_not_rotate_are_no_exception() {
    let of = |rotation| with_faults(1, Protocol { rotation, ..strict(2) });
    check("2 replicas, grace, 1 fault", of(Rotation::Grace));
    check("2 replicas, no rotation, 1 fault", of(Rotation::Never));
}

#[test]
fn p14_every_run_ends_with_a_token_or_a_plea() {
    let ended = Protocol { revokes: true, deaths: 0, ..strict(2) };
    check("2 replicas, all tokens ended", ended.clone());
    check("2 replicas, all ended, may mint", Protocol { can_mint: true, ..ended.clone() });
    let mint = Protocol { can_mint: true, can_refresh: false, ..strict(2) };
    check("2 replicas, mint only, 1 fault", with_faults(1, mint));
}

#[test]
fn p20_a_cold_start_from_a_seed_costs_one_refresh() {
    let seed = Protocol { from_seed: true, deaths: 0, ..strict(2) };
    check("2 replicas, from a seed, 1 fault", with_faults(1, seed));
}

#[test]
fn p15_the_model_can_tell_what_breaks_the_protocol() {
    let crash = |rotation| {
        let faults = Faults { crashes: 1, ..Faults::default() };
        Protocol { rotation, faults, most_faults: 1, ..strict(2) }
    };
    let loss = Faults { losses: 1, ..Faults::default() };
    let loss = Protocol { faults: loss, most_faults: 1, ..strict(2) };
    catch(Flaw::NotesNothing, NOTHING_LOST, crash(Rotation::Strict));
    catch(Flaw::ForgetsUnsaved, NOTHING_LOST, loss.clone());
    catch(Flaw::ServesUnsaved, SAVED_FIRST, loss);
    let doubtful = Protocol { deaths: 2, ticks: 1, replicas: 1, ..crash(Rotation::Strict) };
    catch(Flaw::NotesNoDoubt, NOT_AGAIN, doubtful);
}

#[test]
fn p17_the_model_can_tell_what_breaks_the_agreement() {
    let run_out = Faults { run_outs: 1, ..Faults::default() };
    let run_out = Protocol { faults: run_out, most_faults: 1, ..strict(2) };
    catch(Flaw::DropsLatePairs, NOTHING_LOST, run_out.clone());
    let never = Protocol { rotation: Rotation::Never, ..run_out };
    catch(Flaw::TakesLatePairs, STORE_ASCENDS, never.clone());
    catch(Flaw::IgnoresLeases, ONE_REFRESH, Protocol { most_faults: 0, ..never });
    catch(Flaw::StoreCompares, STORE_ASCENDS, strict(2));
    catch(Flaw::BooksNothing, ALL_BOOKED, strict(2));
    let failover = Faults { failovers: 1, ..Faults::default() };
    let failover = Protocol { faults: failover, most_faults: 1, ..strict(2) };
    catch(Flaw::GivesNothingBack, NOTHING_LOST, failover.clone());
    catch(
        Flaw::GivesNothingBack,
        SERVED_ASCENDS,
        Protocol { rotation: Rotation::Never, ..failover },
    );
}

/// Minutes to hours, not for every day; the figures are printed.
#[test]
fn p17_larger_bounds() {
    if std::env::var("TOKENWARD_TEST_MODEL").is_ok_and(|size| size == "large") {
        check("2 replicas, 2 deaths", Protocol { deaths: 2, ..with_faults(1, strict(2)) });
        check("3 replicas, 1 fault", with_faults(1, strict(3)));
        check("2 replicas, 1 fault, 1 pause", Protocol { ticks: 1, ..with_faults(1, strict(2)) });
        let mint = Protocol { can_mint: true, ..strict(2) };
        check("2 replicas, may mint, 1 fault", with_faults(1, mint));
        let seed = Protocol { from_seed: true, ticks: 1, ..strict(2) };
        check("2 replicas, from a seed, 1 fault, 1 pause", with_faults(1, seed));
        check("2 replicas, 2 faults", with_faults(2, strict(2)));
        check("2 replicas, 2 faults, 1 pause", Protocol { ticks: 1, ..with_faults(2, strict(2)) });
    }
}
