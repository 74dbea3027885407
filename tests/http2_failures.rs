//! What goes wrong over HTTP/2: what the vendor has not read goes to another connection; nothing
//! else is sent twice.

use crate::support::caller::Caller;
use crate::support::h2::{CANCEL, Event, INTERNAL_ERROR, NO_ERROR, Peer, REFUSED_STREAM, Vendor};
use crate::support::{Message, Stage};

const CALL: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
const UPLOAD: &str =
    "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";

async fn vendor() -> Vendor {
    Vendor::start(&["h2", "http/1.1"]).await
}

/// A caller, the connection that its first call has made, and that call's stream.
async fn begun(vendor: &mut Vendor, stage: &Stage, request: &str) -> (Caller, Peer, u32) {
    let mut caller = stage.caller("aiclk").await;
    caller.send(request).await;
    let mut peer = vendor.peer(&[]).await;
    let (stream, ..) = peer.head().await;
    (caller, peer, stream)
}

async fn serve(peer: &mut Peer) {
    let (stream, _, end) = peer.head().await;
    if !end {
        assert_eq!(peer.body(stream).await.0, b"hello", "p11");
    }
    peer.answer(stream, "200", "{}").await;
}

#[track_caller]
fn assert_broken(answer: &Message) {
    let told = (answer.status(), answer.one("tokenward-error"));
    assert_eq!(told, (502, Some("upstream-broken")), "{answer:?}");
}

