//! The way out: not ready, then no new connections, then an end for what was begun (p29).

use tokio::net::TcpStream;

use tokenward::app::Address;

use crate::support::vendor::Gate;
use crate::support::{Answer, Caller, RawVendor, Stage, soon, until};

const CALL: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A stage with one call at the vendor, which answers when the gate is opened.
async fn with_a_call_under_way(config: &str) -> (Gate, Caller, Stage) {
    let (vendor, gate) = (RawVendor::start().await, Gate::new());
    vendor.will(Answer::json(200, "{}").behind(&gate));
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    let mut caller = stage.caller("aiclk").await;
    caller.send(CALL).await;
    until("the vendor has the call", || vendor.calls().len() == 1).await;
    (gate, caller, stage)
}

#[tokio::test]
async fn p29_what_was_begun_is_answered_and_nothing_new_is_taken() {
    let (gate, mut caller, stage) = with_a_call_under_way("").await;
    let Address::Tcp(listener) = *stage.address("aiclk") else { panic!("a TCP listener") };
    let admin = stage.gateway.addresses.admin;
    let stopping = tokio::spawn(stage.gateway.stop());

    soon("new callers are refused", async {
        while TcpStream::connect(listener).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (path, status) in [("/readyz", 503), ("/healthz", 200)] {
        let mut probe = Caller::tcp(admin).await;
        probe.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(probe.answer().await.status(), status, "{path}");
    }
    assert!(!stopping.is_finished(), "a call is under way");

    gate.open(1);
    assert_eq!(caller.answer().await.status(), 200);
    assert!(caller.rest().await.is_empty(), "the connection is closed after its answer");
    assert_eq!(soon("the end", stopping).await.expect("no panic"), 0);
}

#[tokio::test]
async fn p29_what_outlasts_the_grace_is_cut() {
    let (_gate, caller, stage) = with_a_call_under_way("shutdown.grace = '50ms'").await;
    assert_eq!(soon("the end", stage.gateway.stop()).await, 1);
    assert!(caller.rest().await.is_empty());
}

/// Nobody waits for a caller that has nothing to ask.
#[tokio::test]
async fn p29_idle_connections_are_closed_at_once() {
    let vendor = RawVendor::start().await;
    vendor.will(Answer::json(200, "{}"));
    let stage = Stage::plan().before(vendor.address).start().await;
    let mut used = stage.caller("aiclk").await;
    used.send(CALL).await;
    let answer = used.answer().await;
    assert_eq!((answer.status(), answer.one("connection")), (200, None), "it may stay");
    let fresh = stage.caller("aiclk").await;
    stage.metric_becomes("tokenward_caller_connections", &[], 2.0).await;
    assert_eq!(soon("the end", stage.gateway.stop()).await, 0);
    assert!(used.rest().await.is_empty() && fresh.rest().await.is_empty());
}

/// While new connections are still taken, each answer sends its caller to another one, which a load
/// balancer leads elsewhere. Who does not ask is not closed: it might be asking just now.
#[tokio::test]
async fn p29_until_the_minimum_is_over_answers_are_the_last_and_nobody_is_closed() {
    let vendor = RawVendor::start().await;
    let config = "workers = 1\nshutdown = { minimum = '5m', grace = '10m' }";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    let Address::Tcp(listener) = *stage.address("aiclk") else { panic!("a TCP listener") };
    let mut idle = stage.caller("aiclk").await;
    vendor.will(Answer::json(200, "{}"));
    idle.send(CALL).await;
    assert_eq!(idle.answer().await.one("connection"), None);
    let stopping = tokio::spawn(stage.gateway.stop());
    let call = async || {
        vendor.will(Answer::json(200, "{}"));
        let mut caller = Caller::tcp(listener).await;
        caller.send(CALL).await;
        let answer = caller.answer().await;
        assert_eq!(answer.status(), 200);
        let is_last = answer.one("connection") == Some("close");
        assert!(!is_last || caller.rest().await.is_empty());
        is_last
    };
    soon("the worker knows", async { while !call().await {} }).await;
    assert!(idle.has_nothing().await, "nobody has closed it");
    vendor.will(Answer::json(200, "{}"));
    idle.send(CALL).await;
    assert_eq!(idle.answer().await.one("connection"), Some("close"));
    assert!(idle.rest().await.is_empty());
    assert!(!stopping.is_finished());
    stopping.abort();
}

/// An upload and a download, each half-way when the end begins.
#[tokio::test]
async fn p29_bodies_under_way_come_to_their_ends() {
    let vendor = RawVendor::start().await;
    let hand = vendor.by_hand();
    let stage = Stage::plan().before(vendor.address).start().await;
    let mut caller = stage.caller("aiclk").await;
    caller
        .send("POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nhalf")
        .await;
    let mut hand = hand.arrives().await;
    hand.request_so_far(|request| request.body == b"half").await;
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
    caller.answer_so_far(|answer| answer.body == b"half").await;
    let Address::Tcp(listener) = *stage.address("aiclk") else { panic!("a TCP listener") };
    let stopping = tokio::spawn(stage.gateway.stop());
    soon("new callers are refused", async {
        while TcpStream::connect(listener).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    caller.send("done").await;
    assert_eq!(hand.request().await.body, b"halfdone");
    hand.send("done").await;
    assert_eq!(caller.answer().await.body, b"halfdone");
    assert!(caller.rest().await.is_empty());
    assert_eq!(soon("the end", stopping).await.expect("no panic"), 0, "nothing had to be cut");
}
