//! A vendor that is broken or means harm: what it sends is looked at within bounds, costs bounded memory
//! and time, and its callers get either the vendor's own bytes or an error that names it (p06, p27).

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use tokenward::config::parse;
use tokenward::document::Document;

use crate::support::h2::{
    CONTINUATION, END_HEADERS, Event, HEADERS, NO_ERROR, PING, PUSH_PROMISE, Peer, SETTINGS,
    Vendor, block, frame,
};
use crate::support::running::Running;
use crate::support::{Answer, RawVendor, Stage, soon};

const GET: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

/// Of JSON, a hundred times as long as a look may be.
fn bomb() -> Vec<u8> {
    let mut plain = br#"{"data":""#.to_vec();
    plain.resize(8 << 20, b'0');
    plain
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(plain).expect("memory");
    coder.finish().expect("memory")
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut coder = DeflateEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(plain).expect("memory");
    coder.finish().expect("memory")
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut coder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 22);
    coder.write_all(plain).expect("memory");
    coder.into_inner()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; zstd_safe::compress_bound(plain.len())];
    let length = zstd_safe::compress(&mut packed[..], plain, 1).expect("room");
    packed.truncate(length);
    packed
}

#[tokio::test]
async fn p27_a_decompression_bomb_is_handed_on_as_it_came() {
    let running = Running::with("workers = 1").await;
    let plain = bomb();
    let nested = gzip(&gzip(&plain));
    // Members that hold nothing, without end.
    let empty = gzip(b"").repeat(20_000);
    let bombs = [
        ("gzip", gzip(&plain)),
        ("deflate", deflate(&plain)),
        ("br", brotli(&plain)),
        ("zstd", zstd(&plain)),
        ("gzip", nested),
        ("gzip", empty),
        ("gzip, gzip", gzip(&gzip(&plain))),
    ];
    drop(plain);
    let (begun, _) = running.memory();
    for (coding, body) in bombs {
        let json = ("Content-Type", "application/json");
        running.vendor.will(Answer::new(200, &[json, ("Content-Encoding", coding)], &body));
        let answer = running.get("/openapi/x").await;
        assert_eq!((answer.status(), answer.body == body), (200, true), "{coding}");
    }
    running.assert_grown_by_less_than(24, begun, "decompression bombs");
    running.end().await;
}

