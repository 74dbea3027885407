//! `check --live`: one token from each vendor, got as a gateway gets it.

use std::time::Duration;

use tokenward::sandbox::{FaultKind, Settings, Vendor};
use tokio::process::Command;

use crate::support::process::{Ended, Process, gateway, run, tokenward};
use crate::support::until;
use crate::support::vendors::{Home, Vendors, get, get_until};

fn rotating() -> Settings {
    let mut settings = Settings::default();
    settings.aiclk.tokens.rotate = true;
    settings
}

fn check(home: &Home) -> Command {
    let mut command = tokenward();
    command.args(["check", "--live", "--config"]).arg(home.config());
    command
}

/// Both vendors, with a store in a file.
fn with_a_file(vendors: &Vendors, settings: &Settings) -> Home {
    Home::with(&vendors.config(settings).replace("kind = \"memory\"", "path = \"tokens.json\""))
}

fn assert_no_secret(vendors: &Vendors, settings: &Settings, ended: &Ended) {
    let told = format!("{}{}", ended.stdout, ended.stderr);
    let mut secrets =
        vec![settings.jing.app_secret.clone(), settings.aiclk.first_refresh_token.clone()];
    for vendor in Vendor::ALL {
        let current = vendors.sandbox.current(vendor);
        secrets.extend(current.access_token.into_iter().chain(current.refresh_token));
    }
    assert!(!secrets.iter().any(|secret| told.contains(secret)), "p26: {told}");
}

#[tokio::test]
async fn p15_a_live_check_saves_what_it_gets_for_the_gateway_that_starts() {
    let settings = rotating();
    let vendors = Vendors::start(settings.clone()).await;
    let home = with_a_file(&vendors, &settings);
    let first = run(check(&home)).await;
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""), "{}", first.stdout);
    let second = run(check(&home)).await;
    assert_eq!(second.code, Some(0), "the rotated refresh token is not lost: {}", second.stdout);
    for (ended, number) in [(&first, "no. 1"), (&second, "no. 2")] {
        assert_no_secret(&vendors, &settings, ended);
        for name in ["jing", "aiclk"] {
            let line = format!("  token     {name}: got from the vendor; it lives ");
            let told = ended.stdout.lines().find(|told| told.starts_with(&line));
            let told = told.unwrap_or_else(|| panic!("{name}: {}", ended.stdout));
            assert!(told.contains(number) && told.contains("tokens.json"), "{told}");
        }
    }
    for vendor in Vendor::ALL {
        let counts = vendors.sandbox.counts(vendor);
        assert_eq!((counts.token_calls(), counts.refused), (2, 0), "{vendor}: one call a check");
    }

    let process = Process::start(gateway(&home.config()));
    let status = process.admin().await + "/status";
    let status = get_until(status, |it| it.json()["ready"] == true).await.json();
    assert_eq!(status["upstreams"]["aiclk"]["token"]["generation"], 2);
    assert_eq!(status["upstreams"]["aiclk"]["budget"]["used"], 2, "both checks were booked");
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).token_calls(), 2);
}

#[tokio::test]
async fn p17_a_live_check_beside_a_gateway_ends_no_call_of_its_callers() {
    let settings = rotating();
    let vendors = Vendors::start(settings.clone()).await;
    let home = with_a_file(&vendors, &settings);
    let process = Process::start(gateway(&home.config()));
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    let ended = run(check(&home)).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let answer = get(process.upstream("aiclk").await + "/openapi/v1/account/info").await;
    assert_eq!(answer.json()["code"], 200, "{answer:?}");
    get_until(format!("{admin}/status"), |it| {
        it.json()["upstreams"]["aiclk"]["token"]["generation"] == 2
    })
    .await;
    let counts = vendors.sandbox.counts(Vendor::Aiclk);
    assert_eq!(counts.token_calls(), 2, "the gateway has taken the token over");
}

#[tokio::test]
async fn p14_a_live_check_does_not_spend_a_refresh_token_that_it_could_not_keep() {
    let settings = rotating();
    let vendors = Vendors::start(settings.clone()).await;
    let home = Home::with(&vendors.config(&settings));
    let ended = run(check(&home)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = |name: &str| {
        let line = format!("  token     {name}: ");
        ended.stdout.lines().find_map(|it| it.strip_prefix(&line)).expect("a line").to_owned()
    };
    assert!(told("aiclk").starts_with("not tried: with a store in memory"), "{}", ended.stdout);
    assert!(told("jing").starts_with("got from the vendor; "), "{}", ended.stdout);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).token_calls(), 0);
}

#[tokio::test]
async fn p28_a_live_check_names_who_gives_no_token_and_why() {
    let mut settings = Settings::default();
    settings.aiclk.first_refresh_token = "another-refresh-token".to_owned();
    let vendors = Vendors::start(Settings::default()).await;
    let home = with_a_file(&vendors, &settings);
    let ended = run(check(&home)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("jing: got from the vendor"), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("aiclk: none: the refresh token was refused"),
        "{}",
        ended.stdout
    );
    assert_eq!(ended.stderr, "error: no token for 1 of 2 upstreams: aiclk\n");
    assert_no_secret(&vendors, &settings, &ended);

    let settings = Settings::default();
    let home = with_a_file(&vendors, &settings);
    vendors.sandbox.fault(Vendor::Jing, FaultKind::ServerError(502));
    let ended = run(check(&home)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("jing: none: "), "{}", ended.stdout);
    assert!(ended.stdout.contains("aiclk: got from the vendor"), "{}", ended.stdout);

    let broken = Home::with("[upstream.aiclk]\nvendor = \"aiclk\"\nlisen = \"x\"\n");
    let ended = run(check(&broken)).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "p32: {}", ended.stderr);
}

#[tokio::test]
async fn p15_a_live_check_takes_no_store_from_another_user() {
    let settings = rotating();
    let vendors = Vendors::start(settings.clone()).await;
    let home = with_a_file(&vendors, &settings);
    let store = home.put("tokens.json", "");
    // Nobody but root can give a file away.
    if std::os::unix::fs::chown(&store, Some(65_534), None).is_err() {
        return;
    }
    let nobodys = Home::with(&std::fs::read_to_string(home.config()).expect("a config"));
    std::os::unix::fs::chown(nobodys.path(), Some(65_534), None).expect("given away");
    for home in [&home, &nobodys] {
        let ended = run(check(home)).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stdout);
        assert!(ended.stderr.contains("belongs to the user 65534"), "{}", ended.stderr);
    }
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).token_calls(), 0);
}

#[tokio::test]
async fn p15_a_signal_does_not_end_a_live_check_before_the_answer_is_saved() {
    let mut settings = rotating();
    settings.aiclk.tokens.token_latency = Duration::from_millis(300);
    let vendors = Vendors::start(settings.clone()).await;
    let config = vendors.config(&settings);
    let start = config.find("[upstream.jing]").expect("jing");
    let end = config.find("[upstream.aiclk]").expect("aiclk");
    let config = [&config[..start], &config[end..]].concat();
    let home = Home::with(&config.replace("kind = \"memory\"", "path = \"tokens.json\""));
    let process = Process::start(check(&home));
    let counts = || vendors.sandbox.counts(Vendor::Aiclk);
    until("the vendor is asked", || counts().token_calls() == 1).await;
    process.signal("INT").await;
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("aiclk: got from the vendor"), "{}", ended.stdout);
    let again = run(check(&home)).await;
    assert_eq!(again.code, Some(0), "nothing was lost: {}{}", again.stdout, again.stderr);
}
