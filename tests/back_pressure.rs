//! A slow reader slows the sender, in both directions, and nothing is lost by it (p03).

use crate::support::bulk::assert_pattern;
use crate::support::message::find;
use crate::support::{Caller, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    // Whoever stands still here does so for the test.
    let config = "upstream.aiclk.timeouts = { first_byte = '60s', idle = '60s' }";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

/// Far more than the buffers of all sockets on the way.
const MOST: usize = 512 << 20;
/// What those buffers may hold: the system lets each of them grow to some megabytes.
const BUFFERS: usize = 64 << 20;

#[tokio::test]
async fn p03_a_caller_who_does_not_read_stops_the_vendor() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send("GET /openapi/x HTTP/1.0\r\n\r\n").await;
    let mut hand = hand.arrives().await;
    hand.send("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n").await;
    let sent = hand.send_until_blocked(MOST).await;
    assert!(sent < BUFFERS, "{sent} bytes were taken that nobody reads");
    // Nobody else waits for this caller.
    assert_eq!(stage.get("aiclk", "/openapi/other").await.status(), 200);
    hand.close();
    let rest = caller.rest_without_reset().await;
    let body = &rest[find(&rest, b"\r\n\r\n").expect("a head") + 4..];
    assert_eq!(body.len(), sent);
    assert_pattern(body);
}

#[tokio::test]
async fn p03_a_vendor_who_does_not_read_stops_the_caller() {
    for framing in [format!("Content-Length: {MOST}\r\n\r\n"), chunk_of(MOST)] {
        let (vendor, stage) = stage().await;
        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        caller.send(head(&framing)).await;
        let mut hand = hand.arrives().await;
        let sent = caller.send_until_blocked(MOST).await;
        assert!(sent < BUFFERS, "{sent} bytes were taken that nobody reads");
        assert_eq!(stage.get("aiclk", "/openapi/other").await.status(), 200);
        // The vendor reads on, and so it goes on.
        let body = hand.long_body(sent, framing.contains("chunked")).await;
        assert_pattern(&body);
    }
}

/// Each of the two waits for the other to read; one that reads sets both free.
#[tokio::test]
async fn p03_a_standstill_in_one_direction_does_not_stop_the_other() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(head(&format!("Content-Length: {MOST}\r\n\r\n"))).await;
    let mut hand = hand.arrives().await;
    let sent = caller.send_until_blocked(MOST).await;
    assert!(sent < BUFFERS, "{sent} bytes were taken that nobody reads");
    hand.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
    caller.answer_so_far(|answer| answer.body == b"data: 1\n\n").await;
    hand.send("data: 2\n\n").await;
    caller.answer_so_far(|answer| answer.body == b"data: 1\n\ndata: 2\n\n").await;
}

/// Events that wait for a slow caller come in their order, and each as soon as there is room.
#[tokio::test]
async fn p03_events_reach_a_reader_one_by_one_in_the_very_moment() {
    let (vendor, stage) = stage().await;
    for framing in ["", "Transfer-Encoding: chunked\r\n"] {
        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let mut hand = hand.arrives().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n");
        hand.send(head).await;
        // The head alone says that there will be events.
        caller.answer_so_far(|answer| answer.body.is_empty()).await;
        let mut all = String::new();
        for number in 0..50 {
            let event = format!("id: {number}\ndata: {{\"code\":401}}\n\n");
            all.push_str(&event);
            match framing {
                "" => hand.send(event).await,
                _ => hand.send(format!("{:x}\r\n{event}\r\n", event.len())).await,
            }
            caller.answer_so_far(|answer| answer.body == all.as_bytes()).await;
        }
    }
}

/// An upload of single bytes, each of which the vendor gets before the next is sent.
#[tokio::test]
async fn p03_single_bytes_of_an_upload_arrive_in_the_very_moment() {
    let (vendor, stage) = stage().await;
    for framing in ["Content-Length: 30\r\n\r\n".to_owned(), head_of_chunks()] {
        let hand = vendor.by_hand();
        let mut caller: Caller = stage.caller("aiclk").await;
        caller.send(head(&framing)).await;
        let mut hand = hand.arrives().await;
        for number in 1..=30 {
            let byte = if framing.contains("chunked") { "1\r\nx\r\n" } else { "x" };
            caller.send(byte).await;
            hand.request_so_far(|request| request.body.len() == number).await;
        }
    }
}

fn head(framing: &str) -> String {
    format!("PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}")
}

fn head_of_chunks() -> String {
    "Transfer-Encoding: chunked\r\n\r\n".to_owned()
}

fn chunk_of(length: usize) -> String {
    format!("{}{length:x}\r\n", head_of_chunks())
}
