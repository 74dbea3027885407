//! The way to the end (p29).

use tokenward::app::Address;
use tokio::net::TcpStream;

use crate::support::vendor::Gate;
use crate::support::{Answer, RawVendor, Stage, soon};

#[tokio::test]
async fn p29_while_requests_drain_new_connections_are_refused() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    let gate = Gate::new();
    vendor.will(Answer::success().behind(&gate));
    let mut caller = stage.caller("aiclk").await;
    caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    vendor.until("a call is under way", |calls| calls.len() == 1).await;

    let Address::Tcp(address) = stage.address("aiclk").clone() else {
        panic!("a TCP address");
    };
    let stopped = tokio::spawn(stage.gateway.stop());
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    soon("a new connection is refused", refused).await;
    assert!(!stopped.is_finished(), "the request is still under way");
    gate.open(1);
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(soon("the end", stopped).await.expect("no panic"), 0);
}
