//! Several gateways on one file, which refresh once for a death and outlive one another.

use std::time::Duration;

use tokenward::sandbox::{Counts, Fault, FaultKind, Scope, Vendor};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{CALL, counted, generation, has_generation, home, is_served, rotating, seed, sharing};
use crate::support::process::{Process, run};
use crate::support::vendors::{Home, Vendors, get, get_until, try_get};

/// Gateways on one file, and where each of them listens.
struct Fleet {
    home: Home,
    vendors: Vendors,
    processes: Vec<Process>,
    addresses: Vec<String>,
}

impl Fleet {
    async fn of(size: usize, lease: &str) -> Self {
        let (home, vendors) = (home(), Vendors::start(rotating()).await);
        let processes: Vec<_> =
            (0..size).map(|_| Process::start(leasing(&vendors, &home, lease))).collect();
        let mut addresses = Vec::new();
        for process in &processes {
            addresses.push(process.upstream("aiclk").await);
        }
        Self { home, vendors, processes, addresses }
    }

    /// Calls through every gateway at once, all of which must be served.
    async fn call(&self, each: usize) {
        let mut calls = JoinSet::new();
        for at in self.addresses.iter().flat_map(|at| std::iter::repeat_n(at.clone(), each)) {
            calls.spawn(async move { is_served(&at).await });
        }
        while let Some(called) = calls.join_next().await {
            called.expect("served");
        }
    }

    fn counts(&self) -> Counts {
        self.vendors.sandbox.counts(Vendor::Aiclk)
    }

    /// All come to have the newest token.
    async fn agrees(&self) {
        let mut newest = 0;
        for process in &self.processes {
            newest = newest.max(generation(process).await);
        }
        for process in &self.processes {
            has_generation(process, newest).await;
        }
    }
}

fn leasing(vendors: &Vendors, home: &Home, lease: &str) -> Command {
    let mut command = sharing(vendors, home);
    command.env("TOKENWARD__STORE__LEASE", lease);
    command
}

async fn deaths_with(size: usize) {
    // A disk that stands still for a second, under all tests at once, must not cost the lease.
    let fleet = Fleet::of(size, "20s").await;
    fleet.call(1).await;
    assert_eq!(fleet.counts().refreshes, 1, "one for all at the start");
    for death in 1..=DEATHS {
        fleet.vendors.sandbox.expire(Vendor::Aiclk);
        let began = Instant::now();
        fleet.call(CALLERS).await;
        let (callers, took) = (size * CALLERS, began.elapsed());
        eprintln!("{size} gateways: {took:?} from a death to the last of {callers} callers");
        let Counts { refreshes, refused, .. } = fleet.counts();
        assert_eq!((refreshes, refused), (1 + death, 0), "{size} gateways");
    }
    fleet.agrees().await;
}

#[tokio::test]
async fn p17_two_gateways_on_one_file_refresh_once_for_a_death() {
    deaths_with(2).await;
}

#[tokio::test]
async fn p17_four_gateways_on_one_file_refresh_once_for_a_death() {
    deaths_with(4).await;
}

#[tokio::test]
async fn p17_eight_gateways_on_one_file_refresh_once_for_a_death() {
    deaths_with(8).await;
}

/// The lease of a gateway that dies in mid-refresh runs out, and the next one takes over.
#[tokio::test]
async fn p17_kill_9_of_the_leases_holder_stops_the_others_for_no_longer_than_the_lease() {
    for size in [2, 4] {
        let mut fleet = Fleet::of(size, "1s").await;
        fleet.call(1).await;
        let silent = Fault::new(FaultKind::Silent).on(Scope::Token).times(1);
        fleet.vendors.sandbox.fault(Vendor::Aiclk, silent);
        fleet.vendors.sandbox.expire(Vendor::Aiclk);
        let call = tokio::spawn(try_get(fleet.addresses.remove(0) + CALL));
        counted(&fleet.vendors.sandbox, |counts| counts.refreshes == 2).await;
        fleet.processes.remove(0).kill().await;
        call.await.expect("no panic").expect_err("nobody is there to answer");

        let began = Instant::now();
        fleet.call(4).await;
        let took = began.elapsed();
        let Counts { refreshes, refused, .. } = fleet.counts();
        assert_eq!((refreshes, refused), (3, 0), "one more, by one of {size}");
        assert!(took < Duration::from_secs(8), "a lease of 1s, and {took:?}");
        fleet.agrees().await;
    }
}

/// Again and again the first gateway dies while it refreshes, and is started anew.
#[tokio::test]
async fn p17_killed_in_turns_gateways_lose_no_token_that_reached_one_of_them() {
    let mut fleet = Fleet::of(2, "1s").await;
    fleet.call(1).await;
    let sandbox = fleet.vendors.sandbox.clone();
    for round in 0..6 {
        // The answer is late: the holder dies before, or just after it.
        let slow = FaultKind::Slow(Duration::from_millis(20));
        sandbox.fault(Vendor::Aiclk, Fault::new(slow).on(Scope::Token).times(1));
        let before = fleet.counts();
        sandbox.expire(Vendor::Aiclk);
        let call = tokio::spawn(try_get(fleet.addresses.remove(0) + CALL));
        counted(&sandbox, |counts| counts.refreshes > before.refreshes).await;
        tokio::time::sleep(Duration::from_millis(8 * round)).await;
        fleet.processes.remove(0).kill().await;
        let _ = call.await.expect("no panic");

        let at = fleet.addresses[0].clone();
        let answer = get(at.clone() + CALL).await;
        if answer.json()["code"] != 200 {
            // The vendor has rotated, and the only one that could hear of it is dead.
            let status = fleet.processes[0].admin().await + "/status";
            get_until(status, |it| it.body.contains("tokenward seed aiclk")).await;
            let issued = sandbox.issue(Vendor::Aiclk).refresh_token.expect("from the console");
            let file = fleet.home.put("issued", &issued);
            let seeded = run(seed(&fleet.vendors, &fleet.home, &file, &[])).await;
            assert_eq!(seeded.code, Some(0), "{}", seeded.stderr);
            get_until(at.clone() + CALL, |it| it.body.contains("\"code\":200")).await;
        }
        let process = Process::start(sharing(&fleet.vendors, &fleet.home));
        fleet.addresses.push(process.upstream("aiclk").await);
        fleet.processes.push(process);
        fleet.call(2).await;
    }
    fleet.agrees().await;
}

const DEATHS: u64 = 5;
/// Of every gateway.
const CALLERS: usize = 8;
