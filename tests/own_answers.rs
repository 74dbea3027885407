//! Our own answers say whose fault it is (p28).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Answer, Message, RawVendor, Stage};

/// What every answer of ours has, read like the vendor's failures or not.
#[track_caller]
fn is_ours(answer: &Message, status: u16, kind: &str, envelope: Option<[&str; 2]>) -> Value {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.one("tokenward-error"), Some(kind));
    assert_eq!(answer.one("content-type"), Some("application/problem+json"));
    let json = answer.json();
    assert_eq!(json["type"], format!("urn:tokenward:error:{kind}"));
    assert_eq!(json["status"], status);
    for member in ["title", "detail", "request_id"] {
        assert!(json[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {json}");
    }
    let mut members = BTreeSet::from(["type", "title", "status", "detail", "request_id"]);
    if let Some([code, message]) = envelope {
        members.extend([code, message]);
        assert_eq!(json[code], status);
        let detail = json["detail"].as_str().expect("a text");
        assert_eq!(json[message], format!("tokenward: {detail}"));
    }
    let found: BTreeSet<_> =
        json.as_object().expect("an object").keys().map(|k| k.as_str()).collect();
    assert_eq!(found, members);
    json
}

const JING: Option<[&str; 2]> = Some(["code", "msg"]);
const AICLK: Option<[&str; 2]> = Some(["code", "message"]);

async fn stage_with(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

#[tokio::test]
async fn p28_an_upstream_that_cannot_be_reached_is_502() {
    let (vendor, stage) = stage_with("").await;
    // A connection is kept, and dies with the vendor.
    assert_eq!(stage.get("aiclk", "/x").await.status(), 200);
    vendor.leave().await;
    for (upstream, envelope) in [("jing", JING), ("aiclk", AICLK)] {
        let answer = stage.post(upstream, "/x", "{}").await;
        let json = is_ours(&answer, 502, "upstream-unreachable", envelope);
        let detail = json["detail"].as_str().expect("a text");
        assert!(detail.contains(&vendor.address.port().to_string()), "{detail}");
    }
}

#[tokio::test]
async fn p28_an_upstream_that_breaks_off_is_502_and_a_silent_one_504() {
    let (vendor, stage) = stage_with("upstream.aiclk.timeouts.first_byte = '50ms'").await;
    vendor.will(Answer::close());
    is_ours(&stage.get("aiclk", "/x").await, 502, "upstream-broken", AICLK);
    vendor.will(Answer::silence());
    is_ours(&stage.get("aiclk", "/x").await, 504, "upstream-silent", AICLK);
    vendor.will(Answer::silence());
    let mut caller = stage.caller("aiclk").await;
    caller.send("HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = caller.answer_to_head().await;
    assert_eq!((answer.status(), answer.one("tokenward-error")), (504, Some("upstream-silent")));
}

#[tokio::test]
async fn p28_a_body_that_the_caller_breaks_off_is_the_callers_fault() {
    let (_vendor, stage) = stage_with("").await;
    let head = "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = stage.call("aiclk", format!("{head}3\r\none\r\nno size\r\n")).await;
    is_ours(&answer, 400, "body-broken", AICLK);
}

#[tokio::test]
async fn p28_a_refusal_by_the_guard_is_403_without_a_time_to_come_back() {
    let (_vendor, stage) = stage_with("").await;
    let answer = stage.post("jing", "/v1/oauth2/token", "{}").await;
    is_ours(&answer, 403, "token-endpoint-refused", JING);
    assert_eq!(answer.one("retry-after"), None);
}

#[tokio::test]
async fn p28_no_route_is_404_and_names_the_routes() {
    let (_vendor, stage) = stage_with("gateway.listen = '127.0.0.1:0'").await;
    let mut caller = stage.gateway_caller().await;
    for target in ["/", "/nothing/here", "/jingle/x", "/AICLK/x"] {
        caller.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let json = is_ours(&caller.answer().await, 404, "no-route", None);
        let detail = json["detail"].as_str().expect("a text");
        assert!(detail.contains("/jing/") && detail.contains("/aiclk/"), "{detail}");
    }
    caller.send("GET http://other.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    is_ours(&caller.answer().await, 404, "no-route", None);
    assert_eq!(
        stage.metric("tokenward_requests_total", &[("upstream", ""), ("status", "404")]).await,
        5.0
    );
}

#[tokio::test]
async fn p28_a_tunnel_is_refused_with_advice() {
    let (vendor, stage) = stage_with("gateway.listen = '127.0.0.1:0'").await;
    let mut caller = stage.gateway_caller().await;
    let host = "openapi.example:443";
    caller.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let json = is_ours(&caller.answer().await, 405, "tunnel", None);
    assert!(json["detail"].as_str().expect("a text").contains("http://"));
    assert!(vendor.calls().is_empty());
}

#[tokio::test]
async fn p28_every_answer_of_ours_has_an_id_of_its_own() {
    let (_vendor, stage) = stage_with("").await;
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        let answer = stage.get("aiclk", "/oauth2/token").await;
        ids.insert(answer.json()["request_id"].as_str().expect("a text").to_owned());
    }
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn p28_a_large_upload_that_is_refused_is_still_answered() {
    let (vendor, stage) = stage_with("").await;
    for size in [200_000, 30_000_000] {
        let mut caller = stage.caller("aiclk").await;
        let head = format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        );
        // Most callers send all of it before they read.
        caller.send_if_taken([head.into_bytes(), vec![b'x'; size]].concat()).await;
        is_ours(&caller.answer().await, 403, "token-endpoint-refused", AICLK);
    }
    assert!(vendor.calls().is_empty());
}