#[tokio::test]
async fn p06_absurd_json_is_handed_on_as_it_came() {
    let (vendor, stage) = stage("").await;
    let many = 1 << 20;
    let bodies = [
        "[".repeat(100_000),
        r#"{"a":"#.repeat(100_000),
        format!("{}{}", r#"{"data":"#, "[{\"a\":".repeat(100_000)),
        format!(r#"{{"code":{}}}"#, "9".repeat(many)),
        format!(r#"{{"code":-0.{}e{}}}"#, "0".repeat(many), "9".repeat(1000)),
        format!(r#"{{"message":"{}"}}"#, "token expired ".repeat(many / 14)),
        format!(r#"{{"message":"{}"}}"#, r"\u0000".repeat(many / 6)),
        format!(r#"{{"{}":1}}"#, "k".repeat(many)),
        format!("{{{}\"code\":1}}", r#""code":200,"#.repeat(50_000)),
        format!("{{{}\"x\":1}}", r#""x":"access token expired","#.repeat(50_000)),
        format!("{{\"code\":{}", " ".repeat(many)),
        format!("\u{feff}{}", "\u{feff}".repeat(10_000)),
    ];
    for body in bodies {
        vendor.will(Answer::json(200, &body));
        let answer = stage.get("aiclk", "/openapi/x").await;
        let begins: String = body.chars().take(30).collect();
        assert_eq!(answer.one("tokenward-retry"), None, "{begins}");
        assert!(answer.text() == body, "{begins}");
    }
    assert_eq!(stage.generation("aiclk"), 1);
}

/// Pieces of one byte are held until the look is over: one buffer for each would make 6 MiB of them.
#[tokio::test]
async fn p27_an_answer_in_single_bytes_costs_no_more_than_another() {
    const PIECES: usize = 70_000;
    let running = Running::with("workers = 1").await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n";
    let body = format!("{head}{}0\r\n\r\n", "1\r\nx\r\n".repeat(PIECES));
    // The first answers warm up what is there for every answer.
    running.vendor.will(Answer::json(200, &"x".repeat(PIECES)));
    running.get("/openapi/x").await;
    let (begun, _) = running.memory();
    running.vendor.will(Answer::raw(body));
    let answer = running.get("/openapi/x").await;
    assert_eq!(answer.body.len(), PIECES + 2);
    running.assert_grown_by_less_than(3, begun, "an answer in single bytes");
    running.end().await;
}

/// Drop by drop, an answer is looked at for `timeouts.idle` and no longer.
#[tokio::test]
async fn p27_a_look_at_a_slow_drip_has_its_time() {
    let (vendor, stage) = stage("upstream.aiclk.timeouts.idle = '300ms'").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let mut hand = hand.arrives().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n3\r\n{\"x\r\n";
    hand.send(head).await;
    let dripping = tokio::spawn(async move { hand.trickle_until_closed("1\r\nx\r\n").await });
    let answer = caller.answer_so_far(|answer| !answer.body.is_empty()).await;
    assert_eq!(answer.status(), 200);
    // What is not looked at any more goes on as it comes.
    let held = answer.body.len();
    caller.answer_so_far(|answer| answer.body.len() > held).await;
    drop(caller);
    soon("the vendor is given up", dripping).await.expect("no panic");
}

#[tokio::test]
async fn p28_a_head_without_measure_is_the_vendors_fault() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let heads = [
        format!("{ok}X-Long: {}", "v".repeat(1 << 20)),
        format!("{ok}{}", "X-A: 1\r\n".repeat(100_000)),
        format!("HTTP/1.1 200 {}", "O".repeat(1 << 20)),
        "\r\n".repeat(1 << 19),
    ];
    let (vendor, stage) = stage("").await;
    for head in heads {
        vendor.will(Answer::raw(head.clone()));
        let answer = stage.get("aiclk", "/openapi/x").await;
        let begins = &head[..20];
        assert_eq!(answer.status(), 502, "{begins}");
        assert_eq!(answer.one("tokenward-error"), Some("upstream-broken"), "{begins}");
    }
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    assert_eq!(stage.get("aiclk", "/openapi/x").await.status(), 200);
}

/// Interim answers are read and dropped; without end, they are no answer.
#[tokio::test]
async fn p27_interim_answers_do_not_take_the_place_of_one() {
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n"] {
        let (vendor, stage) = stage("upstream.aiclk.timeouts.first_byte = '1s'").await;
        let last = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast";
        vendor.will(Answer::raw(interim.repeat(1000) + last));
        assert_eq!(stage.get("aiclk", "/openapi/x").await.text(), "last");

        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        caller.send(GET).await;
        let hand = hand.arrives().await;
        let all = interim.repeat(1000);
        let flood = tokio::spawn(async move { hand.trickle_until_closed(&all).await });
        // The worker is there for others.
        assert_eq!(stage.get("aiclk", "/openapi/x").await.status(), 200);
        let answer = caller.answer().await;
        assert!(matches!(answer.status(), 502 | 504), "{answer:?}");
        soon("the vendor is given up", flood).await.expect("no panic");
        let active = [("upstream", "aiclk"), ("state", "active")];
        stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    }
}

/// What an HTTP/2 vendor may do instead of an answer: its caller is told, and others are served.
#[tokio::test]
async fn p27_an_http2_vendor_that_floods_is_given_up() {
    let field = block(&[("x-a", &"v".repeat(16_000))]);
    let head = |stream| frame(HEADERS, 0, stream, &block(&[(":status", "200")]));
    let promise = [&2_u32.to_be_bytes()[..], &block(&[(":method", "GET")])].concat();
    let floods = [
        ("CONTINUATION", [head(1), frame(CONTINUATION, 0, 1, &field).repeat(200)].concat()),
        ("empty CONTINUATION", [head(1), frame(CONTINUATION, 0, 1, &[]).repeat(10_000)].concat()),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &promise).repeat(1000)),
        ("another stream", head(2).repeat(1000)),
    ];
    for (what, flood) in floods {
        let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
        let stage = vendor.stage("").await;
        let mut caller = stage.caller("aiclk").await;
        caller.send(GET).await;
        let mut peer = vendor.peer(&[]).await;
        assert_eq!(peer.request().await.0, 1);
        let _ = peer.send_bytes_if_taken(&flood).await;
        let answer = caller.answer().await;
        assert_eq!(answer.one("tokenward-error"), Some("upstream-broken"), "{what}: {answer:?}");
        drop(peer);
        serves_the_next(&mut vendor, &stage).await;
    }
}

/// Frames that are right, only far too many: the answer comes, and the worker has time for others.
#[tokio::test]
async fn p27_control_frames_of_a_vendor_are_borne() {
    let floods = [
        ("PING", frame(PING, 0, 0, b"12345678").repeat(2000)),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(1000)),
        ("103", frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "103")])).repeat(200)),
    ];
    for (what, flood) in floods {
        let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
        let stage = vendor.stage("").await;
        let mut caller = stage.caller("aiclk").await;
        caller.send(GET).await;
        let mut peer = vendor.peer(&[]).await;
        let (stream, _) = peer.request().await;
        peer.send_bytes_if_taken(&flood).await.expect("it is borne");
        peer.answer(stream, "200", "{}").await;
        assert_eq!(caller.answer().await.status(), 200, "{what}");
        drop(peer);
        serves_the_next(&mut vendor, &stage).await;
    }
}

