//! Connections that callers hold open without doing much: each is counted, and each ends (p27).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::interval;

use crate::support::bulk::pattern;
use crate::support::{RawVendor, Stage, soon};

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

const GET: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HANDSHAKE: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                         Upgrade: echo\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello";
const CONNECTIONS: &str = "tokenward_caller_connections";

async fn reached(stage: &Stage, limit: &str) -> f64 {
    stage.metric("tokenward_limits_reached_total", &[("limit", limit)]).await
}

#[tokio::test]
async fn p27_a_head_has_its_time_though_it_may_become_http_2() {
    for beginning in ["P", "PRI * HTTP/2.0\r\n\r\nS"] {
        let (_vendor, stage) = stage("limits.head = '100ms'").await;
        let mut caller = stage.caller("aiclk").await;
        caller.send(beginning).await;
        let answer = caller.answer().await;
        let kind = answer.one("tokenward-error");
        assert_eq!((answer.status(), kind), (408, Some("request-timeout")), "{beginning:?}");
        assert_eq!(caller.rest_without_reset().await, b"");
        assert_eq!(reached(&stage, "head").await, 1.0);
    }
}

#[tokio::test]
async fn p27_callers_who_are_refused_do_not_keep_others_out() {
    let (vendor, stage) = stage("limits.connections = 1").await;
    let hand = vendor.by_hand();
    let mut served = stage.caller("aiclk").await;
    served.send(GET).await;
    let mut hand = hand.arrives().await;
    let mut refused = Vec::new();
    for _ in 0..3 {
        let mut caller = stage.caller("aiclk").await;
        assert_eq!(caller.answer().await.status(), 503);
        refused.push(caller);
    }
    // They have not closed, and might still be sending.
    assert_eq!(stage.metric(CONNECTIONS, &[]).await, 1.0);
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(served.answer().await.status(), 200);
}

#[tokio::test]
async fn p27_a_tunnel_is_a_connection_too() {
    let (vendor, stage) = stage("limits.connections = 1").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(HANDSHAKE).await;
    let mut hand = hand.arrives().await;
    hand.send(SWITCHING).await;
    let (mut stream, mut read) = caller.into_parts();
    while !read.ends_with(b"hello") {
        soon("the tunnel", stream.read_buf(&mut read)).await.expect("a read");
    }
    assert_eq!(stage.metric(CONNECTIONS, &[]).await, 1.0);
    assert_eq!(stage.get("aiclk", "/openapi/x").await.status(), 503);
    drop(stream);
    hand.close();
    stage.metric_becomes(CONNECTIONS, &[], 0.0).await;
}

#[tokio::test]
async fn p04_a_tunnel_ends_when_nobody_reads_at_its_other_end() {
    let (vendor, stage) = stage("").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(HANDSHAKE).await;
    let mut hand = hand.arrives().await;
    hand.send(SWITCHING).await;
    hand.close();
    let (mut stream, mut read) = caller.into_parts();
    while soon("the vendor's end", stream.read_buf(&mut read)).await.expect("a read") > 0 {}
    let pattern = pattern();
    soon("the caller learns of it", async { while stream.write_all(&pattern).await.is_ok() {} })
        .await;
}

#[tokio::test]
async fn p27_a_small_answer_over_http_2_that_is_not_taken_does_not_hold_its_connection() {
    let (_vendor, stage) = stage("limits = { idle = '200ms', keep_alive = '200ms' }").await;
    let mut caller = stage.caller("aiclk").await;
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost")];
    let mut block = Vec::new();
    for (name, value) in fields.iter().chain([&(":path", "/openapi/x")]) {
        // A literal, not indexed, name and value as they are.
        block.extend([&[0, name.len() as u8], name.as_bytes()].concat());
        block.extend([&[value.len() as u8], value.as_bytes()].concat());
    }
    caller.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 1; then the request in one HEADERS frame.
    caller.send([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1]).await;
    caller.send([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]).await;
    caller.send(block).await;
    let sent = caller.rest().await;
    assert!(!sent.is_empty());
    assert_eq!(reached(&stage, "idle").await, 1.0);
    stage.metric_becomes(CONNECTIONS, &[], 0.0).await;
}

#[tokio::test]
async fn p27_a_caller_who_reads_slowly_but_steadily_is_not_given_up() {
    let (vendor, stage) = stage("limits.idle = '2s'").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let mut hand = hand.arrives().await;
    hand.send("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n").await;
    let pouring = tokio::spawn(async move { hand.send_until_blocked(512 << 20).await });
    let (mut stream, _) = caller.into_parts();
    // 500 KB a second: what the kernel holds for a connection takes it many seconds.
    let mut ticks = interval(Duration::from_millis(64));
    let mut piece = vec![0; 32 << 10];
    for _ in 0..45 {
        ticks.tick().await;
        soon("a piece", stream.read_exact(&mut piece)).await.expect("a read");
    }
    assert_eq!(reached(&stage, "idle").await, 0.0);
    pouring.abort();
}
