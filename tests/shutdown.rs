//! The way out: SIGTERM, the grace, and a second signal.

use std::time::Duration;

use tokenward::sandbox::{Fault, FaultKind, Scope, Settings, Vendor};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::support::process::{Process, gateway};
use crate::support::vendors::{Answered, Home, Vendors, get, get_until, try_get};

/// A gateway with one call under way, whose answer comes as the fault has it.
struct Busy {
    vendors: Vendors,
    _home: Home,
    process: Process,
    call: JoinHandle<reqwest::Result<Answered>>,
}

impl Busy {
    async fn start(fault: FaultKind, grace: &str) -> Self {
        let settings = Settings::default();
        let vendors = Vendors::start(settings.clone()).await;
        let home = Home::with(&vendors.config(&settings));
        let mut command = gateway(&home.config());
        command.env("TOKENWARD__SHUTDOWN__GRACE", grace);
        let process = Process::start(command);
        get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
        vendors.sandbox.fault(Vendor::Jing, Fault::new(fault).on(Scope::Calls));
        let call = tokio::spawn(try_get(process.upstream("jing").await + "/v1/user/list"));
        let calls = vendors.sandbox.until(Vendor::Jing, |counts| counts.calls == 1);
        timeout(DEADLINE, calls).await.expect("the call reaches the vendor");
        Self { vendors, _home: home, process, call }
    }
}

#[tokio::test]
async fn p29_sigterm_turns_readiness_red_and_lets_what_has_begun_come_to_its_end() {
    let busy = Busy::start(FaultKind::Slow(Duration::from_millis(700)), "20s").await;
    let (admin, upstream) = (busy.process.admin().await, busy.process.upstream("jing").await);
    busy.process.signal("TERM").await;
    let red = get_until(format!("{admin}/readyz"), |it| it.status == 503).await.json();
    assert_eq!((&red["ready"], &red["stopping"]), (&false.into(), &true.into()));
    assert_eq!(get(format!("{admin}/healthz")).await.status, 200, "alive while it drains");
    assert!(!busy.call.is_finished(), "readiness must be red before the last request has ended");
    assert!(try_get(upstream + "/v1/user/list").await.is_err(), "nothing new is begun");

    let answer = busy.call.await.expect("no panic").expect("the answer under way is delivered");
    assert_eq!((answer.status, &answer.json()["code"]), (200, &0.into()));
    let ended = busy.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(busy.vendors.sandbox.counts(Vendor::Jing).calls, 1);
}

#[tokio::test]
async fn p29_the_grace_has_a_hard_end() {
    let busy = Busy::start(FaultKind::Silent, "300ms").await;
    let began = Instant::now();
    busy.process.signal("TERM").await;
    let ended = busy.process.ended().await;
    assert!(began.elapsed() >= Duration::from_millis(300), "the grace was not granted");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("connections had to be cut"), "{}", ended.stderr);
    assert!(busy.call.await.expect("no panic").is_err(), "there was no answer to give");
}

#[tokio::test]
async fn p29_a_second_signal_ends_at_once() {
    let busy = Busy::start(FaultKind::Silent, "10m").await;
    busy.process.signal("TERM").await;
    let stopping = |text: &str| text.starts_with("stopping");
    busy.process.logged(|it| it["message"].as_str().is_some_and(stopping)).await;
    busy.process.signal("INT").await;
    // Far within the grace.
    let ended = timeout(DEADLINE, busy.process.ended()).await.expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("by a second signal"), "{}", ended.stderr);
}

/// A refresh under way at the end is brought to its end: what the vendor answers is saved.
#[tokio::test]
async fn p29_sigterm_saves_the_answer_of_a_refresh_under_way() {
    let mut settings = Settings::default();
    settings.aiclk.tokens.rotate = true;
    let vendors = Vendors::start(settings.clone()).await;
    let home = Home::with(&vendors.config(&settings));
    let on_file = || {
        let mut command = gateway(&home.config());
        command.env("TOKENWARD__STORE__KIND", "file");
        Process::start(command)
    };
    let first = on_file();
    let (admin, upstream) = (first.admin().await, first.upstream("aiclk").await);
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    let slow = Fault::new(FaultKind::Slow(Duration::from_millis(500))).on(Scope::Token).times(1);
    vendors.sandbox.fault(Vendor::Aiclk, slow);
    vendors.sandbox.expire(Vendor::Aiclk);
    let call = tokio::spawn(get(upstream + "/openapi/v1/account/info"));
    let asked = vendors.sandbox.until(Vendor::Aiclk, |counts| counts.refreshes == 2);
    timeout(DEADLINE, asked).await.expect("a refresh begins");
    first.signal("TERM").await;
    assert_eq!(first.ended().await.code, Some(0));
    let answer = call.await.expect("no panic");
    assert_eq!(answer.header("tokenward-retry"), Some("recovered"), "{answer:?}");

    let second = on_file();
    let answer = get(second.upstream("aiclk").await + "/openapi/v1/account/info").await;
    assert_eq!((answer.status, answer.header("tokenward-retry")), (200, None), "{answer:?}");
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).granted, 2, "the saved pair was not used");
}

const DEADLINE: Duration = Duration::from_secs(30);
