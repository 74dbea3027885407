//! A caller that goes away takes its request along (p03): the vendor's connection is closed soon, and
//! nobody else ever gets what was left of it.

use crate::support::hand::Hand;
use crate::support::{Answer, Caller, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    stage_with("").await
}

/// No time-out ends anything here, unless a test asks for it.
async fn stage_with(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let plan = Stage::plan().before(vendor.address);
    let plan = plan.config("upstream.aiclk.timeouts = { first_byte = '60s', idle = '60s' }");
    let stage = plan.config(config).start().await;
    (vendor, stage)
}

const GET: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";

fn put(framing: &str) -> String {
    format!("PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
}

/// The vendor learns of it, nothing is left over, and the next request has a connection of its own.
async fn assert_cancelled(vendor: &RawVendor, stage: &Stage, mut hand: Hand) -> Vec<u8> {
    let sent = hand.rest().await.to_vec();
    let gone = vendor.calls().last().expect("a call").connection;
    assert_over(stage).await;
    vendor.will(Answer::new(200, &[], "next"));
    assert_eq!(stage.get("aiclk", "/openapi/next").await.text(), "next");
    let next = vendor.calls().last().expect("a call").clone();
    assert_eq!(next.request.target(), "/openapi/next");
    assert_ne!(next.connection, gone);
    sent
}

async fn assert_over(stage: &Stage) {
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    stage.metric_becomes("tokenward_requests_in_flight", &[("upstream", "aiclk")], 0.0).await;
}

#[tokio::test]
async fn p03_a_caller_who_goes_while_it_waits_for_an_answer() {
    let upload = put("Content-Length: 4") + "body";
    for request in [GET, &upload] {
        for resets in [false, true] {
            let (vendor, stage) = stage().await;
            let hand = vendor.by_hand();
            let mut caller = caller(&stage, resets).await;
            caller.send(request).await;
            let hand = hand.arrives().await;
            drop(caller);
            assert_cancelled(&vendor, &stage, hand).await;
        }
    }
}

#[tokio::test]
async fn p03_a_caller_who_goes_in_the_middle_of_an_answer() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhalf",
    ] {
        for resets in [false, true] {
            let (vendor, stage) = stage().await;
            let hand = vendor.by_hand();
            let mut caller = caller(&stage, resets).await;
            caller.send(GET).await;
            let mut hand = hand.arrives().await;
            hand.send(head).await;
            caller.answer_so_far(|answer| answer.body == b"half").await;
            drop(caller);
            assert_cancelled(&vendor, &stage, hand).await;
        }
    }
}

/// The gateway waits for the caller to read when the caller goes.
#[tokio::test]
async fn p03_a_caller_who_goes_with_much_unread() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let mut hand = hand.arrives().await;
    hand.send(EVENTS).await;
    caller.answer_so_far(|answer| !answer.body.is_empty()).await;
    hand.send_until_blocked(512 << 20).await;
    drop(caller);
    assert_cancelled(&vendor, &stage, hand).await;
}

#[tokio::test]
async fn p03_a_caller_who_goes_in_the_middle_of_its_upload() {
    for (framing, first) in
        [("Content-Length: 1000", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")]
    {
        for resets in [false, true] {
            for early in ["", EVENTS] {
                let (vendor, stage) = stage().await;
                let hand = vendor.by_hand();
                let mut caller = caller(&stage, resets).await;
                caller.send(put(framing) + first).await;
                let mut hand = hand.arrives().await;
                hand.request_so_far(|request| request.body == b"half").await;
                hand.send(early).await;
                if !early.is_empty() {
                    caller.answer_so_far(|answer| !answer.body.is_empty()).await;
                }
                drop(caller);
                let sent = assert_cancelled(&vendor, &stage, hand).await;
                // An end that the caller has not sent would make half a body a whole one.
                assert!(sent.ends_with(b"half") || sent.ends_with(b"half\r\n"));
            }
        }
    }
}

/// A vendor that has stopped reading holds the upload up. What is still in the caller's socket is not
/// read, but its end can be seen.
#[tokio::test]
async fn p03_a_caller_who_goes_when_the_vendor_has_stopped_reading() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = caller(&stage, false).await;
    caller.send(put("Content-Length: 1000000000")).await;
    let hand = hand.arrives().await;
    caller.send_until_blocked(4 << 20).await;
    drop(caller);
    assert_over(&stage).await;
    drop(hand);
    assert_eq!(stage.get("aiclk", "/openapi/next").await.status(), 200);
}

/// The caller's end stands behind more than the gateway may read: only the time can tell.
#[tokio::test]
async fn p03_an_upload_that_nobody_reads_ends_with_the_time_for_the_first_byte() {
    let (vendor, stage) = stage_with("upstream.aiclk.timeouts.first_byte = '2s'").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(put("Content-Length: 1000000000")).await;
    let hand = hand.arrives().await;
    caller.send_until_blocked(512 << 20).await;
    drop(caller);
    assert_over(&stage).await;
    drop(hand);
}

/// The next request waits in the gateway's buffer when the caller goes.
#[tokio::test]
async fn p03_a_caller_who_goes_after_it_has_sent_two_requests() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET.repeat(2)).await;
    let hand = hand.arrives().await;
    drop(caller);
    assert_cancelled(&vendor, &stage, hand).await;
}

#[tokio::test]
async fn p03_a_caller_who_goes_while_the_vendor_thinks_about_its_expectation() {
    for resets in [false, true] {
        let (vendor, stage) = stage_with("upstream.aiclk.timeouts.continue = '60s'").await;
        let hand = vendor.by_hand();
        let mut caller = caller(&stage, resets).await;
        caller.send(put("Expect: 100-continue\r\nContent-Length: 4")).await;
        let hand = hand.arrives().await;
        drop(caller);
        let sent = assert_cancelled(&vendor, &stage, hand).await;
        assert!(sent.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&sent));
    }
}

/// Many at once, at every moment of a request: no connection is left, and none is mixed up.
#[tokio::test]
async fn p03_callers_who_go_at_any_moment_disturb_nobody() {
    let (vendor, stage) = stage().await;
    let body = "a body of some length ".repeat(3000);
    let request = put(&format!("Content-Length: {}", body.len())) + &body;
    for moment in 0..60 {
        vendor.will(Answer::new(200, &[("Content-Type", "text/plain")], &body));
        let mut caller = caller(&stage, moment % 2 == 0).await;
        caller.send(&request.as_bytes()[..request.len() * (moment + 1) / 60]).await;
        if moment % 3 == 0 {
            let calls = vendor.calls().len();
            vendor.until("it arrives, or not", |now| now.len() >= calls).await;
        }
        drop(caller);
        let marker = format!("/openapi/marker-{moment}");
        // Whatever answers are left over by now are this upstream's own.
        let answer = stage.post("aiclk", &marker, "{}").await;
        assert_eq!(answer.status(), 200);
        let of_marker = vendor.calls().into_iter().rfind(|it| it.request.target() == marker);
        assert_eq!(of_marker.expect("the marker arrives").request.body, b"{}");
    }
    assert_over(&stage).await;
}

async fn caller(stage: &Stage, resets: bool) -> Caller {
    let caller = stage.caller("aiclk").await;
    if resets { caller.that_resets() } else { caller }
}
