use std::cell::{Cell, RefCell};
use std::io::ErrorKind;

use super::*;

/// What becomes of an attempt, and when.
#[derive(Clone, Copy)]
enum Fate {
    Connects(u64),
    Refuses(u64),
    Swallows,
}
use Fate::{Connects, Refuses, Swallows};

/// Races these fates; returns who won or what failed, when, and when each attempt began.
async fn run(fates: &[Fate], deadline: u64) -> (Result<u16, Unconnected>, u64, Vec<u64>) {
    let start = Instant::now();
    let elapsed = || u64::try_from(start.elapsed().as_millis()).expect("a short test");
    let begun = RefCell::new(Vec::new());
    let addresses = (0..).zip(fates).map(|(port, _)| v4(port)).collect();
    let deadline = start + Duration::from_millis(deadline);
    let outcome = race(addresses, deadline, |address| {
        begun.borrow_mut().push(elapsed());
        let fate = fates[usize::from(address.port())];
        async move {
            match fate {
                Connects(after) => sleep(Duration::from_millis(after)).await,
                Refuses(after) => {
                    sleep(Duration::from_millis(after)).await;
                    return Err(ErrorKind::ConnectionRefused.into());
                }
                Swallows => pending().await,
            }
            Ok(address.port())
        }
    });
    let outcome = outcome.await;
    (outcome, elapsed(), begun.into_inner())
}

fn v4(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn v6(port: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port))
}

#[test]
fn families_take_turns_and_the_resolvers_first_begins() {
    for (given, mixed) in [
        (vec![], vec![]),
        (vec![v4(1), v4(2)], vec![v4(1), v4(2)]),
        (vec![v6(1), v6(2), v6(3), v4(1)], vec![v6(1), v4(1), v6(2), v6(3)]),
        (vec![v4(1), v6(1), v6(2), v4(2)], vec![v4(1), v6(1), v4(2), v6(2)]),
    ] {
        assert_eq!(interleave(given), mixed);
    }
}

#[tokio::test(start_paused = true)]
async fn p27_an_address_that_swallows_packets_costs_a_quarter_of_a_second() {
    for (fates, winner, at, begun) in [
        (vec![Connects(10)], 0, 10, vec![0]),
        (vec![Connects(240), Connects(0)], 0, 240, vec![0]),
        (vec![Swallows, Connects(30)], 1, 280, vec![0, 250]),
        (vec![Swallows, Swallows, Connects(0)], 2, 500, vec![0, 250, 500]),
        // An early attempt is not given up for a later one.
        (vec![Connects(300), Connects(100)], 0, 300, vec![0, 250]),
        (vec![Connects(400), Connects(100)], 1, 350, vec![0, 250]),
    ] {
        let (outcome, ended, seen) = run(&fates, 5000).await;
        assert_eq!((outcome.unwrap(), ended, seen), (winner, at, begun));
    }
}

#[tokio::test(start_paused = true)]
async fn p27_a_refused_address_starts_the_next_at_once() {
    for (fates, winner, at, begun) in [
        (vec![Refuses(0), Connects(5)], 1, 5, vec![0, 0]),
        (vec![Refuses(40), Refuses(1), Connects(2)], 2, 43, vec![0, 40, 41]),
        (vec![Swallows, Refuses(10), Connects(0)], 2, 260, vec![0, 250, 260]),
        // What is left of the older attempts may still win.
        (vec![Connects(600), Refuses(10)], 0, 600, vec![0, 250]),
    ] {
        let (outcome, ended, seen) = run(&fates, 5000).await;
        assert_eq!((outcome.unwrap(), ended, seen), (winner, at, begun));
    }
}

#[tokio::test(start_paused = true)]
async fn p27_the_deadline_ends_all_attempts_and_each_is_told_of() {
    let (outcome, ended, begun) = run(&[Refuses(5), Swallows, Swallows, Connects(900)], 1000).await;
    let failed = outcome.unwrap_err();
    assert_eq!((ended, begun), (1000, vec![0, 5, 255, 505]));
    assert_eq!(failed.failed.len(), 1);
    assert_eq!(failed.silent, [v4(1), v4(2), v4(3)]);

    let (outcome, ended, _) = run(&[Refuses(5), Refuses(5)], 1000).await;
    assert_eq!((outcome.unwrap_err().failed.len(), ended), (2, 10));
    let (outcome, ended, _) = run(&[], 1000).await;
    assert_eq!((outcome.unwrap_err().to_string().as_str(), ended), ("the name has no address", 0));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_lose_are_dropped() {
    struct Open<'a>(&'a Cell<u32>);
    impl Drop for Open<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let open = Cell::new(0);
    let deadline = Instant::now() + Duration::from_secs(5);
    let outcome = race(vec![v4(1), v4(2)], deadline, |address| {
        open.set(open.get() + 1);
        let held = Open(&open);
        async move {
            if address.port() == 1 {
                pending::<()>().await;
            }
            Ok(held)
        }
    });
    let winner = outcome.await.ok();
    assert_eq!(open.get(), 1, "the winner alone");
    drop(winner);
    assert_eq!(open.get(), 0);
}
