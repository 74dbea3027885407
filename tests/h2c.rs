//! HTTP/2 without TLS from callers that know beforehand: the same requests, the same answers (p04).

use crate::support::h2::{Event, Peer};
use crate::support::{Answer, RawVendor, Stage};

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

fn head<'a>(method: &'a str, target: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":path", target),
        (":authority", "localhost:8082"),
    ]
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// One answer, whole.
async fn answer(peer: &mut Peer, stream: u32) -> (Vec<(String, String)>, String) {
    let (answered, fields, end) = peer.head().await;
    assert_eq!(answered, stream);
    let body = if end { Vec::new() } else { peer.body(stream).await.0 };
    (fields, String::from_utf8(body).expect("text"))
}

#[tokio::test]
async fn p04_a_request_arrives_as_it_would_over_http_1() {
    let (vendor, stage) = stage("").await;
    vendor.will(Answer::new(404, &[("X-Why", "none"), ("Set-Cookie", "a=1")], "no"));
    let mut peer = Peer::caller(&stage, &[]).await;
    let mut fields = head("GET", "/openapi//x/../%41?q=%2f&&=");
    let more =
        [("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("x-a", "2"), ("te", "trailers")];
    fields.extend(more);
    peer.fields(1, &fields, true).await;
    let (fields, body) = answer(&mut peer, 1).await;
    assert_eq!((value(&fields, ":status"), value(&fields, "x-why")), (Some("404"), Some("none")));
    assert_eq!((value(&fields, "content-length"), body.as_str()), (Some("2"), "no"));
    let call = vendor.only_call();
    assert_eq!(call.line, "GET /openapi//x/../%41?q=%2f&&= HTTP/1.1");
    assert_eq!(call.one("host"), Some(&*vendor.address.to_string()));
    assert_eq!((call.one("cookie"), call.all("x-a")), (Some("a=1; b=2"), vec!["1", "2"]));
    assert_eq!(call.one("ogw_access_token"), Some(&*vendor.token("aiclk", 1)));
    assert_eq!(call.all("content-length").len() + call.all("transfer-encoding").len(), 0);
}

/// It says how long the body would be that does not come.
#[tokio::test]
async fn p01_a_304_keeps_its_length_and_ends_with_its_head() {
    let (vendor, stage) = stage("").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    for (stream, length, kept) in [(1, "Content-Length: 99\r\n", Some("99")), (3, "", None)] {
        vendor.will(Answer::raw(format!("HTTP/1.1 304 Not Modified\r\n{length}\r\n")));
        peer.fields(stream, &head("GET", "/openapi/x"), true).await;
        let (answered, fields, end) = peer.head().await;
        assert_eq!((answered, value(&fields, ":status"), end), (stream, Some("304"), true));
        assert_eq!(value(&fields, "content-length"), kept);
    }
}

/// The library takes a fragment out and leaves a target that is sent as nothing.
#[tokio::test]
async fn p25_a_target_that_is_a_fragment_is_the_root() {
    let (vendor, stage) = stage("").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    peer.fields(1, &head("GET", "#x"), true).await;
    let (fields, _) = answer(&mut peer, 1).await;
    assert_eq!(value(&fields, ":status"), Some("200"));
    assert_eq!(vendor.only_call().line, "GET / HTTP/1.1");
}

#[tokio::test]
async fn p11_a_rejected_upload_is_sent_once_more() {
    let (vendor, stage) = stage("").await;
    vendor.will(Answer::rejection());
    let mut peer = Peer::caller(&stage, &[]).await;
    peer.fields(1, &head("POST", "/openapi/x"), false).await;
    peer.data(1, b"one ", false).await;
    peer.data(1, b"two", true).await;
    let (fields, _) = answer(&mut peer, 1).await;
    assert_eq!(value(&fields, "tokenward-retry"), Some("recovered"));
    let calls = vendor.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.request.body == b"one two"), "{calls:?}");
    assert_eq!(calls[1].request.one("ogw_access_token"), Some(&*vendor.token("aiclk", 2)));
}

