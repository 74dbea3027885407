//! Callers over HTTP/2 who want to do harm: resets, CONTINUATION, control frames, small frames, windows
//! that stay closed, headers that grow (p27).

use crate::support::flood::Flood;
use crate::support::h2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, Event, HEADERS, INITIAL_WINDOW_SIZE, PING,
    PREFACE, PRIORITY, Peer, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, field, frame,
};
use crate::support::running::Running;
use crate::support::{Answer, RawVendor, Stage};

const REQUEST: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/openapi/x"),
    (":authority", "localhost:8082"),
];
const UPLOAD: [(&str, &str); 4] =
    [(":method", "POST"), REQUEST[1], REQUEST[2], (":authority", "localhost:8082")];
/// Of a flood, while one quick call is answered. A connection's turn is 8 KiB, and a call needs some turns;
/// without turns it would be megabytes.
const MUCH: usize = 384 << 10;

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

fn begin() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

async fn quiet(stage: &Stage) {
    let upstream = [("upstream", "aiclk")];
    stage.metric_becomes("tokenward_requests_in_flight", &upstream, 0.0).await;
    stage.metric_becomes("tokenward_caller_connections", &[], 0.0).await;
    assert_eq!(stage.get("aiclk", "/openapi/x").await.status(), 200);
}

/// A gateway that answers one more request of this caller, or has ended the connection.
async fn ended_or_well(peer: &mut Peer, stream: u32) -> bool {
    let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&REQUEST));
    let _ = peer.send_bytes_if_taken(&head).await;
    loop {
        match peer.event().await {
            Event::Closed => return true,
            Event::Head { stream: answered, fields, .. } if answered == stream => {
                assert_eq!(field(&fields, ":status"), Some("200"));
                return false;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn p27_rapid_resets_reach_the_vendor_no_more_than_they_may() {
    const RESETS: u32 = 20_000;
    let (vendor, stage) = stage("upstream.aiclk.limits.in_flight = 50").await;
    for _ in 0..1000 {
        vendor.will(Answer::silence());
    }
    let mut peer = Peer::caller(&stage, &[]).await;
    let mut flood = Vec::new();
    for stream in (1..2 * RESETS).step_by(2) {
        flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&REQUEST)));
        flood.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    let _ = peer.send_bytes_if_taken(&flood).await;
    loop {
        match peer.event().await {
            Event::Closed => break,
            Event::GoAway { code } => assert_eq!(code, ENHANCE_YOUR_CALM),
            _ => {}
        }
    }
    assert!(vendor.calls().len() <= 50, "{} calls at the vendor", vendor.calls().len());
    drop(peer);
    let upstream = [("upstream", "aiclk")];
    stage.metric_becomes("tokenward_requests_in_flight", &upstream, 0.0).await;
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
}

#[tokio::test]
async fn p27_a_header_without_end_is_cut() {
    let field = block(&[("x-a", &"v".repeat(16_000))]);
    for (piece, what) in [(field, "large"), (Vec::new(), "empty")] {
        let (vendor, stage) = stage("").await;
        let mut peer = Peer::caller(&stage, &[]).await;
        peer.send(HEADERS, END_STREAM, 1, &block(&REQUEST)).await;
        let flood = frame(CONTINUATION, 0, 1, &piece).repeat(2000);
        let _ = peer.send_bytes_if_taken(&flood).await;
        peer.closed().await;
        assert!(vendor.calls().is_empty(), "{what}");
        drop(peer);
        quiet(&stage).await;
    }
}

/// Of the same size over HTTP/1 it would be refused in the same words.
#[tokio::test]
async fn p27_a_header_that_is_too_big_has_its_answer_and_is_counted() {
    let (vendor, stage) = stage("limits.header_bytes = '4KiB'").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    for (stream, length, expected) in [(1, 3500, None), (3, 4200, Some("headers-too-large"))] {
        let long = "v".repeat(length);
        let fields = [&REQUEST[..], &[("x-long", &*long)]].concat();
        peer.fields(stream, &fields, true).await;
        let (_, fields, _) = peer.head().await;
        assert_eq!(field(&fields, "tokenward-error"), expected, "{fields:?}");
        let status = if expected.is_some() { "431" } else { "200" };
        assert_eq!(field(&fields, ":status"), Some(status));
        peer.body(stream).await;
    }
    assert_eq!(vendor.calls().len(), 1);
    let labels = [("upstream", "aiclk"), ("limit", "header_bytes")];
    assert_eq!(stage.metric("tokenward_limits_reached_total", &labels).await, 1.0);
}

/// One field of 4,000 bytes in the table, and then a byte for each time that it comes again.
#[tokio::test]
async fn p27_a_compressed_header_is_measured_as_it_comes_out() {
    let running = Running::with("workers = 1").await;
    let (begun, _) = running.memory();
    let stage_less = tokio::net::TcpStream::connect(running.tcp()).await.expect("a connection");
    let mut peer = Peer::over(stage_less, &begin()).await;
    let value = "v".repeat(4000);
    let mut plant = block(&REQUEST);
    // With a place in the table (RFC 7541, 6.2.1).
    let mut entry = block(&[("x", &value)]);
    entry[0] = 0x40;
    plant.extend(entry);
    peer.send(HEADERS, END_STREAM | END_HEADERS, 1, &plant).await;
    let bomb = [block(&REQUEST), vec![0xbe; 16_000]].concat();
    for stream in (3..203).step_by(2) {
        let sent = peer.send_if_taken(HEADERS, END_STREAM | END_HEADERS, stream, &bomb).await;
        if sent.is_err() {
            break;
        }
    }
    loop {
        match peer.event().await {
            Event::Closed | Event::GoAway { .. } => break,
            Event::Head { stream: 1, fields, .. } => {
                assert_eq!(field(&fields, ":status"), Some("200"));
            }
            Event::Head { fields, .. } => assert_eq!(field(&fields, ":status"), Some("431")),
            _ => {}
        }
    }
    drop(peer);
    assert_eq!(running.get("/openapi/x").await.status(), 200);
    assert!(running.vendor.calls().len() <= 2, "a bomb has gone on");
    running.assert_grown_by_less_than(8, begun, "HPACK bombs");
    running.end().await;
}

#[tokio::test]
async fn p27_a_flood_of_frames_leaves_others_their_turn() {
    let window = 1_u32.to_be_bytes();
    let setting = [0, 4, 0, 0, 255, 255];
    for (what, again) in [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, 0, &setting)),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &window)),
    ] {
        let running = Running::with("workers = 1").await;
        let flood = Flood::start(&running, 4, &begin(), &again.repeat(50_000));
        let read = flood.read_during_a_call(&running).await;
        println!("{what}: {read} bytes during a call");
        assert!(read < MUCH, "{what}: {read} bytes");
        drop(flood);
        running.is_quiet().await;
        running.end().await;
    }
}

