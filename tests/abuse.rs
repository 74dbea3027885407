//! Callers over HTTP/1 who want to do harm: each attack ends at a limit, costs bounded memory, and
//! leaves others their turn (p25, p27).

use std::fmt::Write;

use crate::support::flood::Flood;
use crate::support::process::{Process, gateway, tokenward};
use crate::support::running::Running;
use crate::support::vendors::{Home, get_until};
use crate::support::{Answer, Caller, RawVendor, Stage, soon};

const GET: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CHUNKED: &str =
    "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
const IN_FLIGHT: (&str, &[(&str, &str)]) =
    ("tokenward_requests_in_flight", &[("upstream", "aiclk")]);
/// Of a flood, while one quick call is answered: what lies in the buffers of connections that are opened
/// anew again and again.
const MUCH: usize = 8 << 20;

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

/// A flood of connections that say nothing, or half of a head, must not keep others out until their time
/// is over.
#[tokio::test]
async fn p27_connections_without_a_request_make_room_for_others() {
    let half = "GET /openapi/x HTTP/1.1\r\nX-Half: ";
    // With an empty SETTINGS; it never answers a ping.
    let silent_http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    for begun in ["", half, silent_http2] {
        let (vendor, stage) = stage("limits.connections = 20").await;
        let hand = vendor.by_hand();
        let mut busy = stage.caller("aiclk").await;
        busy.send(GET).await;
        let mut hand = hand.arrives().await;
        let mut flood = Vec::new();
        for _ in 0..5 {
            for _ in 0..20 {
                let mut caller = stage.caller("aiclk").await;
                caller.send_if_taken(begun).await;
                flood.push(caller);
            }
            assert_eq!(stage.get("aiclk", "/openapi/x").await.status(), 200);
        }
        // Nobody who is being answered was sent away.
        hand.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        assert_eq!(busy.answer().await.text(), "done");
        soon("no more than the limit are open", async {
            while stage.metric("tokenward_caller_connections", &[]).await > 20.0 {}
        })
        .await;
        let labels = [("upstream", "aiclk"), ("limit", "connections")];
        let met = stage.metric("tokenward_limits_reached_total", &labels).await;
        assert!(met >= 30.0, "counted {met} times");
    }
}

#[tokio::test]
async fn p27_a_flood_leaves_others_their_turn() {
    let fields: String = (0..99).fold(String::new(), |mut all, number| {
        let _ = write!(all, "X-{number}: {}\r\n", "v".repeat(200));
        all
    });
    let head = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n";
    let long = "x".repeat(1 << 20);
    let floods = [
        ("an endless target", "GET /".to_owned(), long.clone()),
        ("an endless header", format!("{head}X-Long: "), long.clone()),
        ("many fields", String::new(), format!("{head}{fields}\r\n").repeat(20)),
        ("pipelined requests", String::new(), GET.repeat(20_000)),
        ("an endless chunk extension", format!("{CHUNKED}1;"), long),
        ("endless trailers", format!("{CHUNKED}0\r\n"), "X-A: 1\r\n".repeat(100_000)),
    ];
    for (what, first, again) in floods {
        let running = Running::with("workers = 1").await;
        let flood = Flood::start(&running, 8, first.as_bytes(), again.as_bytes());
        let read = flood.read_during_a_call(&running).await;
        println!("{what}: {read} bytes during a call");
        assert!(read < MUCH, "{what}: {read} bytes");
        drop(flood);
        running.is_quiet().await;
        running.end().await;
    }
}

#[tokio::test]
async fn p25_chunk_lines_and_trailers_without_end_are_cut() {
    let long = "a".repeat(1 << 20);
    for (body, limit) in [
        (format!("1;{long}"), None),
        (format!("1{}", "0".repeat(1 << 20)), None),
        (format!("0\r\nX: {long}"), Some("headers-too-large")),
        (format!("0\r\n{}", "X: y\r\n".repeat(10_000)), Some("too-many-headers")),
    ] {
        let (vendor, stage) = stage("").await;
        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        caller.send(CHUNKED).await;
        let mut hand = hand.arrives().await;
        caller.send_if_taken(&body).await;
        let answer = caller.answer().await;
        assert!(matches!(answer.status(), 400 | 431), "{answer:?}");
        if let Some(kind) = limit {
            assert_eq!(answer.status() == 431, answer.one("tokenward-error") == Some(kind));
        }
        let sent = hand.rest().await.len();
        assert!(sent < 2000, "{sent} bytes have gone on");
        stage.metric_becomes(IN_FLIGHT.0, IN_FLIGHT.1, 0.0).await;
    }
}

/// Whoever does not read his answers is not asked for at the vendor again and again.
#[tokio::test]
async fn p27_pipelining_without_reading_costs_one_call_at_a_time() {
    let (vendor, stage) = stage("limits.idle = '300ms'").await;
    let big = "x".repeat(4 << 20);
    for _ in 0..30 {
        vendor.will(Answer::new(200, &[("Content-Type", "video/mp4")], &big));
    }
    let mut caller = stage.caller("aiclk").await;
    caller.send_if_taken(GET.repeat(30)).await;
    let labels = [("upstream", "aiclk"), ("limit", "idle")];
    stage.metric_becomes("tokenward_limits_reached_total", &labels, 1.0).await;
    assert!(vendor.calls().len() < 10, "{} calls", vendor.calls().len());
    stage.metric_becomes(IN_FLIGHT.0, IN_FLIGHT.1, 0.0).await;
}

