//! Bodies of token calls that are too long, too slow, broken, or more than one request (p24).

use super::{ACCESS, Emulating, assert_emulated};
use crate::support::h2::Peer;
use crate::support::{Message, soon};

const HEAD: &str = "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\n";
const LONGEST: usize = 64 << 10;

#[track_caller]
fn assert_own(answer: &Message, status: u16, kind: &str) {
    let found = (answer.status(), answer.one("tokenward-error"));
    assert_eq!(found, (status, Some(kind)), "{answer:?}");
    assert_eq!(answer.one("tokenward-emulated"), None);
}

fn with_length(body: &[u8]) -> Vec<u8> {
    [format!("{HEAD}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(1000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
    bytes
}

#[tokio::test]
async fn p24_a_body_up_to_the_bound_is_dropped_and_the_connection_goes_on() {
    let emulating = Emulating::with("").await;
    let mut caller = emulating.stage.caller("aiclk").await;
    let full = vec![b'x'; LONGEST];
    for request in [with_length(b""), with_length(&full), in_chunks(b"a=b"), in_chunks(&full)] {
        caller.send(request).await;
        assert_emulated(&caller.answer().await);
    }
    caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(emulating.vendor.only_call().target(), "/openapi/x");
    let bytes = emulating.stage.metric("tokenward_request_bytes_total", &[("upstream", "aiclk")]);
    assert_eq!(bytes.await, (2 * LONGEST + 3) as f64);
}

#[tokio::test]
async fn p24_a_longer_body_is_refused_and_the_connection_closed() {
    for (config, longest) in [("", LONGEST), ("upstream.aiclk.limits.body = '1KiB'", 1 << 10)] {
        let emulating = Emulating::with(config).await;
        let over = vec![b'x'; longest + 1];
        let gigabyte = format!("{HEAD}Content-Length: {}\r\n\r\nonly this", 1 << 30).into_bytes();
        let refused = [with_length(&over), in_chunks(&over), gigabyte.clone()];
        for request in &refused {
            let mut caller = emulating.stage.caller("aiclk").await;
            caller.send_if_taken(request).await;
            let answer = caller.answer().await;
            assert_own(&answer, 413, "body-too-large");
            let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
            assert!(detail.contains(&format!("{longest} bytes")), "{detail}");
            // What has come as a whole leaves the connection as it was.
            if request.starts_with(&gigabyte) {
                assert_eq!(caller.rest_without_reset().await, b"");
            }
        }
        let limit = [("limit", "body"), ("upstream", "aiclk")];
        let reached = emulating.stage.metric("tokenward_limits_reached_total", &limit).await;
        assert_eq!((reached, emulating.emulated("aiclk").await), (refused.len() as f64, 0.0));
        emulating.assert_untouched();
    }
}

/// An endless upload is ended at the bound, and none of it is kept.
#[tokio::test]
async fn p24_a_gigabyte_in_chunks_ends_at_the_bound() {
    let emulating = Emulating::with("").await;
    let mut caller = emulating.stage.caller("aiclk").await;
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    caller.send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n")).await;
    caller.send_if_taken(chunk.repeat(32)).await;
    assert_own(&caller.answer().await, 413, "body-too-large");
    let bytes = emulating.stage.metric("tokenward_request_bytes_total", &[("upstream", "aiclk")]);
    assert!(bytes.await < (1 << 20) as f64);
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_a_body_that_is_expected_is_asked_for_unless_it_is_too_long() {
    let emulating = Emulating::with("").await;
    let mut caller = emulating.stage.caller("aiclk").await;
    caller.send(format!("{HEAD}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")).await;
    assert_eq!(caller.answer().await.status(), 100);
    caller.send("body").await;
    assert_emulated(&caller.answer().await);
    caller.send(format!("{HEAD}Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n")).await;
    assert_own(&caller.answer().await, 413, "body-too-large");
    assert_eq!(caller.rest().await, b"");
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_a_body_that_stands_still_or_trickles_in_is_408() {
    let emulating = Emulating::with("limits.idle = '100ms'").await;
    let mut caller = emulating.stage.caller("aiclk").await;
    caller.send(format!("{HEAD}Content-Length: 10\r\n\r\nhalf")).await;
    assert_own(&caller.answer().await, 408, "request-timeout");

    let mut caller = emulating.stage.caller("aiclk").await;
    caller.send(format!("{HEAD}Content-Length: 60000\r\n\r\n")).await;
    let mut answered = std::pin::pin!(async {
        while caller.has_nothing().await {
            caller.send_if_taken("x").await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        caller.answer().await
    });
    assert_own(&soon("an answer", &mut answered).await, 408, "request-timeout");
    let reached = emulating.stage.metric("tokenward_limits_reached_total", &[("limit", "idle")]);
    assert_eq!(reached.await, 2.0);
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_a_broken_body_is_the_callers_fault() {
    let emulating = Emulating::with("").await;
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let answer = emulating.stage.call("aiclk", format!("{chunked}3\r\none\r\nno size\r\n")).await;
    assert_own(&answer, 400, "body-broken");
    for ambiguous in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ] {
        let answer = emulating.stage.call("aiclk", format!("{HEAD}{ambiguous}")).await;
        assert_eq!(answer.one("tokenward-emulated"), None, "{ambiguous}");
        assert!(matches!(answer.status(), 400 | 501), "{ambiguous}: {answer:?}");
    }
    assert_eq!(emulating.emulated("aiclk").await, 0.0);
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_what_stands_in_a_body_is_no_request_and_what_follows_it_is_one() {
    let emulating = Emulating::with("").await;
    let hidden = b"GET /openapi/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let plain = format!(
        "GET /openapi/plain HTTP/1.1\r\nHost: localhost\r\nOGW_ACCESS_TOKEN: {ACCESS}\r\n\r\n"
    );
    let mut caller = emulating.stage.caller("aiclk").await;
    let all = [
        with_length(hidden),
        plain.clone().into_bytes(),
        in_chunks(hidden),
        with_length(b""),
        plain.into_bytes(),
    ];
    caller.send(all.concat()).await;
    for emulated in [true, false, true, true, false] {
        let answer = caller.answer().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.one("tokenward-emulated").is_some(), emulated);
    }
    assert!(caller.has_nothing().await);
    let calls = emulating.vendor.calls();
    let targets: Vec<_> = calls.iter().map(|call| call.request.target()).collect();
    assert_eq!(targets, ["/openapi/plain", "/openapi/plain"]);
    assert!(calls.iter().all(|call| {
        call.request.one("ogw_access_token") == Some(&*emulating.vendor.token("aiclk", 1))
    }));
}

#[tokio::test]
async fn p24_http_1_0_is_answered_and_closed() {
    let emulating = Emulating::with("").await;
    let mut caller = emulating.stage.caller("aiclk").await;
    caller.send("POST /oauth2/token HTTP/1.0\r\nContent-Length: 3\r\n\r\na=b").await;
    assert_emulated(&caller.answer().await);
    assert_eq!(caller.rest().await, b"");
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_h2c_is_answered_stream_by_stream() {
    let emulating = Emulating::with("").await;
    let mut peer = Peer::caller(&emulating.stage, &[]).await;
    let head = |target| {
        [(":method", "POST"), (":scheme", "http"), (":path", target), (":authority", "localhost")]
    };
    for stream in [1, 3, 5] {
        peer.fields(stream, &head("/oauth2/token"), false).await;
    }
    for stream in [5, 1, 3] {
        peer.data(stream, b"client_id=mine", true).await;
        let (answered, fields, _) = peer.head().await;
        assert_eq!(answered, stream);
        assert!(fields.contains(&("tokenward-emulated".to_owned(), "token".to_owned())));
        let (body, _) = peer.body(stream).await;
        assert!(String::from_utf8_lossy(&body).contains(ACCESS));
    }
    peer.fields(7, &head("/oauth2//token"), true).await;
    let (_, fields, _) = peer.head().await;
    assert!(fields.contains(&(":status".to_owned(), "403".to_owned())), "{fields:?}");
    emulating.assert_untouched();
}
