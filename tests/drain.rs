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