#[tokio::test]
async fn p27_callers_who_ask_and_leave_leave_nothing_behind() {
    let (vendor, stage) = stage("").await;
    for _ in 0..300 {
        vendor.will(Answer::silence());
    }
    for round in 0..3 {
        let mut callers = Vec::new();
        for _ in 0..100 {
            let mut caller: Caller = stage.caller("aiclk").await.that_resets();
            caller.send(GET).await;
            callers.push(caller);
        }
        let calls = 100 * (round + 1);
        vendor.until("all have asked", |all| all.len() == calls).await;
        drop(callers);
        stage.metric_becomes(IN_FLIGHT.0, IN_FLIGHT.1, 0.0).await;
        let active = [("upstream", "aiclk"), ("state", "active")];
        stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
        stage.metric_becomes("tokenward_caller_connections", &[], 0.0).await;
    }
    assert_eq!(stage.get("aiclk", "/openapi/x").await.status(), 200);
}

#[tokio::test]
async fn p27_half_requests_cost_little_memory() {
    const CALLERS: u64 = 200;
    let idle = (String::new(), 16 << 10, "idle connections");
    let small = ("GET /x HTTP/1.1\r\nX: ".to_owned(), 24 << 10, "half heads");
    let large = (format!("GET /x HTTP/1.1\r\nX: {}", "v".repeat(60_000)), 192 << 10, "large heads");
    for (begun, each, what) in [idle, small, large] {
        let running = Running::with("workers = 1").await;
        let (begun_with, _) = running.memory();
        let mut callers = Vec::new();
        for _ in 0..CALLERS {
            let mut caller = running.caller().await;
            caller.send(&begun).await;
            callers.push(caller);
        }
        // Whatever came before it has been read by then.
        assert_eq!(running.get("/openapi/x").await.status(), 200);
        running.assert_grown_by_less_than(4 + CALLERS * each / (1 << 20), begun_with, what);
        drop(callers);
        running.end().await;
    }
}

/// What waits for each of them is `replay.max_body` and what its two connections hold.
#[tokio::test]
async fn p27_uploads_in_single_bytes_cost_no_more_than_others() {
    const UPLOADS: u64 = 16;
    let running = Running::with("workers = 1").await;
    let (begun, _) = running.memory();
    let mut hands = Vec::new();
    let mut callers = Vec::new();
    for _ in 0..UPLOADS {
        let hand = running.vendor.by_hand();
        let mut caller = running.caller().await;
        caller.send(CHUNKED).await;
        hands.push(hand.arrives().await);
        callers.push(tokio::spawn(async move {
            // The vendor takes none of it.
            let pouring = caller.send_if_taken("1\r\nx\r\n".repeat(1 << 20));
            let _ = tokio::time::timeout(std::time::Duration::from_millis(500), pouring).await;
            caller
        }));
    }
    let mut held = Vec::new();
    for caller in callers {
        held.push(soon("nothing moves any more", caller).await.expect("no panic"));
    }
    assert_eq!(running.get("/openapi/x").await.status(), 200);
    running.assert_grown_by_less_than(2 * UPLOADS, begun, "uploads in single bytes");
    drop((held, hands));
    running.end().await;
}

/// With few files the callers are kept so few that the vendor can still be reached, and the limit raised
/// to what the system permits.
#[tokio::test]
async fn p27_the_files_of_the_process_are_enough_for_its_callers() {
    let vendor = RawVendor::start().await;
    let home = Home::with(&format!(
        "workers = 1\nadmin.listen = '127.0.0.1:0'\nstore.kind = 'memory'\n[upstream.aiclk]\n\
         vendor = 'aiclk'\nlisten = '127.0.0.1:0'\nbase_url = 'http://{}'\n\
         credentials = {{ client_id = 'id', refresh_token = 'seed' }}\n",
        vendor.address
    ));
    let program = gateway(&home.config());
    let mut limited = tokenward();
    limited = {
        let arguments: Vec<_> = program.as_std().get_args().map(ToOwned::to_owned).collect();
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", "ulimit -Sn 64 && ulimit -Hn 456 && exec \"$0\" \"$@\""]);
        shell.arg(limited.as_std().get_program()).args(arguments);
        shell
    };
    let process = Process::start(limited);
    get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
    let said = "limits.connections is 10000, and 100 from now on";
    process.logged(|it| it["message"].as_str().is_some_and(|text| text.starts_with(said))).await;
    let address = process.upstream("aiclk").await;
    let address = address.trim_start_matches("http://").parse().expect("an address");
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(Caller::tcp(address).await);
    }
    let mut caller = Caller::tcp(address).await;
    caller.send(GET).await;
    assert_eq!(caller.answer().await.status(), 200);
    get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
}
