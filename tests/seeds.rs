//! Seeds: a changed one wins, an unchanged one loses to the store, one put in by hand is noticed by
//! gateways that run (promise 20).

use std::time::Duration;

use tokenward::sandbox::{Counts, Fault, FaultKind, Scope, Vendor};
use tokio::process::Command;

use crate::file_store::{
    CALL, before, counted, has_generation, home, is_served, rotating, seed, sharing,
};
use crate::support::process::{Process, run};
use crate::support::vendors::{Home, Vendors, get, get_until};

/// A vendor whose old access token lives on when a new one is handed out.
async fn lenient() -> Vendors {
    let mut settings = rotating();
    settings.aiclk.tokens.refresh_ends_access = false;
    Vendors::start(settings).await
}

fn issue(vendors: &Vendors) -> String {
    vendors.sandbox.issue(Vendor::Aiclk).refresh_token.expect("from the console")
}

/// Runs `tokenward seed` with this token, and gives its exit code and what it said.
async fn seeded(vendors: &Vendors, home: &Home, token: &str, more: &[&str]) -> (i32, String) {
    let file = home.put("seed", token);
    let ended = run(seed(vendors, home, &file, more)).await;
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains(token), "p26: a secret is shown: {said}");
    (ended.code.expect("no signal"), said)
}

fn with_seed(mut command: Command, seed: &str) -> Command {
    command.env("TOKENWARD__UPSTREAM__AICLK__CREDENTIALS__REFRESH_TOKEN", seed);
    command
}

fn counts(vendors: &Vendors) -> Counts {
    vendors.sandbox.counts(Vendor::Aiclk)
}

#[tokio::test]
async fn p20_a_gateway_that_runs_notices_what_seed_puts_in_and_serves_on_meanwhile() {
    for command in [before, sharing] {
        let (home, vendors) = (home(), lenient().await);
        let process = Process::start(command(&vendors, &home));
        let at = process.upstream("aiclk").await;
        is_served(&at).await;

        let issued = issue(&vendors);
        let (code, said) = seeded(&vendors, &home, &issued, &[]).await;
        assert!(code == 2 && said.contains("--force"), "the stored one may be good: {said}");
        let slow = Fault::new(FaultKind::Slow(Duration::from_millis(500))).on(Scope::Token);
        vendors.sandbox.fault(Vendor::Aiclk, slow.times(1));
        let (code, said) = seeded(&vendors, &home, &issued, &["--force"]).await;
        assert_eq!(code, 0, "{said}");
        let by_hand = |message: &str| message.contains("put into the store by hand");
        process.logged(|it| it["message"].as_str().is_some_and(by_hand)).await;
        counted(&vendors.sandbox, |counts| counts.refreshes == 2).await;
        // The vendor thinks about it; the old access token lives.
        is_served(&at).await;
        has_generation(&process, 2).await;
        is_served(&at).await;
        assert_eq!(counts(&vendors).refused, 0, "the issued one was presented, and no other");
        assert_eq!(counts(&vendors).rejected, 0);

        let (code, said) = seeded(&vendors, &home, &issued, &[]).await;
        assert!(code == 2 && said.contains("used before"), "{said}");
    }
}

/// The plea says `tokenward seed`: then that must be enough.
#[tokio::test]
async fn p20_what_the_vendor_has_refused_is_replaced_without_force_while_the_gateway_runs() {
    for command in [before, sharing] {
        let (home, vendors) = (home(), Vendors::start(rotating()).await);
        let process = Process::start(command(&vendors, &home));
        let at = process.upstream("aiclk").await;
        is_served(&at).await;
        let issued = issue(&vendors);
        vendors.sandbox.expire(Vendor::Aiclk);
        assert_eq!(get(at.clone() + CALL).await.json()["code"], 401);
        let status = process.admin().await + "/status";
        get_until(status, |it| it.body.contains("tokenward seed aiclk")).await;

        let (code, said) = seeded(&vendors, &home, &issued, &[]).await;
        assert_eq!(code, 0, "{said}");
        get_until(at.clone() + CALL, |it| it.body.contains("\"code\":200")).await;
        let Counts { refreshes, refused, .. } = counts(&vendors);
        assert_eq!((refreshes, refused), (3, 1));
    }
}

