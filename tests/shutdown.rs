//! The way out: SIGTERM, the minimum, the grace, and a second signal.

use std::time::Duration;

use tokenward::sandbox::{Fault, FaultKind, Scope, Settings, Vendor};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::support::process::{Process, gateway, send};
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
        Self::start_with(fault, "0s", grace).await
    }

    async fn start_with(fault: FaultKind, minimum: &str, grace: &str) -> Self {
        let settings = Settings::default();
        let vendors = Vendors::start(settings.clone()).await;
        let home = Home::with(&vendors.config(&settings));
        let mut command = gateway(&home.config());
        command.env("TOKENWARD__SHUTDOWN__GRACE", grace);
        command.env("TOKENWARD__SHUTDOWN__MINIMUM", minimum);
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
    let busy = Busy::start(FaultKind::Slow(Duration::from_millis(1500)), "20s").await;
    let (admin, upstream) = (busy.process.admin().await, busy.process.upstream("jing").await);
    busy.process.signal("TERM").await;
    let red = get_until(format!("{admin}/readyz"), |it| it.status == 503).await.json();
    assert_eq!((&red["ready"], &red["stopping"]), (&false.into(), &true.into()));
    assert_eq!(get(format!("{admin}/healthz")).await.status, 200, "alive while it drains");
    // A moment later.
    while TcpStream::connect(upstream.trim_start_matches("http://")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!busy.call.is_finished(), "nothing new is begun, while the last request has not ended");

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
    assert_eq!(ended.code, Some(128 + 2), "{}", ended.stderr);
    assert!(ended.stderr.contains("by a second signal"), "{}", ended.stderr);
    assert!(busy.call.await.expect("no panic").is_err(), "it was cut");
}

/// For load balancers that have not noticed yet.
#[tokio::test]
async fn p29_new_callers_are_served_for_the_minimum_and_the_grace_counts_from_the_signal() {
    let (minimum, grace) = (Duration::from_millis(1500), Duration::from_millis(2000));
    let busy = Busy::start_with(FaultKind::Silent, "1500ms", "2s").await;
    let (admin, upstream) = (busy.process.admin().await, busy.process.upstream("jing").await);
    busy.vendors.sandbox.clear_faults(Vendor::Jing);
    let began = Instant::now();
    busy.process.signal("TERM").await;
    get_until(format!("{admin}/readyz"), |it| it.status == 503).await;
    let answer = get(format!("{upstream}/v1/user/list")).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(began.elapsed() < minimum, "the machine is too slow for this test");
    while TcpStream::connect(upstream.trim_start_matches("http://")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(began.elapsed() >= minimum, "{:?}", began.elapsed());
    let ended = busy.process.ended().await;
    assert!(began.elapsed() >= grace, "{:?}", began.elapsed());
    assert!(began.elapsed() < minimum + grace, "{:?}", began.elapsed());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// In a container nobody else is there to end it, and a signal that it does not handle has no effect.
#[tokio::test]
async fn p29_process_1_ends_when_it_is_told_to() {
    let ways = [&["--pid", "--fork"][..], &["--user", "--map-root-user", "--pid", "--fork"]];
    let works = |way: &&&[&str]| {
        let tried = std::process::Command::new("unshare").args(**way).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(way) = ways.iter().find(works) else {
        return eprintln!("SKIPPED: `unshare --pid` is not permitted, in a user namespace neither");
    };
    let settings = Settings::default();
    let vendors = Vendors::start(settings.clone()).await;
    let home = Home::with(&vendors.config(&settings));
    let gateway = gateway(&home.config());
    let gateway = gateway.as_std();
    for (signals, code) in [(&["TERM"][..], 0), (&["INT"], 0), (&["TERM", "TERM"], 128 + 15)] {
        let mut command = tokio::process::Command::new("unshare");
        command.args(*way).arg("--kill-child").arg(gateway.get_program()).args(gateway.get_args());
        command.env("TOKENWARD__SHUTDOWN__GRACE", "10m");
        command.env("TOKENWARD__SHUTDOWN__MINIMUM", if code == 0 { "0s" } else { "9m" });
        let process = Process::start(command);
        get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
        let outer = process.pid();
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"));
        let inner = children.expect("/proc").trim().to_owned();
        let status = std::fs::read_to_string(format!("/proc/{inner}/status")).expect("/proc");
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("a line");
        assert_eq!(numbers.split_whitespace().last(), Some("1"), "{numbers}");
        for (at, signal) in signals.iter().enumerate() {
            send(signal, &inner).await;
            let stops = |text: &str| text.starts_with("stopping");
            if at == 0 {
                process.logged(|it| it["message"].as_str().is_some_and(stops)).await;
            }
        }
        let ended = process.ended().await;
        assert_eq!(ended.code, Some(code), "{signals:?}: {}", ended.stderr);
    }
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
