//! `Expect: 100-continue` from one end to the other (p04): the vendor decides whether the body is
//! asked for.

use crate::support::{Answer, Caller, RawVendor, Stage};

/// The vendor's 100 is waited for as long as these tests run.
async fn stage() -> (RawVendor, Stage) {
    stage_with("upstream.aiclk.timeouts.continue = '60s'").await
}

async fn stage_with(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

const HEAD: &str =
    "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nX-One: 1\r\nExpect: 100-continue\r\n";
const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// The framing of a body, and the body.
const BODIES: [(&str, &str); 2] = [
    ("Content-Length: 4\r\n\r\n", "body"),
    ("Transfer-Encoding: chunked\r\n\r\n", "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"),
];

/// The one worker has had the time for anything when it has served others after that.
async fn some_time(stage: &Stage) {
    for _ in 0..3 {
        assert_eq!(stage.get("jing", "/meanwhile").await.status(), 200);
    }
}

/// Reads the gateway's 100, whatever its words.
async fn told_to_go_on(caller: &mut Caller) {
    let interim = caller.answer().await;
    assert_eq!((interim.status(), &interim.body[..]), (100, &b""[..]), "{interim:?}");
}

#[tokio::test]
async fn p04_the_vendors_refusal_arrives_and_no_body_is_asked_for() {
    for (framing, _) in BODIES {
        for (status, closes) in [(417, false), (403, false), (413, true), (200, false)] {
            let (vendor, stage) = stage().await;
            let hand = vendor.by_hand();
            let mut caller = stage.caller("aiclk").await;
            caller.send(format!("{HEAD}{framing}")).await;
            let mut hand = hand.arrives().await;
            let head = hand.request_so_far(|_| true).await;
            assert_eq!(head.one("expect"), Some("100-continue"), "{head:?}");
            some_time(&stage).await;
            assert!(caller.has_nothing().await, "a 100 that the vendor has not sent");

            let close = if closes { "Connection: close\r\n" } else { "" };
            hand.send(format!("HTTP/1.1 {status} So\r\n{close}Content-Length: 3\r\n\r\nwhy")).await;
            let answer = caller.answer().await;
            assert_eq!((answer.status(), answer.text().as_str()), (status, "why"));
            // What comes next on either connection could be taken for the body.
            assert_eq!(caller.rest().await, b"");
            let sent = hand.rest().await;
            assert!(sent.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(sent));
        }
    }
}

#[tokio::test]
async fn p04_the_vendors_100_comes_before_the_body_is_asked_for() {
    for (framing, body) in BODIES {
        let (vendor, stage) = stage().await;
        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        caller.send(format!("{HEAD}{framing}")).await;
        let mut hand = hand.arrives().await;
        some_time(&stage).await;
        assert!(caller.has_nothing().await, "a 100 that the vendor has not sent");
        hand.send(GO_ON).await;
        told_to_go_on(&mut caller).await;
        assert_eq!(hand.request_so_far(|_| true).await.body, b"");
        caller.send(body).await;
        assert_eq!(hand.request().await.body, b"body");
        hand.send(DONE).await;
        assert_eq!(caller.answer().await.text(), "done");
        // Both connections go on.
        let next = vendor.calls().len();
        caller.send("GET /openapi/y HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(hand.request().await.target(), "/openapi/y");
        assert_eq!(vendor.calls().len(), next);
        hand.send(DONE).await;
        assert_eq!(caller.answer().await.text(), "done");
    }
}

#[tokio::test]
async fn p04_a_vendor_who_never_says_100_gets_the_body_after_a_while() {
    let (vendor, stage) = stage_with("upstream.aiclk.timeouts.continue = '50ms'").await;
    for (framing, body) in BODIES {
        let before = vendor.calls().len();
        let mut caller = stage.caller("aiclk").await;
        caller.send(format!("{HEAD}{framing}")).await;
        told_to_go_on(&mut caller).await;
        caller.send(body).await;
        assert_eq!(caller.answer().await.status(), 200);
        assert_eq!(vendor.calls()[before].request.body, b"body");
    }
}

#[tokio::test]
async fn p04_a_100_that_comes_late_or_twice_does_no_harm() {
    let (vendor, stage) = stage_with("upstream.aiclk.timeouts.continue = '50ms'").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(format!("{HEAD}Content-Length: 4\r\n\r\n")).await;
    let mut hand = hand.arrives().await;
    told_to_go_on(&mut caller).await;
    hand.send(GO_ON).await;
    caller.send("body").await;
    assert_eq!(hand.request().await.body, b"body");
    hand.send(format!("{GO_ON}{GO_ON}{DONE}")).await;
    let mut answer = caller.answer().await;
    while answer.status() == 100 {
        answer = caller.answer().await;
    }
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
}

#[tokio::test]
async fn p04_a_caller_who_does_not_wait_is_not_kept_waiting() {
    for (framing, body) in BODIES {
        let (vendor, stage) = stage_with("upstream.aiclk.timeouts.continue = '50ms'").await;
        let mut caller = stage.caller("aiclk").await;
        caller.send(format!("{HEAD}{framing}{body}")).await;
        let mut answer = caller.answer().await;
        if answer.status() == 100 {
            answer = caller.answer().await;
        }
        assert_eq!(answer.status(), 200);
        assert_eq!(vendor.only_call().body, b"body");
    }
}

#[tokio::test]
async fn p04_a_100_and_the_final_answer_in_one_packet_arrive_both() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(format!("{HEAD}Content-Length: 4\r\n\r\n")).await;
    let mut hand = hand.arrives().await;
    hand.send(format!("{GO_ON}{DONE}")).await;
    let mut answer = caller.answer().await;
    // Whether the 100 is still worth passing on is the gateway's choice.
    if answer.status() == 100 {
        answer = caller.answer().await;
    }
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
}

#[tokio::test]
async fn p10_a_rejection_of_the_head_alone_is_tried_again_and_only_then_the_body_is_asked_for() {
    for (framing, body) in BODIES {
        for closes in [false, true] {
            let (vendor, stage) = stage().await;
            let (first, second) = (vendor.by_hand(), vendor.by_hand());
            let mut caller = stage.caller("aiclk").await;
            caller.send(format!("{HEAD}{framing}")).await;
            let mut first = first.arrives().await;
            let close = if closes { "Connection: close\r\n" } else { "" };
            first.send(format!("HTTP/1.1 401 No\r\n{close}Content-Length: 2\r\n\r\nno")).await;

            let mut second = second.arrives().await;
            let again = second.request_so_far(|_| true).await;
            assert_eq!(again.one("expect"), Some("100-continue"), "{again:?}");
            assert_eq!(again.one("ogw_access_token"), Some(&*vendor.token("aiclk", 2)));
            assert!(caller.has_nothing().await, "a 100 that the vendor has not sent");
            second.send(GO_ON).await;
            told_to_go_on(&mut caller).await;
            caller.send(body).await;
            assert_eq!(second.request().await.body, b"body");
            second.send(DONE).await;
            let answer = caller.answer().await;
            assert_eq!(answer.one("tokenward-retry"), Some("recovered"), "{answer:?}");
            assert_eq!(answer.text(), "done");
            let sent = first.rest().await;
            assert!(sent.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(sent));
        }
    }
}

#[tokio::test]
async fn p10_a_rejection_of_the_head_alone_by_a_vendor_who_never_says_100() {
    let (vendor, stage) = stage_with("upstream.aiclk.timeouts.continue = '50ms'").await;
    vendor.will(Answer::rejection().at_head());
    let mut caller = stage.caller("aiclk").await;
    caller.send(format!("{HEAD}Content-Length: 4\r\n\r\n")).await;
    told_to_go_on(&mut caller).await;
    caller.send("body").await;
    let answer = caller.answer().await;
    assert_eq!((answer.status(), answer.one("tokenward-retry")), (200, Some("recovered")));
    assert_eq!(vendor.calls()[1].request.body, b"body");
}

/// RFC 9110, 10.1.1 and 15.2: a caller of HTTP/1.0 does not know interim answers.
#[tokio::test]
async fn p04_http_1_0_is_never_sent_a_100() {
    let (vendor, stage) = stage_with("upstream.aiclk.timeouts.continue = '50ms'").await;
    vendor.will(Answer::raw(format!("{GO_ON}{DONE}")));
    let mut caller = stage.caller("aiclk").await;
    let head = "POST /openapi/x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    caller.send(format!("{head}body")).await;
    let rest = String::from_utf8(caller.rest().await).expect("text");
    assert!(rest.starts_with("HTTP/1.0 200 OK\r\n") && rest.ends_with("done"), "{rest}");
    assert_eq!(vendor.only_call().body, b"body");
}

#[tokio::test]
async fn p04_without_a_body_nothing_is_waited_for() {
    let (vendor, stage) = stage().await;
    for framing in ["\r\n", "Content-Length: 0\r\n\r\n"] {
        vendor.will(Answer::raw(DONE));
        let answer = stage.call("aiclk", format!("{HEAD}{framing}")).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    }
}

#[tokio::test]
async fn p04_an_expectation_that_nobody_knows_is_the_vendors_to_answer() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::new(417, &[], "what?"));
    let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n";
    let answer = stage.call("aiclk", format!("{head}Content-Length: 4\r\n\r\nbody")).await;
    assert_eq!((answer.status(), answer.text().as_str()), (417, "what?"));
    let call = vendor.only_call();
    assert_eq!((call.one("expect"), &call.body[..]), (Some("miracles"), &b"body"[..]));
}

#[tokio::test]
async fn p04_our_own_refusal_comes_before_the_body_is_asked_for() {
    let (vendor, stage) = stage_with("upstream.aiclk.guard.methods = ['GET']").await;
    let mut caller = stage.caller("aiclk").await;
    caller.send(format!("{HEAD}Content-Length: 4\r\n\r\n")).await;
    let answer = caller.answer().await;
    assert_eq!(answer.status(), 403, "{answer:?}");
    assert_eq!(caller.rest().await, b"");
    assert!(vendor.calls().is_empty());
}
