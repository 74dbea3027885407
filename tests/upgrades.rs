//! Upgrades: the token is on the handshake, a rejected one is tried once more, and what comes after
//! it is nobody's business (p04).

use std::time::Duration;

use tokenward::app::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Answer, Caller, RawVendor, Stage, soon};

const HANDSHAKE: &str = "GET /openapi/events?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2FtcGxlIG5vbmNlIDEyMw==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: made-up\r\n\r\n";
const NEXT: &str = "GET /openapi/next HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

/// Reads exactly these bytes.
async fn expect(stream: &mut (impl AsyncReadExt + Unpin), expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    soon("bytes of the tunnel", stream.read_exact(&mut read)).await.expect("bytes");
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
}

/// A caller and a vendor whose handshake has succeeded, each with what it has read behind it.
async fn tunnel(vendor: &RawVendor, stage: &Stage, early: &str) -> (Caller, TcpStream) {
    let caller = stage.caller("aiclk").await;
    tunnel_of(caller, vendor, early).await
}

async fn tunnel_of(mut caller: Caller, vendor: &RawVendor, early: &str) -> (Caller, TcpStream) {
    let hand = vendor.by_hand();
    caller.send(format!("{HANDSHAKE}{early}")).await;
    let mut hand = hand.arrives().await;
    let request = hand.request().await;
    assert_eq!(request.line, "GET /openapi/events?x=1 HTTP/1.1");
    assert_eq!(request.one("ogw_access_token"), Some(&*vendor.token("aiclk", 1)));
    assert_eq!(
        (request.one("connection"), request.one("upgrade")),
        (Some("upgrade"), Some("websocket"))
    );
    assert_eq!(request.one("sec-websocket-key"), Some("c2FtcGxlIG5vbmNlIDEyMw=="));
    hand.send(format!("{SWITCHING}at once")).await;
    let (stream, read) = hand.into_parts();
    assert!(read.is_empty(), "nothing travels before the vendor has agreed");

    let answer = caller.answer().await;
    assert_eq!(answer.status(), 101);
    assert_eq!(
        (answer.one("connection"), answer.one("upgrade")),
        (Some("upgrade"), Some("websocket"))
    );
    assert_eq!(answer.one("sec-websocket-accept"), Some("made-up"));
    (caller, stream)
}

#[tokio::test]
async fn p04_after_the_handshake_bytes_pass_both_ways_as_they_are() {
    let (vendor, stage) = stage("").await;
    // What was sent too early for HTTP looks like HTTP.
    let (caller, mut theirs) = tunnel(&vendor, &stage, NEXT).await;
    let (mut ours, read) = caller.into_parts();
    expect(&mut read.as_slice().chain(&mut ours), b"at once").await;
    expect(&mut theirs, NEXT.as_bytes()).await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    ours.write_all(&bytes).await.expect("a write");
    expect(&mut theirs, &bytes).await;
    theirs.write_all(&bytes).await.expect("a write");
    expect(&mut ours, &bytes).await;

    let aiclk = [("upstream", "aiclk")];
    let carried = (NEXT.len() + bytes.len()) as f64;
    stage.metric_becomes("tokenward_request_bytes_total", &aiclk, carried).await;

    // One side may end before the other.
    ours.shutdown().await.expect("an end");
    assert_eq!(soon("the end", theirs.read(&mut [0; 9])).await.expect("no error"), 0);
    theirs.write_all(b"last words").await.expect("a write");
    expect(&mut ours, b"last words").await;
    drop(theirs);
    assert_eq!(soon("the end", ours.read(&mut [0; 9])).await.expect("no error"), 0);
    stage.metric_becomes("tokenward_requests_in_flight", &aiclk, 0.0).await;
    assert_eq!(vendor.calls().len(), 1, "what was in the tunnel is no request");
}

#[tokio::test]
async fn p04_a_rejected_handshake_is_tried_once_more() {
    let (vendor, stage) = stage("").await;
    vendor.will(Answer::rejection());
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(format!("{HANDSHAKE}early")).await;
    let mut hand = hand.arrives().await;
    let second = hand.request().await;
    assert_eq!(second.one("ogw_access_token"), Some(&*vendor.token("aiclk", 2)));
    assert_eq!(second.one("upgrade"), Some("websocket"));
    hand.send(SWITCHING).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status(), answer.one("tokenward-retry")), (101, Some("recovered")));
    let (mut theirs, _) = hand.into_parts();
    expect(&mut theirs, b"early").await;
}

#[tokio::test]
async fn p08_a_handshake_that_is_rejected_again_is_handed_on() {
    let (vendor, stage) = stage("").await;
    vendor.will(Answer::rejection()).will(Answer::rejection());
    let mut caller = stage.caller("aiclk").await;
    caller.send(HANDSHAKE).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status(), answer.one("tokenward-retry")), (200, Some("rejected-again")));
    assert_eq!(vendor.calls().len(), 2);
}