/// A vendor that sends each connection away before it has answered is asked a few times and no more.
#[tokio::test]
async fn p27_a_vendor_that_always_goes_away_is_not_asked_for_ever() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let leaving = async {
        let mut connections = 0;
        loop {
            let mut peer = vendor.peer(&[]).await;
            connections += 1;
            assert!(connections < 20, "{connections} connections for one request");
            while !matches!(peer.event().await, Event::Head { .. } | Event::Closed) {}
            peer.go_away(0, NO_ERROR).await;
        }
    };
    let answer = tokio::select! {
        answer = caller.answer() => answer,
        () = leaving => unreachable!("it goes on"),
    };
    assert_eq!(answer.one("tokenward-error"), Some("upstream-broken"), "{answer:?}");
}

/// A pattern of the operator's own that would cost too much is a mistake in the config.
#[test]
fn p32_a_pattern_that_is_too_large_is_shown_in_its_place() {
    let config = "[upstream.aiclk]\nvendor = 'aiclk'\nlisten = '127.0.0.1:0'\n\
                  credentials = { client_id = 'id', refresh_token = 'seed' }\n\
                  [[upstream.aiclk.reject]]\ntext = '/message'\npattern = '(a{1000}){1000}'\n\
                  verdict = 'expired'\n";
    let (document, mut report) = Document::parse("test.toml", config.to_owned());
    assert!(parse::config(&document, std::path::Path::new("."), &mut report).is_none());
    let said = report.to_string();
    assert!(said.contains("test.toml:7:") && said.contains("size"), "{said}");
}

async fn serves_the_next(vendor: &mut Vendor, stage: &Stage) {
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let mut peer: Peer = vendor.peer(&[]).await;
    let (stream, _) = peer.request().await;
    peer.answer(stream, "200", "{}").await;
    assert_eq!(caller.answer().await.status(), 200);
}