#[tokio::test]
async fn p27_empty_frames_without_end_are_cut() {
    for padding in [&[][..], &[0]] {
        let (vendor, stage) = stage("").await;
        let hand = vendor.by_hand();
        let mut peer = Peer::caller(&stage, &[]).await;
        peer.fields(1, &UPLOAD, false).await;
        let hand = hand.arrives().await;
        let _ = peer
            .send_bytes_if_taken(
                &frame(DATA, PADDED * padding.len() as u8, 1, padding).repeat(20_000),
            )
            .await;
        assert!(ended_or_well(&mut peer, 3).await, "20,000 frames were taken");
        drop((peer, hand));
        quiet(&stage).await;
    }
}

/// Answers that their caller gives no room: what waits for each is bounded, and then given up.
#[tokio::test]
async fn p27_streams_without_a_window_cost_bounded_memory_and_end() {
    const STREAMS: u64 = 100;
    let running = Running::with("workers = 1\nlimits.idle = '2s'").await;
    let big = "x".repeat(1 << 20);
    for _ in 0..STREAMS {
        running.vendor.will(Answer::new(200, &[("Content-Type", "video/mp4")], &big));
    }
    let (begun, _) = running.memory();
    let stream = tokio::net::TcpStream::connect(running.tcp()).await.expect("a connection");
    let none = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &[0; 4]].concat();
    let mut peer = Peer::over(stream, &[PREFACE, &frame(SETTINGS, 0, 0, &none)].concat()).await;
    for stream in (1..).step_by(2).take(STREAMS as usize) {
        peer.fields(stream, &REQUEST, true).await;
    }
    let mut heads = 0;
    loop {
        match peer.event().await {
            Event::Head { .. } => heads += 1,
            Event::Closed => break,
            _ => {}
        }
    }
    assert_eq!(heads, STREAMS);
    running.assert_grown_by_less_than(STREAMS, begun, "answers without a window");
    running.is_quiet().await;
    running.end().await;
}

#[tokio::test]
async fn p27_a_connection_has_so_many_streams() {
    let (vendor, stage) = stage("").await;
    for _ in 0..300 {
        vendor.will(Answer::silence());
    }
    let mut peer = Peer::caller(&stage, &[]).await;
    for stream in (1..).step_by(2).take(300) {
        peer.fields(stream, &REQUEST, true).await;
    }
    let refused = loop {
        match peer.event().await {
            Event::Reset { stream, code } => break (stream, code),
            event => assert!(!matches!(event, Event::Closed), "{event:?}"),
        }
    };
    assert_eq!(refused, (2 * 256 + 1, REFUSED_STREAM));
    vendor.until("the others are at the vendor", |calls| calls.len() == 256).await;
    drop(peer);
    let upstream = [("upstream", "aiclk")];
    stage.metric_becomes("tokenward_requests_in_flight", &upstream, 0.0).await;
}

const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;
const PADDED: u8 = 8;