#[tokio::test]
async fn p10_a_refused_stream_goes_to_another_connection() {
    for request in [CALL, UPLOAD] {
        let mut vendor = vendor().await;
        let stage = vendor.stage("").await;
        let (mut caller, mut first, stream) = begun(&mut vendor, &stage, request).await;
        first.reset(stream, REFUSED_STREAM).await;
        let mut second = vendor.peer(&[]).await;
        serve(&mut second).await;
        let answer = caller.answer().await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.one("tokenward-retry"), None);
        // A connection that refuses its only stream is not asked again.
        caller.send(request).await;
        serve(&mut second).await;
        assert_eq!(caller.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn p10_a_vendor_that_refuses_everything_is_asked_three_times() {
    let mut vendor = vendor().await;
    let stage = vendor.stage("").await;
    let mut caller = stage.caller("aiclk").await;
    caller.send(UPLOAD).await;
    for _ in 0..3 {
        let mut peer = vendor.peer(&[]).await;
        let (stream, ..) = peer.head().await;
        peer.reset(stream, REFUSED_STREAM).await;
    }
    assert_broken(&caller.answer().await);
    assert!(vendor.waiting_peer().is_none());
}

#[tokio::test]
async fn p10_a_connection_that_refuses_one_stream_of_many_is_used_less() {
    let mut vendor = vendor().await;
    let stage = vendor.stage("").await;
    let (mut first, mut peer, stream) = begun(&mut vendor, &stage, CALL).await;
    let mut second = stage.caller("aiclk").await;
    second.send(CALL).await;
    let (refused, _) = peer.request().await;
    peer.reset(refused, REFUSED_STREAM).await;
    let mut other = vendor.peer(&[]).await;
    serve(&mut other).await;
    assert_eq!(second.answer().await.status(), 200);
    peer.answer(stream, "200", "{}").await;
    assert_eq!(first.answer().await.status(), 200, "the stream beside it is as it was");
}

#[tokio::test]
async fn p10_a_goaway_before_a_call_is_not_the_callers_problem() {
    let mut vendor = vendor().await;
    let stage = vendor.stage("").await;
    let (mut caller, mut peer, stream) = begun(&mut vendor, &stage, UPLOAD).await;
    peer.answer(stream, "200", "{}").await;
    assert_eq!(caller.answer().await.status(), 200);
    peer.go_away(stream, NO_ERROR).await;
    caller.send(UPLOAD).await;
    let mut other = vendor.peer(&[]).await;
    serve(&mut other).await;
    assert_eq!(caller.answer().await.status(), 200);
}

#[tokio::test]
async fn p10_calls_beyond_a_goaways_last_stream_go_to_another_connection_and_the_others_stay() {
    let mut vendor = vendor().await;
    let stage = vendor.stage("").await;
    let (mut first, mut peer, stream) = begun(&mut vendor, &stage, UPLOAD).await;
    assert_eq!(peer.body(stream).await.0, b"hello");
    let mut second = stage.caller("aiclk").await;
    second.send(UPLOAD).await;
    let (beyond, ..) = peer.head().await;
    assert!(beyond > stream);
    peer.go_away(stream, NO_ERROR).await;
    let mut other = vendor.peer(&[]).await;
    serve(&mut other).await;
    assert_eq!(second.answer().await.status(), 200);
    // New calls stay away from it, and it ends when its last stream has.
    second.send(CALL).await;
    serve(&mut other).await;
    assert_eq!(second.answer().await.status(), 200);
    peer.answer(stream, "200", "{\"late\":1}").await;
    assert_eq!(first.answer().await.text(), "{\"late\":1}");
    peer.closed().await;
}

#[tokio::test]
async fn p10_a_call_that_a_goaway_counts_among_the_read_is_not_sent_again() {
    let mut vendor = vendor().await;
    let stage = vendor.stage("").await;
    let (mut caller, mut peer, stream) = begun(&mut vendor, &stage, CALL).await;
    peer.go_away(stream, INTERNAL_ERROR).await;
    drop(peer);
    assert_broken(&caller.answer().await);
    assert!(vendor.waiting_peer().is_none());
}

#[tokio::test]
async fn p10_a_reset_or_a_cut_connection_is_not_tried_again() {
    for code in [Some(INTERNAL_ERROR), Some(CANCEL), Some(NO_ERROR), None] {
        let mut vendor = vendor().await;
        let stage = vendor.stage("").await;
        let (mut caller, mut peer, stream) = begun(&mut vendor, &stage, CALL).await;
        match code {
            Some(code) => peer.reset(stream, code).await,
            None => drop(peer),
        }
        assert_broken(&caller.answer().await);
        assert!(vendor.waiting_peer().is_none());
    }
}

#[tokio::test]
async fn p10_a_connection_that_was_cut_while_nobody_used_it_is_not_the_callers_problem() {
    let mut vendor = vendor().await;
    let stage = vendor.stage("").await;
    let (mut caller, mut peer, stream) = begun(&mut vendor, &stage, CALL).await;
    for _ in 0..3 {
        peer.answer(stream, "200", "{}").await;
        assert_eq!(caller.answer().await.status(), 200);
        drop(peer);
        stage.metric_becomes("tokenward_upstream_connections", &[("upstream", "aiclk")], 0.0).await;
        caller.send(CALL).await;
        peer = vendor.peer(&[]).await;
        assert_eq!(peer.request().await.0, stream);
    }
}

/// With a length, without one, and with an error that says that there is none.
#[tokio::test]
async fn p06_an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    let length = ("content-length", "6");
    for (fields, code) in [
        (&[(":status", "200"), length][..], INTERNAL_ERROR),
        (&[(":status", "200")], INTERNAL_ERROR),
        (&[(":status", "200"), length], NO_ERROR),
        (&[(":status", "200")], NO_ERROR),
    ] {
        let mut vendor = vendor().await;
        let stage = vendor.stage("").await;
        let (mut caller, mut peer, stream) = begun(&mut vendor, &stage, CALL).await;
        peer.fields(stream, fields, false).await;
        peer.data(stream, b"one", false).await;
        let answer = caller.answer_so_far(|answer| answer.body == b"one").await;
        assert!(!answer.complete);
        peer.reset(stream, code).await;
        let rest = caller.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
        // The connection serves others.
        let mut caller = stage.caller("aiclk").await;
        caller.send(CALL).await;
        serve(&mut peer).await;
        assert_eq!(caller.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn p03_a_caller_who_goes_away_resets_the_stream_and_the_connection_lives_on() {
    let mut vendor = vendor().await;
    let stage = vendor.stage("").await;
    // While the vendor thinks.
    let (caller, mut peer, stream) = begun(&mut vendor, &stage, CALL).await;
    drop(caller);
    assert_eq!(peer.event().await, Event::Reset { stream, code: CANCEL });
    // In mid-answer.
    let mut caller = stage.caller("aiclk").await;
    caller.send(CALL).await;
    let (stream, _) = peer.request().await;
    peer.fields(stream, &[(":status", "200")], false).await;
    peer.data(stream, b"one", false).await;
    caller.answer_so_far(|answer| answer.body == b"one").await;
    drop(caller);
    assert_eq!(peer.event().await, Event::Reset { stream, code: CANCEL });
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    // In mid-upload: what was sent is not passed off as the whole.
    let mut caller = stage.caller("aiclk").await;
    caller
        .send("POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\none")
        .await;
    let (stream, ..) = peer.head().await;
    let begun = Event::Data { stream, bytes: b"one".to_vec(), end: false };
    assert_eq!(peer.event().await, begun);
    drop(caller);
    let event = peer.event().await;
    assert!(matches!(event, Event::Reset { stream: it, .. } if it == stream), "{event:?}");
    let mut caller = stage.caller("aiclk").await;
    caller.send(CALL).await;
    serve(&mut peer).await;
    assert_eq!(caller.answer().await.status(), 200);
}