#[tokio::test]
async fn p04_streams_of_one_connection_have_their_own_answers() {
    let (_, stage) = stage("").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    let streams: Vec<u32> = (0..100).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        peer.fields(*stream, &head("GET", "/openapi/x"), true).await;
    }
    let mut ended = Vec::new();
    while ended.len() < streams.len() {
        match peer.event().await {
            Event::Head { fields, .. } => assert_eq!(value(&fields, ":status"), Some("200")),
            Event::Data { stream, end: true, .. } => ended.push(stream),
            Event::Data { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, streams);
    stage.metric_becomes("tokenward_requests_in_flight", &[("upstream", "aiclk")], 0.0).await;
}

#[tokio::test]
async fn p22_the_authority_is_the_host_that_is_judged() {
    let (vendor, stage) = stage("").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    let mut fields = head("GET", "/openapi/x");
    fields[3].1 = "evil.example";
    peer.fields(1, &fields, true).await;
    let (fields, _) = answer(&mut peer, 1).await;
    assert_eq!(
        (value(&fields, ":status"), value(&fields, "tokenward-error")),
        (Some("403"), Some("host-refused"))
    );
    assert!(vendor.calls().is_empty());
}

#[tokio::test]
async fn p27_targets_and_heads_have_their_limits() {
    let (vendor, stage) = stage("limits = { target_bytes = '1KiB', headers = 10 }").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    let long = format!("/openapi/{}", "x".repeat(1024));
    peer.fields(1, &head("GET", &long), true).await;
    let (fields, body) = answer(&mut peer, 1).await;
    assert_eq!(value(&fields, ":status"), Some("414"), "{body}");
    let mut many = head("GET", "/openapi/x");
    many.extend([("x-a", "1"); 11]);
    peer.fields(3, &many, true).await;
    let (fields, _) = answer(&mut peer, 3).await;
    assert_eq!(value(&fields, "tokenward-error"), Some("too-many-headers"));
    assert!(vendor.calls().is_empty());
    for limit in ["target_bytes", "headers"] {
        let labels = [("upstream", "aiclk"), ("limit", limit)];
        assert_eq!(stage.metric("tokenward_limits_reached_total", &labels).await, 1.0, "{limit}");
    }
}

#[tokio::test]
async fn p27_a_connection_that_nobody_uses_ends() {
    let (_, stage) = stage("limits.keep_alive = '200ms'").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    peer.fields(1, &head("GET", "/openapi/x"), true).await;
    assert_eq!(value(&answer(&mut peer, 1).await.0, ":status"), Some("200"));
    let event = peer.event().await;
    assert_eq!(event, Event::GoAway { code: 0 });
    peer.closed().await;
}

#[tokio::test]
async fn p03_a_stream_that_its_caller_gives_up_is_given_up_at_the_vendor() {
    let (vendor, stage) = stage("").await;
    let hand = vendor.by_hand();
    let mut peer = Peer::caller(&stage, &[]).await;
    peer.fields(1, &head("GET", "/openapi/x"), true).await;
    let mut hand = hand.arrives().await;
    hand.request().await;
    peer.reset(1, CANCEL).await;
    assert!(hand.rest().await.is_empty(), "the vendor's connection is closed");
    peer.fields(3, &head("GET", "/openapi/x"), true).await;
    assert_eq!(value(&answer(&mut peer, 3).await.0, ":status"), Some("200"));
}

#[tokio::test]
async fn p29_streams_that_have_begun_end_before_the_connection_does() {
    let (vendor, stage) = stage("").await;
    let hand = vendor.by_hand();
    let mut peer = Peer::caller(&stage, &[]).await;
    peer.fields(1, &head("GET", "/openapi/x"), true).await;
    let mut hand = hand.arrives().await;
    hand.request().await;
    let stopping = tokio::spawn(stage.gateway.stop());
    while !matches!(peer.event().await, Event::GoAway { .. }) {}
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast").await;
    // The limit of streams is told twice: first that there is one, then which was the last.
    let last = loop {
        match peer.event().await {
            Event::Data { bytes, end: true, .. } => break bytes,
            Event::Head { .. } | Event::Data { .. } | Event::GoAway { code: 0 } => {}
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(last, b"last");
    assert_eq!(stopping.await.expect("it stops"), 0, "nothing had to be cut");
}

const CANCEL: u32 = 8;
