//! Handshakes that take too long, that are none, and that are too many.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::{Caller, Stage, soon, until};

use super::support::TlsStage;
use super::{CLIENTS, KEY};

/// What a client says first.
fn hello(tls: &TlsStage) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(tls.client(&[]), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("room");
    bytes
}

fn get() -> String {
    format!("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n\r\n")
}

/// Reads to the end, whether that is a close or a reset.
async fn end(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = soon("the gateway closes", stream.read_to_end(&mut read)).await;
    read
}

#[tokio::test]
async fn p27_a_handshake_has_its_time() {
    let tls = TlsStage::with(CLIENTS, "limits.head = '300ms'").await;
    let hello = hello(&tls);
    // Nothing; a part; a byte now and then; and nothing more after the gateway's answer.
    for sent in [0, 1, hello.len() / 2] {
        let mut stream = TcpStream::connect(tls.address()).await.expect("a connection");
        stream.write_all(&hello[..sent]).await.expect("written");
        assert_eq!(end(&mut stream).await, b"", "{sent} bytes");
    }
    let mut stream = TcpStream::connect(tls.address()).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    soon("the gateway closes", async {
        for byte in &hello {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("a handshake of {} bytes had {} ms", hello.len(), hello.len() * 20);
    })
    .await;
    let mut stream = TcpStream::connect(tls.address()).await.expect("a connection");
    stream.write_all(&hello).await.expect("written");
    assert!(!end(&mut stream).await.is_empty(), "the gateway's part of the handshake");
    let late = [("outcome", "late")];
    tls.stage.metric_becomes("tokenward_caller_handshakes_total", &late, 5.0).await;
    tls.stage.metric_becomes("tokenward_limits_reached_total", &[("limit", "head")], 5.0).await;
    tls.stage.metric_becomes("tokenward_caller_connections", &[], 0.0).await;
}

#[tokio::test]
async fn p21_plain_http_at_a_port_of_tls_is_told_so() {
    let tls = TlsStage::with(CLIENTS, "").await;
    for request in [get(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "\0".to_owned()] {
        let mut caller = Caller::tcp(tls.address()).await;
        caller.send(&request).await;
        let answer = caller.answer().await;
        let told = (answer.status(), answer.one("tokenward-error"));
        assert_eq!(told, (400, Some("no-tls")), "{request:?}: {answer:?}");
        assert!(answer.text().contains("call https://"), "{answer:?}");
        assert_eq!(caller.rest_without_reset().await, b"");
    }
    assert_eq!(tls.handshakes("plain").await, 3.0);
    assert_eq!(tls.vendor.calls().len(), 0);
}

#[tokio::test]
async fn p21_what_is_no_handshake_ends_and_is_counted() {
    let tls = TlsStage::with(CLIENTS, "").await;
    let hello = hello(&tls);
    let mut broken = hello.clone();
    broken[5] = 99;
    let too_long = [&[22, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
    for bytes in [&broken, &too_long, &b"\x16HTTP/1.1".to_vec()] {
        let mut stream = TcpStream::connect(tls.address()).await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        end(&mut stream).await;
    }
    let mut stream = TcpStream::connect(tls.address()).await.expect("a connection");
    stream.write_all(&hello).await.expect("written");
    drop(stream);
    let ended = async || {
        let outcomes = ["failed", "gone"].map(|outcome| tls.handshakes(outcome));
        let [failed, gone] = outcomes;
        failed.await + gone.await
    };
    soon("all are counted", async { while ended().await < 4.0 {} }).await;
    // Whoever does not trust the gateway says so, and sends nothing.
    let other = tls.put("other.pem", &tls.callers.pem()).display().to_string();
    let called = tls.curl(&["-H", KEY, "--cacert", &other]).await;
    assert_eq!(called.code, Some(60), "{called:?}");
    let declined = [("outcome", "declined")];
    tls.stage.metric_becomes("tokenward_caller_handshakes_total", &declined, 1.0).await;
    assert_eq!(tls.curl(&["-H", KEY]).await.status(), 200, "others go on");
}

/// Who is one too many gets no handshake: it costs more than the refusal of a plain connection.
#[tokio::test]
async fn p27_handshakes_count_as_connections() {
    let tls = TlsStage::with(CLIENTS, "limits.connections = 2").await;
    let reached = [("limit", "connections")];
    let mut first = Caller::over(tls.dial(&["http/1.1"]).await.expect("TLS"));
    let hand = tls.vendor.by_hand();
    first.send(get()).await;
    let mut first_hand = hand.arrives().await;
    // One that has not come to its end makes room, as whoever waits without a request does.
    let mut half = TcpStream::connect(tls.address()).await.expect("a connection");
    half.write_all(&hello(&tls)[..10]).await.expect("written");
    tls.stage.metric_becomes("tokenward_caller_connections", &[], 2.0).await;
    let mut second = Caller::over(tls.dial(&["http/1.1"]).await.expect("TLS"));
    assert_eq!(end(&mut half).await, b"");
    tls.stage.metric_becomes("tokenward_limits_reached_total", &reached, 1.0).await;

    let hand = tls.vendor.by_hand();
    second.send(get()).await;
    let _second_hand = hand.arrives().await;
    assert!(tls.dial(&[]).await.is_err());
    tls.stage.metric_becomes("tokenward_limits_reached_total", &reached, 2.0).await;
    assert_eq!(tls.handshakes("ok").await, 2.0);
    first_hand.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(first.answer().await.status(), 200);
    assert!(tls.dial(&[]).await.is_ok());
}

/// A resumed session brings the certificate of its beginning along, which may have ended since.
#[tokio::test]
async fn p21_sessions_are_resumed_where_nobody_shows_a_certificate_and_nowhere_else() {
    for (client_ca, kind) in [(false, HandshakeKind::Resumed), (true, HandshakeKind::Full)] {
        let prepared = TlsStage::prepare();
        let prepared = if client_ca { prepared } else { prepared.without_client_ca() };
        let tls = prepared.start(CLIENTS, "").await;
        let client = tls.client(&["http/1.1"]);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let stream = tls.dial_with(Arc::clone(&client)).await.expect("TLS");
            kinds.push(stream.get_ref().1.handshake_kind().expect("a handshake"));
            // Tickets come with the answer.
            let mut caller = Caller::over(stream);
            caller.send(get()).await;
            assert_eq!(caller.answer().await.status(), 200);
        }
        assert_eq!(kinds, [HandshakeKind::Full, kind], "with client_ca: {client_ca}");
    }
}

#[tokio::test]
async fn p29_a_drain_ends_handshakes_and_lets_requests_end() {
    let tls = TlsStage::with(CLIENTS, "shutdown.grace = '10s'").await;
    let hand = tls.vendor.by_hand();
    let mut caller = Caller::over(tls.dial(&["http/1.1"]).await.expect("TLS"));
    caller.send(get()).await;
    let mut hand = hand.arrives().await;
    let mut half = TcpStream::connect(tls.address()).await.expect("a connection");
    half.write_all(&hello(&tls)[..10]).await.expect("written");
    tls.stage.metric_becomes("tokenward_caller_connections", &[], 2.0).await;
    let Stage { gateway, .. } = tls.stage;
    let stopping = tokio::spawn(gateway.stop());
    end(&mut half).await;
    assert!(!stopping.is_finished());
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    assert_eq!(caller.answer().await.text(), "done");
    assert_eq!(caller.rest_without_reset().await, b"", "closed with a word of goodbye");
    until("the drain ends", || stopping.is_finished()).await;
    assert_eq!(stopping.await.expect("no panic"), 0);
}