/// A slip of the operator: the refresh token that was there is still tried.
#[tokio::test]
async fn p14_a_wrong_seed_costs_no_good_token() {
    let (home, vendors) = (home(), lenient().await);
    let process = Process::start(before(&vendors, &home));
    let at = process.upstream("aiclk").await;
    is_served(&at).await;
    let (code, said) = seeded(&vendors, &home, "a-slip-of-the-pen", &["--force"]).await;
    assert_eq!(code, 0, "{said}");
    let counts = counted(&vendors.sandbox, |counts| counts.granted == 2).await;
    assert_eq!(counts.refused, 1);
    has_generation(&process, 2).await;
    is_served(&at).await;
    vendors.sandbox.expire(Vendor::Aiclk);
    is_served(&at).await;
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refused, 1, "presented once");
}

/// What is put in by hand goes before the configured seed, though that was never taken up.
#[tokio::test]
async fn p20_a_seed_put_in_by_hand_before_the_first_start_goes_before_the_configured_one() {
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    let issued = issue(&vendors);
    let (code, said) = seeded(&vendors, &home, &issued, &[]).await;
    assert_eq!(code, 0, "{said}");
    for start in 1..=2 {
        let process = Process::start(before(&vendors, &home));
        is_served(&process.upstream("aiclk").await).await;
        vendors.sandbox.expire(Vendor::Aiclk);
        is_served(&process.upstream("aiclk").await).await;
        assert_eq!((counts(&vendors).refused, counts(&vendors).refreshes), (0, 1 + start));
        process.kill().await;
    }
}

#[tokio::test]
async fn p20_an_unchanged_seed_loses_to_the_store_and_a_changed_one_wins() {
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    for _ in 0..3 {
        let process = Process::start(before(&vendors, &home));
        is_served(&process.upstream("aiclk").await).await;
        process.kill().await;
    }
    assert_eq!(counts(&vendors).refreshes, 1, "a living token is in the store");
    let issued = issue(&vendors);
    for _ in 0..3 {
        let process = Process::start(with_seed(before(&vendors, &home), &issued));
        get_until(process.upstream("aiclk").await + CALL, |it| it.body.contains("\"code\":200"))
            .await;
        process.kill().await;
    }
    assert_eq!((counts(&vendors).refreshes, counts(&vendors).refused), (2, 0));
}

/// In a rolling update some replicas still have the old config: their seed is known, and presented
/// by nobody.
#[tokio::test]
async fn p20_an_old_seed_that_is_put_back_does_not_fight_the_new() {
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    let old = "sandbox-aiclk-refresh-first";
    let first = Process::start(with_seed(sharing(&vendors, &home), old));
    is_served(&first.upstream("aiclk").await).await;
    let new = issue(&vendors);
    let second = Process::start(with_seed(sharing(&vendors, &home), &new));
    let served = |it: &crate::support::vendors::Answered| it.body.contains("\"code\":200");
    get_until(second.upstream("aiclk").await + CALL, served).await;
    get_until(first.upstream("aiclk").await + CALL, served).await;
    assert_eq!(counts(&vendors).refreshes, 2, "the start, and the new seed");

    let mut running = vec![first, second];
    for (round, seed) in [old, &new, old, old, &new].into_iter().enumerate() {
        running.remove(0).kill().await;
        running.push(Process::start(with_seed(sharing(&vendors, &home), seed)));
        for process in &running {
            is_served(&process.upstream("aiclk").await).await;
        }
        vendors.sandbox.expire(Vendor::Aiclk);
        for process in &running {
            is_served(&process.upstream("aiclk").await).await;
        }
        let Counts { refreshes, refused, .. } = counts(&vendors);
        assert_eq!((refreshes, refused), (3 + round as u64, 0), "one for a death");
    }
}