/// A server may ignore an upgrade (RFC 9110, 7.8): then HTTP goes on, with what came meanwhile.
#[tokio::test]
async fn p04_a_handshake_that_is_not_taken_leaves_http() {
    let (vendor, stage) = stage("").await;
    vendor.will(Answer::new(200, &[], "no")).will(Answer::new(200, &[], "next"));
    let mut caller = stage.caller("aiclk").await;
    caller.send(format!("{HANDSHAKE}{NEXT}")).await;
    assert_eq!(caller.answer().await.text(), "no");
    assert_eq!(caller.answer().await.text(), "next");
    assert_eq!(vendor.calls()[1].request.all("upgrade"), [""; 0]);
}

#[tokio::test]
async fn p28_a_switch_that_nobody_asked_for_is_refused() {
    let (vendor, stage) = stage("").await;
    vendor.will(Answer::raw(format!("{SWITCHING}{SWITCHING}")));
    let mut caller = stage.caller("aiclk").await;
    caller.send(NEXT).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status(), answer.one("tokenward-error")), (502, Some("upstream-broken")));
    caller.send(NEXT).await;
    assert_eq!(caller.answer().await.status(), 200, "on another connection");
    assert_eq!(vendor.calls()[1].connection - vendor.calls()[0].connection, 1);
}

/// HTTP/1.0, a body, and HTTP/2 by upgrade: there is no tunnel for these, but an answer.
#[tokio::test]
async fn p04_what_cannot_be_a_tunnel_is_a_request() {
    let (vendor, stage) = stage("").await;
    for handshake in [
        HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"),
        HANDSHAKE.replace("Upgrade: websocket", "Upgrade: h2c"),
        HANDSHAKE.replace("keep-alive, Upgrade", "keep-alive"),
        HANDSHAKE.replace("Upgrade: websocket", "Upgrade: websocket\r\nContent-Length: 2") + "{}",
    ] {
        let before = vendor.calls().len();
        let mut caller = stage.caller("aiclk").await;
        caller.send(&handshake).await;
        assert_eq!(caller.answer().await.status(), 200, "{handshake}");
        let call = &vendor.calls()[before].request;
        assert_eq!(call.all("upgrade"), [""; 0], "{handshake}");
    }
}

#[tokio::test]
async fn p29_a_tunnel_ends_with_the_grace() {
    let (vendor, stage) = stage("shutdown.grace = '300ms'").await;
    let (caller, mut theirs) = tunnel(&vendor, &stage, "").await;
    assert_eq!(stage.gateway.stop().await, 1, "one had to be cut");
    assert_eq!(theirs.read(&mut [0; 9]).await.unwrap_or(0), 0);
    assert_eq!(caller.rest().await, b"at once");
}

/// It is the connection's last answer in any case, and does not say `close`.
#[tokio::test]
async fn p29_a_handshake_succeeds_while_new_callers_are_still_taken() {
    let (vendor, stage) = stage("workers = 1\nshutdown = { minimum = '5m', grace = '10m' }").await;
    let Address::Tcp(listener) = *stage.address("aiclk") else { panic!("a TCP listener") };
    let stopping = tokio::spawn(stage.gateway.stop());
    let is_last = async || {
        vendor.will(Answer::json(200, "{}"));
        let mut caller = Caller::tcp(listener).await;
        caller.send(NEXT).await;
        caller.answer().await.one("connection") == Some("close")
    };
    soon("the worker knows", async { while !is_last().await {} }).await;
    tunnel_of(Caller::tcp(listener).await, &vendor, "").await;
    stopping.abort();
}

/// Both may be silent for as long as they like; one that is left alone may not.
#[tokio::test]
async fn p27_a_tunnel_that_one_side_has_left_ends() {
    let (vendor, stage) = stage("upstream.aiclk.timeouts.idle = '300ms'").await;
    let (caller, mut theirs) = tunnel(&vendor, &stage, "").await;
    let end = timeout(Duration::from_millis(700), theirs.read(&mut [0])).await;
    assert!(end.is_err(), "the tunnel stands");
    theirs.write_all(b"still here").await.expect("a write");
    let (mut ours, read) = caller.into_parts();
    expect(&mut read.as_slice().chain(&mut ours), b"at oncestill here").await;
    drop(ours);
    let gone = async { while theirs.write_all(b"x").await.is_ok() {} };
    soon("the end of the tunnel", gone).await;
    stage.metric_becomes("tokenward_requests_in_flight", &[("upstream", "aiclk")], 0.0).await;
}
