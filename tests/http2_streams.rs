//! Streams stay streams over HTTP/2: bodies in both directions, trailers, and who waits for whom.

use crate::support::bulk::{drink, pour};
use crate::support::h2::{CANCEL, Event, NO_ERROR, Peer, Vendor, field};
use crate::support::message::find;
use crate::support::{Caller, Stage, soon};

const GET: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn stage() -> (Vendor, Stage) {
    let vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    (vendor, stage)
}

async fn call(stage: &Stage, request: impl AsRef<[u8]>) -> Caller {
    let mut caller = stage.caller("aiclk").await;
    caller.send(request).await;
    caller
}

fn post(framing: &str) -> String {
    format!("POST /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
}

async fn data(peer: &mut Peer, wanted: u32) -> Vec<u8> {
    match peer.event().await {
        Event::Data { stream, bytes, end: false } if stream == wanted => bytes,
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn p03_the_first_byte_of_an_upload_arrives_before_the_last_is_sent() {
    let (mut vendor, stage) = stage().await;
    let mut peer = None;
    for (framing, length, pieces) in [
        ("Content-Length: 6", Some("6"), ["one", "two"]),
        ("Transfer-Encoding: chunked", None, ["3\r\none\r\n", "3\r\ntwo\r\n0\r\n\r\n"]),
    ] {
        let mut caller = call(&stage, post(framing)).await;
        if peer.is_none() {
            peer = Some(vendor.peer(&[]).await);
        }
        let peer = peer.as_mut().expect("a connection");
        let (stream, fields, end) = peer.head().await;
        assert!(!end);
        assert_eq!(field(&fields, "content-length"), length);
        assert_eq!(field(&fields, "transfer-encoding"), None);
        caller.send(pieces[0]).await;
        assert_eq!(data(peer, stream).await, b"one");
        caller.send(pieces[1]).await;
        assert_eq!(peer.body(stream).await.0, b"two");
        peer.answer(stream, "200", "{}").await;
        assert_eq!(caller.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn p04_trailers_pass_in_both_directions() {
    let (mut vendor, stage) = stage().await;
    let framing = "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\nConnection: te";
    let body = "3\r\none\r\n0\r\nX-Sum: 7\r\n\r\n";
    let mut caller = call(&stage, post(framing) + body).await;
    let mut peer = vendor.peer(&[]).await;
    let (stream, fields, _) = peer.head().await;
    assert_eq!(field(&fields, "trailer"), Some("X-Sum"));
    let (body, trailers) = peer.body(stream).await;
    assert_eq!(body, b"one");
    assert_eq!(field(&trailers, "x-sum"), Some("7"));
    peer.fields(stream, &[(":status", "200"), ("trailer", "x-end")], false).await;
    peer.data(stream, b"two", false).await;
    peer.fields(stream, &[("x-end", "9")], true).await;
    let answer = caller.answer().await;
    assert_eq!(answer.text(), "two");
    let raw = String::from_utf8_lossy(&answer.raw).to_lowercase();
    assert!(raw.ends_with("0\r\nx-end: 9\r\n\r\n"), "{answer:?}");
}

/// A name that the gateway injects must not come in by this door, nor what frames a message.
#[tokio::test]
async fn p02_trailers_cannot_shadow_what_the_gateway_has_set() {
    let (mut vendor, stage) = stage().await;
    let mut peer = None;
    for name in ["OGW_ACCESS_TOKEN", "ogw-access-token", "X-Unannounced"] {
        for announced in ["", "Trailer: OGW_ACCESS_TOKEN, ogw-access-token, X-Sum\r\n"] {
            let framing = format!("{announced}Transfer-Encoding: chunked");
            let body = format!("3\r\none\r\n0\r\n{name}: mine\r\nX-Sum: 7\r\n\r\n");
            let mut caller = call(&stage, post(&framing) + &body).await;
            if peer.is_none() {
                peer = Some(vendor.peer(&[]).await);
            }
            let peer = peer.as_mut().expect("a connection");
            let (stream, ..) = peer.head().await;
            let (body, trailers) = peer.body(stream).await;
            assert_eq!(body, b"one");
            assert!(trailers.iter().all(|(_, value)| value != "mine"), "{trailers:?}");
            assert_eq!(field(&trailers, "x-sum"), (!announced.is_empty()).then_some("7"));
            peer.answer(stream, "200", "{}").await;
            assert_eq!(caller.answer().await.status(), 200);
        }
    }
}

/// More than both sides could hold, so that it gets through only if it is handed on.
#[tokio::test]
async fn p03_much_passes_in_each_direction() {
    const LENGTH: usize = 50 << 20;
    let (mut vendor, stage) = stage().await;
    let caller = call(&stage, post(&format!("Content-Length: {LENGTH}"))).await;
    let mut peer = vendor.peer(&[]).await;
    let (stream, ..) = peer.head().await;
    let (mut caller, _) = caller.into_parts();
    let read = async {
        let mut left = LENGTH;
        while left > 0 {
            match peer.event().await {
                Event::Data { bytes, .. } => left -= bytes.len(),
                event => panic!("{event:?}"),
            }
        }
    };
    tokio::join!(pour(&mut caller, LENGTH), read);
    peer.answer(stream, "200", "{}").await;

    let mut caller = call(&stage, GET).await;
    let (stream, _) = peer.request().await;
    let length = LENGTH.to_string();
    peer.fields(stream, &[(":status", "200"), ("content-length", &length)], false).await;
    let read = async {
        caller.answer_so_far(|answer| !answer.body.is_empty()).await;
        let (mut caller, read) = caller.into_parts();
        let head = find(&read, b"\r\n\r\n").expect("a head") + 4;
        drink(&mut caller, &read[head..], LENGTH).await;
    };
    tokio::join!(peer.pour(stream, LENGTH), read);
}

#[tokio::test]
async fn p03_a_vendor_that_does_not_read_slows_its_caller_and_nobody_else() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("timeouts.first_byte = '2s'").await;
    let mut slow = call(&stage, post("Content-Length: 100000000")).await;
    let mut peer = vendor.peer(&[]).await;
    peer.gives_window = false;
    let (stream, ..) = peer.head().await;
    let taken = slow.send_until_blocked(50_000_000).await;
    assert!(taken < 20_000_000, "somebody keeps {taken} bytes");
    let mut got = 0;
    while got < 65_535 {
        got += data(&mut peer, stream).await.len();
    }
    // The connection has no window left for bodies, but calls without one pass.
    let mut quick = call(&stage, GET).await;
    let (other, _) = peer.request().await;
    peer.answer(other, "200", "{}").await;
    assert_eq!(quick.answer().await.status(), 200);
    assert_eq!(peer.event().await, Event::Reset { stream, code: CANCEL }, "nothing moves");
    assert_eq!(slow.answer().await.status(), 504);
}

#[tokio::test]
async fn p03_callers_who_do_not_read_slow_the_vendor_and_nobody_else() {
    let (mut vendor, stage) = stage().await;
    let mut slow = Vec::new();
    let mut peer = None;
    for _ in 0..4 {
        slow.push(call(&stage, GET).await);
        if peer.is_none() {
            peer = Some(vendor.peer(&[]).await);
        }
        let peer = peer.as_mut().expect("a connection");
        let (stream, _) = peer.request().await;
        peer.fields(stream, &[(":status", "200"), ("content-type", "video/mp4")], false).await;
        let taken = peer.pour_until_blocked(stream, 50_000_000).await;
        assert!(taken < 20_000_000, "somebody keeps {taken} bytes");
    }
    let mut peer = peer.expect("a connection");
    let mut quick = call(&stage, GET).await;
    let (stream, _) = peer.request().await;
    peer.fields(stream, &[(":status", "200")], false).await;
    peer.pour(stream, 200_000).await;
    assert_eq!(quick.answer().await.body.len(), 200_000);
}

#[tokio::test]
async fn p04_an_early_answer_is_an_answer_whatever_becomes_of_the_upload() {
    for (with_error, vendor_resets) in [(true, true), (false, true), (true, false)] {
        let (mut vendor, stage) = stage().await;
        let mut caller = call(&stage, post("Content-Length: 1000000") + "one").await;
        let mut peer = vendor.peer(&[]).await;
        let (stream, ..) = peer.head().await;
        assert_eq!(data(&mut peer, stream).await, b"one");
        let status = if with_error { "413" } else { "200" };
        peer.answer(stream, status, "{\"no\":1}").await;
        if vendor_resets {
            peer.reset(stream, NO_ERROR).await;
        }
        let answer = soon("the early answer", caller.answer()).await;
        assert_eq!(
            (answer.status(), &*answer.text()),
            (status.parse().expect("one"), "{\"no\":1}")
        );
        drop(caller);
        // The connection serves others.
        let mut next = call(&stage, GET).await;
        let (stream, ..) = peer.head().await;
        peer.answer(stream, "200", "{}").await;
        assert_eq!(next.answer().await.status(), 200);
    }
}
