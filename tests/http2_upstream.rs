//! HTTP/2 toward the vendor: who chooses it, what a request looks like, and how many connections
//! there are.

use crate::support::h2::{Event, MAX_CONCURRENT_STREAMS, NO_ERROR, Peer, Vendor, field};
use crate::support::{Answer, recording, soon};

const CALL: &str = "GET /openapi/x?a=%2f&&b HTTP/1.1\r\nHost: localhost\r\nA: 1\r\nB: 2\r\n\r\n";

#[tokio::test]
async fn p04_a_vendor_that_offers_http_1_1_alone_gets_it() {
    for protocols in [&["http/1.1"][..], &[]] {
        let vendor = Vendor::start(protocols).await;
        let stage = vendor.stage("").await;
        let mut caller = stage.caller("aiclk").await;
        for _ in 0..3 {
            caller.send(CALL).await;
            assert_eq!(caller.answer().await.status(), 200);
        }
        let calls = vendor.http1.calls();
        assert_eq!(calls.len(), 3);
        assert!(calls.iter().all(|call| call.connection == calls[0].connection), "{calls:?}");
        assert_eq!(calls[0].request.target(), "/openapi/x?a=%2f&&b");
        let host = format!("127.0.0.1:{}", vendor.front.port());
        assert_eq!(calls[0].request.one("host"), Some(&*host));
    }
}

#[tokio::test]
async fn p01_a_call_over_http_2_is_the_callers() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    let mut caller = stage.caller("aiclk").await;
    caller.send(CALL.replace("A: 1", "TE: trailers\r\nConnection: te, x\r\nX: 0\r\nA: 1")).await;
    let mut peer = vendor.peer(&[]).await;
    let (stream, fields) = peer.request().await;
    let authority = format!("127.0.0.1:{}", vendor.front.port());
    let token = vendor.http1.token("aiclk", 1);
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let pseudo = [":method", ":scheme", ":authority", ":path"];
    assert_eq!(names[..4], pseudo, "{fields:?}");
    assert!(!names.contains(&"host") && !names.contains(&"connection"), "{names:?}");
    assert!(!names.contains(&"x"), "{names:?}");
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", "/openapi/x?a=%2f&&b"),
        ("te", "trailers"),
    ] {
        assert_eq!(field(&fields, name), Some(value));
    }
    assert!(fields.iter().any(|(_, value)| value.contains(&token)), "p02: {fields:?}");
    let place = |name: &str| names.iter().position(|known| *known == name);
    assert!(place("a") < place("b"), "{names:?}");

    peer.fields(stream, &[(":status", "201"), ("x-y", "1"), ("x-y", "2")], false).await;
    peer.data(stream, b"one", false).await;
    let begun = caller.answer_so_far(|answer| answer.body == b"one").await;
    assert!(!begun.complete);
    peer.data(stream, b"two", true).await;
    let answer = caller.answer().await;
    assert_eq!((&*answer.line, &*answer.text()), ("HTTP/1.1 201 Created", "onetwo"));
    assert_eq!(answer.all("x-y"), ["1", "2"]);

    // And on the same connection, without a path of its own.
    caller.send("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (stream, fields) = peer.request().await;
    assert_eq!(field(&fields, ":path"), Some("*"));
    peer.fields(stream, &[(":status", "204")], true).await;
    assert_eq!(caller.answer().await.status(), 204);
    caller.send("HEAD /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (stream, _) = peer.request().await;
    peer.fields(stream, &[(":status", "200"), ("content-length", "5")], true).await;
    assert_eq!(caller.answer_to_head().await.one("content-length"), Some("5"));
}

#[tokio::test]
async fn p10_a_rejection_is_recovered_over_http_2() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    let mut caller = stage.caller("aiclk").await;
    let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    caller.send(format!("{head}hello")).await;
    let mut peer = vendor.peer(&[]).await;
    for (token, recorded) in [(1, "rejected_expired"), (2, "account_info")] {
        let (stream, fields, _) = peer.head().await;
        let token = vendor.http1.token("aiclk", token);
        assert!(fields.iter().any(|(_, value)| value.contains(&token)), "{fields:?}");
        assert_eq!(field(&fields, "content-length"), Some("5"));
        assert_eq!(peer.body(stream).await.0, b"hello", "p11");
        peer.answer(stream, "200", &recording(&format!("aiclk/{recorded}"), &[])).await;
    }
    let answer = caller.answer().await;
    assert_eq!(answer.one("tokenward-retry"), Some("recovered"), "{answer:?}");
    assert!(vendor.waiting_peer().is_none(), "one connection served both");
}

