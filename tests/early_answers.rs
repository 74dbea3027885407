//! Answers that come while the upload still runs (p03): whole, at once, and without a reset.

use crate::support::hand::Hand;
use crate::support::{Answer, Caller, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    stage_with("").await
}

async fn stage_with(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

/// More than the buffers of all sockets on the way, if they have not grown.
const UPLOAD: usize = 6 << 20;

fn head(framing: &str) -> String {
    format!("PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
}

fn refusal(closes: bool) -> String {
    let close = if closes { "Connection: close\r\n" } else { "" };
    let body = "too large for us ".repeat(1000);
    let length = body.len();
    format!("HTTP/1.1 413 No\r\n{close}X-Why: size\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The refusal is there as a whole, and nothing comes after it but the end.
async fn assert_refused(caller: &mut Caller) {
    let answer = caller.answer().await;
    assert_eq!((answer.status(), answer.one("x-why")), (413, Some("size")));
    assert_eq!(answer.text(), "too large for us ".repeat(1000));
}

/// What a vendor does about an upload that it has refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Vendor {
    ReadsOn,
    StopsReading,
    /// With bytes unread: a reset, as many servers do it.
    Closes,
}

const WHO_STAY: [Vendor; 2] = [Vendor::ReadsOn, Vendor::StopsReading];

#[tokio::test]
async fn p03_a_refusal_reaches_a_caller_who_sends_all_before_reading() {
    for vendor_does in WHO_STAY {
        for closes in [false, true] {
            assert_refusal_after_all(vendor_does, closes).await;
        }
    }
}

#[tokio::test]
async fn p03_a_refusal_reaches_a_caller_at_once() {
    for vendor_does in WHO_STAY {
        for closes in [false, true] {
            assert_refusal_at_once(vendor_does, closes).await;
        }
    }
}

/// The answer is in the gateway's socket before the reset, and that is what counts.
#[tokio::test]
async fn p03_a_refusal_by_a_vendor_who_resets_the_upload_reaches_the_caller() {
    for closes in [false, true] {
        for _ in 0..10 {
            assert_refusal_after_all(Vendor::Closes, closes).await;
            assert_refusal_at_once(Vendor::Closes, closes).await;
        }
    }
}

/// A caller that sends everything before it reads, as simple programs do. A vendor that has answered
/// and says nothing of closing may still want the upload, for as long as it takes of it.
async fn assert_refusal_after_all(vendor_does: Vendor, closes: bool) {
    let (vendor, stage) = stage_with("upstream.aiclk.timeouts.idle = '300ms'").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(head(&format!("Content-Length: {UPLOAD}"))).await;
    caller.send(vec![b'x'; 100_000]).await;
    let mut hand = hand.arrives().await;
    hand.request_so_far(|request| request.body.len() > 1000).await;
    hand.send(refusal(closes)).await;
    let _held = after(hand, vendor_does);
    caller.send_if_taken(vec![b'x'; UPLOAD - 100_000]).await;
    assert_refused(&mut caller).await;
    // A vendor that has read the whole upload may be ready for another request.
    if vendor_does != Vendor::ReadsOn {
        assert_eq!(caller.rest_without_reset().await, b"", "{vendor_does:?} {closes}");
        assert_next_is_fresh(&vendor, &stage).await;
    }
}

/// A caller that reads while it sends, and goes when it is refused.
async fn assert_refusal_at_once(vendor_does: Vendor, closes: bool) {
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let (vendor, stage) = stage().await;
        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        let chunk = if framing.starts_with("Content") { "" } else { "f4240\r\n" };
        caller.send(head(framing) + chunk).await;
        caller.send(vec![b'x'; 100_000]).await;
        let mut hand = hand.arrives().await;
        hand.request_so_far(|request| request.body.len() > 1000).await;
        hand.send(refusal(closes)).await;
        let _held = after(hand, vendor_does);
        assert_refused(&mut caller).await;
        drop(caller);
        assert_next_is_fresh(&vendor, &stage).await;
    }
}

/// What the vendor's side does from now on. It ends when the result is dropped.
fn after(mut hand: Hand, vendor: Vendor) -> Option<tokio::task::JoinHandle<Hand>> {
    match vendor {
        Vendor::ReadsOn => Some(tokio::spawn(async move {
            hand.drain().await;
            hand
        })),
        Vendor::StopsReading => Some(tokio::spawn(async move {
            std::future::pending::<()>().await;
            hand
        })),
        Vendor::Closes => {
            hand.close();
            None
        }
    }
}

/// Half an upload must not stand before the next request.
async fn assert_next_is_fresh(vendor: &RawVendor, stage: &Stage) {
    vendor.will(Answer::new(200, &[], "next"));
    let before = vendor.calls().len();
    let answer = stage.get("aiclk", "/openapi/next").await;
    assert_eq!((answer.status(), &*answer.text()), (200, "next"));
    let call = &vendor.calls()[before];
    assert_eq!(call.request.target(), "/openapi/next");
    assert_eq!(call.request.body, b"");
}

#[tokio::test]
async fn p03_both_directions_run_at_once() {
    for answers in ["Content-Length: 60", "Transfer-Encoding: chunked"] {
        for uploads in ["Content-Length: 60", "Transfer-Encoding: chunked"] {
            let (vendor, stage) = stage().await;
            let piece = |framing: &str, number: u32| match framing.starts_with("Content") {
                true => format!("[{number:04}]"),
                false => format!("6\r\n[{number:04}]\r\n"),
            };
            let end = |framing: &str| match framing.starts_with("Content") {
                true => "",
                false => "0\r\n\r\n",
            };
            let hand = vendor.by_hand();
            let mut caller = stage.caller("aiclk").await;
            caller.send(head(uploads)).await;
            let mut hand = hand.arrives().await;
            // The head of what may be a rejection would be held until its first byte.
            let content_type = "Content-Type: application/octet-stream";
            hand.send(format!("HTTP/1.1 200 OK\r\n{content_type}\r\n{answers}\r\n\r\n")).await;
            caller.answer_so_far(|_| true).await;
            for number in 0..10 {
                let length = 6 * (number as usize + 1);
                caller.send(piece(uploads, number)).await;
                if number == 9 {
                    caller.send(end(uploads)).await;
                }
                hand.request_so_far(|request| request.body.len() == length).await;
                hand.send(piece(answers, number)).await;
                caller.answer_so_far(|answer| answer.body.len() == length).await;
            }
            hand.send(end(answers)).await;
            let (request, answer) = (hand.request().await, caller.answer().await);
            assert!(answer.complete && request.body == answer.body, "{answer:?}");
            // Both connections go on.
            caller.send("GET /openapi/y HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            assert_eq!(hand.request().await.target(), "/openapi/y");
        }
    }
}

/// The vendor has answered in full and reads on: what is still to come is its business.
#[tokio::test]
async fn p03_an_upload_goes_on_after_an_answer_that_was_complete_before_it() {
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let chunked = !framing.starts_with("Content");
        let piece = |text: &str| if chunked { format!("3\r\n{text}\r\n") } else { text.to_owned() };
        let (vendor, stage) = stage().await;
        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        caller.send(head(framing)).await;
        caller.send(piece("one")).await;
        let mut hand = hand.arrives().await;
        hand.request_so_far(|request| request.body == b"one").await;
        hand.send("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nearly").await;
        assert_eq!(caller.answer().await.text(), "early");
        caller.send(piece("two") + &piece("end")).await;
        if chunked {
            caller.send("0\r\n\r\n").await;
        }
        assert_eq!(hand.request().await.body, b"onetwoend");
    }
}

/// An early answer whose body is still under way when the upload has ended.
#[tokio::test]
async fn p03_an_early_answer_goes_on_after_the_upload_has_ended() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(head("Content-Length: 6")).await;
    let mut hand = hand.arrives().await;
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none").await;
    caller.answer_so_far(|answer| answer.body == b"one").await;
    caller.send("upload").await;
    assert_eq!(hand.request().await.body, b"upload");
    hand.send("two").await;
    caller.answer_so_far(|answer| answer.body == b"onetwo").await;
    hand.send("end").await;
    assert_eq!(caller.answer().await.text(), "onetwoend");
}

/// A vendor that answers early and closes: its answer without a length ends with the connection.
#[tokio::test]
async fn p03_an_early_answer_without_a_length_is_whole() {
    let (vendor, stage) = stage().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(head("Content-Length: 100000")).await;
    let mut hand = hand.arrives().await;
    hand.send(format!("HTTP/1.1 400 No\r\n\r\n{}", "because ".repeat(5000))).await;
    hand.close();
    let answer = caller.answer().await;
    assert!(answer.complete && answer.text() == "because ".repeat(5000), "{answer:?}");
}

/// Our own answers do not wait for the upload either.
#[tokio::test]
async fn p03_a_refusal_of_ours_reaches_a_caller_in_the_middle_of_an_upload() {
    let vendor = RawVendor::start().await;
    let config = "upstream.aiclk.guard.methods = ['GET']";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    for _ in 0..5 {
        let mut caller = stage.caller("aiclk").await;
        caller.send(head(&format!("Content-Length: {UPLOAD}"))).await;
        caller.send_if_taken(vec![b'x'; UPLOAD]).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status(), answer.one("tokenward-error")), (403, Some("method-refused")));
        assert!(answer.complete);
        assert_eq!(caller.rest_without_reset().await, b"");
    }
    assert!(vendor.calls().is_empty());
}
