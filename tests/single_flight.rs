//! Many requests, one refresh (p09).

use std::collections::BTreeMap;

use tokenward::sandbox::{Fault, FaultKind};
use tokenward::sandbox::{Scope, Vendor};

use crate::support::vendor::Gate;
use crate::support::{Answer, RawVendor, Stage, until};

#[tokio::test]
async fn p09_a_thousand_requests_with_a_dead_token_cost_one_refresh() {
    const REQUESTS: usize = 1000;
    let vendor = RawVendor::start().await;
    let config = "upstream.aiclk.refresh.wait = '60s'";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    // No new token before every request has met its rejection.
    let gate = Gate::new();
    vendor.token_endpoint_will("aiclk", vendor.grant("aiclk", 2).behind(&gate));
    let mut callers = Vec::new();
    for number in 0..REQUESTS {
        vendor.will(Answer::rejection());
        let mut caller = stage.caller("aiclk").await;
        let body = format!("{{\"my\":\"own body\",\"number\":{number}}}");
        let head = format!("Host: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        caller.send(format!("POST /openapi/{number} HTTP/1.1\r\n{head}{body}")).await;
        callers.push(caller);
    }
    vendor.until("all are rejected", |calls| calls.len() == REQUESTS).await;
    gate.open(1);
    for caller in &mut callers {
        let answer = caller.answer().await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.one("tokenward-retry"), Some("recovered"));
    }
    assert_eq!(vendor.token_calls("aiclk").len(), 2, "one at the start, one for all of them");

    let mut sent = BTreeMap::<String, Vec<_>>::new();
    for call in vendor.calls() {
        let token = call.request.one("ogw_access_token").map(str::to_owned);
        let target = call.request.target().to_owned();
        sent.entry(target).or_default().push((token, call.request.text()));
    }
    let tokens = [1, 2].map(|number| Some(vendor.token("aiclk", number)));
    for number in 0..REQUESTS {
        let body = format!("{{\"my\":\"own body\",\"number\":{number}}}");
        let expected = tokens.clone().map(|token| (token, body.clone()));
        assert_eq!(sent[&format!("/openapi/{number}")], expected);
    }
    let recovered = [("upstream", "aiclk"), ("outcome", "recovered")];
    assert_eq!(stage.metric("tokenward_retries_total", &recovered).await, REQUESTS as f64);
}

#[tokio::test]
async fn p09_a_late_rejection_of_an_older_generation_refreshes_nothing() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    let gate = Gate::new();
    vendor.will(Answer::rejection().behind(&gate)).will(Answer::rejection());
    let mut late = stage.caller("aiclk").await;
    late.send("GET /openapi/late HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    vendor.until("the late one is on its way", |calls| calls.len() == 1).await;

    let answer = stage.get("aiclk", "/openapi/early").await;
    assert_eq!(answer.one("tokenward-retry"), Some("recovered"));
    assert_eq!(vendor.token_calls("aiclk").len(), 2);

    gate.open(1);
    let answer = late.answer().await;
    assert_eq!(answer.one("tokenward-retry"), Some("recovered"));
    assert_eq!(vendor.token_calls("aiclk").len(), 2, "the newer token was there already");
    let calls = vendor.calls();
    let last = calls.last().expect("a call");
    assert_eq!(last.request.one("ogw_access_token"), Some(&*vendor.token("aiclk", 2)));
}

#[tokio::test]
async fn p09_requests_that_come_while_a_refresh_is_under_way_do_not_begin_another() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    let gate = Gate::new();
    vendor.token_endpoint_will("aiclk", vendor.grant("aiclk", 2).behind(&gate));
    vendor.will(Answer::rejection()).will(Answer::rejection());
    let mut first = stage.caller("aiclk").await;
    first.send("GET /openapi/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    until("a refresh is under way", || vendor.token_calls("aiclk").len() == 2).await;
    let mut second = stage.caller("aiclk").await;
    second.send("GET /openapi/2 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    vendor.until("the second is rejected, too", |calls| calls.len() == 2).await;
    gate.open(1);
    for caller in [&mut first, &mut second] {
        assert_eq!(caller.answer().await.one("tokenward-retry"), Some("recovered"));
    }
    assert_eq!(vendor.token_calls("aiclk").len(), 2);
}

#[tokio::test]
async fn p09_waiters_share_one_failure() {
    let stage = Stage::plan().sandbox(|settings| {
        settings.aiclk.tokens.token_latency = std::time::Duration::from_millis(50);
    });
    let stage = stage.start().await;
    stage.sandbox.expire(Vendor::Aiclk);
    stage.sandbox.fault(Vendor::Aiclk, Fault::new(FaultKind::ServerError(503)).on(Scope::Token));
    let mut callers = Vec::new();
    for number in 0..50 {
        let mut caller = stage.caller("aiclk").await;
        caller.send(format!("GET /openapi/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        callers.push(caller);
    }
    for caller in &mut callers {
        let answer = caller.answer().await;
        assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=no-token"));
    }
    let asked = stage.sandbox.counts(Vendor::Aiclk).token_calls();
    assert!(asked <= 5, "50 requests asked {asked} times");
}