#[tokio::test]
async fn p04_an_upgrade_goes_over_http_1_1() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhi";
    vendor.http1.will(Answer::raw(switch).then_silence());
    let mut caller = stage.caller("aiclk").await;
    let fields = "Host: localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    caller.send(format!("GET /openapi/socket HTTP/1.1\r\n{fields}")).await;
    let answer = caller.answer_so_far(|answer| answer.raw.ends_with(b"\r\n\r\n")).await;
    assert_eq!(answer.status(), 101, "{answer:?}");
    assert!(vendor.waiting_peer().is_none());
    assert_eq!(vendor.http1.only_call().one("upgrade"), Some("x"));
}

/// Serves every stream of a connection as soon as the test lets it, and tells how many there were
/// at once.
async fn hold_all(mut peer: Peer, mut go_on: tokio::sync::watch::Receiver<bool>) -> (usize, usize) {
    let (mut open, mut most, mut served) = (Vec::new(), 0, 0);
    loop {
        tokio::select! {
            event = peer.event() => match event {
                Event::Head { stream, end: true, .. } => open.push(stream),
                Event::Closed => return (most, served),
                _ => {}
            },
            changed = go_on.changed() => if changed.is_err() { return (most, served) },
        }
        most = most.max(open.len());
        if *go_on.borrow() {
            for stream in open.drain(..) {
                peer.answer(stream, "200", "{}").await;
                served += 1;
            }
        }
    }
}

#[tokio::test]
async fn p04_many_calls_share_few_connections() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    let mut callers = Vec::new();
    for _ in 0..200 {
        let mut caller = stage.caller("aiclk").await;
        caller.send(CALL).await;
        callers.push(caller);
    }
    let (go_on, held) = tokio::sync::watch::channel(false);
    let mut peers = Vec::new();
    for _ in 0..8 {
        let peer = vendor.peer(&[(MAX_CONCURRENT_STREAMS, 10)]).await;
        peers.push(tokio::spawn(hold_all(peer, held.clone())));
    }
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 8.0).await;
    go_on.send(true).expect("somebody listens");
    for caller in &mut callers {
        assert_eq!(caller.answer().await.status(), 200);
    }
    assert!(vendor.waiting_peer().is_none(), "eight are enough");
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    drop(go_on);
    let mut all = 0;
    for peer in peers {
        let (most, served) = soon("an end", peer).await.expect("no panic");
        assert!((1..=10).contains(&most), "{most} at once");
        all += served;
    }
    assert_eq!(all, 200);
}

#[tokio::test]
async fn p04_calls_that_come_while_a_connection_is_made_share_it() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    let mut callers = Vec::new();
    for _ in 0..60 {
        let mut caller = stage.caller("aiclk").await;
        caller.send(CALL).await;
        callers.push(caller);
    }
    let mut peer = vendor.peer(&[]).await;
    for _ in 0..60 {
        let (stream, _) = peer.request().await;
        peer.answer(stream, "200", "{}").await;
    }
    for caller in &mut callers {
        assert_eq!(caller.answer().await.status(), 200);
    }
    assert!(vendor.waiting_peer().is_none());
}

#[tokio::test]
async fn p04_an_unused_connection_ends_in_good_order() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("timeouts.pool_idle = '0s'").await;
    for _ in 0..2 {
        let mut caller = stage.caller("aiclk").await;
        caller.send(CALL).await;
        let mut peer = vendor.peer(&[]).await;
        let (stream, _) = peer.request().await;
        peer.answer(stream, "200", "{}").await;
        assert_eq!(caller.answer().await.status(), 200);
        // The next call makes another connection, and this one is told goodbye.
        caller.send(CALL).await;
        assert_eq!(peer.event().await, Event::GoAway { code: NO_ERROR });
        let mut other = vendor.peer(&[]).await;
        let (stream, _) = other.request().await;
        other.answer(stream, "200", "{}").await;
        assert_eq!(caller.answer().await.status(), 200);
    }
}

/// As over HTTP/1.1: a length that is said twice goes on once, and two lengths are none.
#[tokio::test]
async fn p25_an_answer_over_http_2_has_one_length() {
    let mut vendor = Vendor::start(&["h2", "http/1.1"]).await;
    let stage = vendor.stage("").await;
    let mut caller = Peer::caller(&stage, &[]).await;
    let call =
        [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "localhost")];
    caller.fields(1, &call, true).await;
    let mut peer = vendor.peer(&[]).await;
    let cases = [(1, ["5", "5"], "200"), (3, ["5", "6"], "502"), (5, ["6", "5"], "502")];
    for (number, lengths, status) in cases {
        let (stream, _) = peer.request().await;
        let [first, second] = lengths.map(|length| ("content-length", length));
        peer.fields(stream, &[(":status", "200"), first, ("x", "y"), second], false).await;
        peer.data(stream, b"hello", true).await;
        let (answered, fields, _) = caller.head().await;
        assert_eq!((answered, field(&fields, ":status")), (number, Some(status)), "{lengths:?}");
        let told = fields.iter().filter(|(name, _)| name == "content-length").count();
        assert_eq!(told, 1, "{fields:?}");
        caller.body(number).await;
        caller.fields(number + 2, &call, true).await;
    }
}
