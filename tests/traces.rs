//! Spans, as a collector gets them: the right parents, and nothing that must stay secret (p31, p26).

use crate::support::reloading::{Reloading, SEED, call};
use crate::support::spans::{self, Span};
use crate::support::vendor::Call;
use crate::support::{Answer, RawVendor, leaks};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS: &str = "b7ad6b7169203331";

/// `[traces]` of a config.
fn traces(collector: &RawVendor, more: &str) -> String {
    format!("[traces]\nendpoint = 'http://{}'\n{more}\n", collector.address)
}

fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLERS}-{flags}\r\ntracestate: a=1,b=2\r\n")
}

/// Ends the gateway; what the collector has got by then, and in what bytes.
async fn exported(gateway: Reloading, collector: &RawVendor) -> (Vec<Span>, Vec<Vec<u8>>) {
    gateway.process.signal("TERM").await;
    let ended = gateway.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let calls: Vec<Vec<u8>> = collector.calls().into_iter().map(|it| it.request.body).collect();
    (calls.iter().flat_map(|body| spans::of(body)).collect(), calls)
}

/// The trace and the span that a vendor was told of.
fn told(call: &Call) -> Option<(String, String, String)> {
    let told = call.request.one("traceparent")?;
    let parts: Vec<_> = told.split('-').map(str::to_owned).collect();
    let [_, trace, span, flags] = parts.try_into().expect("four parts");
    Some((trace, span, flags))
}

#[tokio::test]
async fn p31_a_request_that_is_rejected_refreshed_and_replayed_is_one_trace() {
    let collector = RawVendor::start().await;
    let gateway = Reloading::with(&traces(&collector, "")).await;
    let mut caller = gateway.caller("aiclk").await;
    let vendor = gateway.vendor.clone();
    vendor.will(Answer::rejection());
    let path = "/openapi/v1/items/4711?account=SECRETOFTHECALLER1";
    caller.send(request(path, &traceparent("01"))).await;
    assert_eq!(caller.answer().await.status(), 200);
    let (spans, bodies) = exported(gateway, &collector).await;

    let ours: Vec<_> = spans.iter().filter(|span| span.trace == TRACE).collect();
    let one = |name: &str| {
        let mut found = ours.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no {name} in {ours:?}"));
        assert!(found.next().is_none(), "{name} twice in {ours:?}");
        span
    };
    let server = one("GET /openapi/v1/items/*");
    assert_eq!((server.parent.as_str(), server.kind, server.failed), (CALLERS, "server", false));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/openapi/v1/items/*"),
        ("http.response.status_code", "200"),
        ("tokenward.upstream", "aiclk"),
        ("tokenward.retry", "recovered"),
        ("tokenward.generation", "2"),
    ] {
        assert_eq!(server.says(key), value, "{key}: {server:?}");
    }
    let attempts: Vec<_> = ours.iter().filter(|span| span.name == "GET").collect();
    assert_eq!(attempts.len(), 2, "{ours:?}");
    let calls = vendor.calls();
    for ((attempt, call), number) in attempts.iter().zip(&calls).zip(0..) {
        assert_eq!((&attempt.parent, attempt.kind), (&server.id, "client"), "{attempt:?}");
        let expected = (TRACE.to_owned(), attempt.id.clone(), "01".to_owned());
        assert_eq!(told(call), Some(expected), "the vendor is told of this attempt");
        assert_eq!(call.request.one("tracestate"), Some("a=1,b=2"));
        let resent = if number == 0 { "" } else { "1" };
        for (key, value) in [
            ("server.address", vendor.address.ip().to_string()),
            ("server.port", vendor.address.port().to_string()),
            ("url.scheme", "http".to_owned()),
            ("url.template", "/openapi/v1/items/*".to_owned()),
            ("http.request.resend_count", resent.to_owned()),
            ("tokenward.generation", (number + 1).to_string()),
        ] {
            assert_eq!(attempt.says(key), value, "{key}: {attempt:?}");
        }
    }
    assert!(!attempts[0].says("tokenward.rejected_by").is_empty(), "{:?}", attempts[0]);
    let refresh = one("refresh");
    assert_eq!((&refresh.parent, refresh.kind), (&server.id, "internal"));
    assert_eq!(
        (refresh.says("tokenward.reason"), refresh.says("tokenward.outcome")),
        ("rejected", "ok")
    );
    let endpoint = one("token endpoint");
    assert_eq!((&endpoint.parent, endpoint.kind), (&refresh.id, "client"));
    assert_eq!(endpoint.says("http.response.status_code"), "200");
    for name in ["store read", "store write"] {
        let mut parts = ours.iter().filter(|span| span.name == name);
        assert!(parts.clone().count() > 0 && parts.all(|span| span.parent == refresh.id), "{name}");
    }
    // The token of the start was nobody's wish.
    let start = spans.iter().find(|span| span.says("tokenward.reason") == "start").expect("one");
    assert!(start.parent.is_empty() && start.trace != TRACE, "{start:?}");

    let tokens = [1, 2].map(|number| vendor.token("aiclk", number));
    let secrets = tokens.iter().map(String::as_str).chain([SEED, "SECRETOFTHECALLER1", "4711"]);
    for (secret, body) in secrets.flat_map(|secret| bodies.iter().map(move |body| (secret, body))) {
        assert!(memchr::memmem::find(body, secret.as_bytes()).is_none(), "{secret} was told");
    }
    bodies.iter().for_each(|body| leaks::look_into("spans", body));
    leaks::assert_none();
}

#[tokio::test]
async fn p31_the_vendor_is_told_of_a_trace_as_the_operator_wishes() {
    for (propagate, callers, ours) in
        [("incoming", true, false), ("always", true, true), ("never", false, false)]
    {
        let collector = RawVendor::start().await;
        let config = traces(&collector, &format!("propagate = '{propagate}'"));
        let gateway = Reloading::with(&config).await;
        let mut caller = gateway.caller("aiclk").await;
        caller.send(request("/callers", &traceparent("01"))).await;
        assert_eq!(caller.answer().await.status(), 200);
        assert_eq!(call(&mut caller, "GET /ours").await.status(), 200);
        let calls = gateway.vendor.calls();
        let traces: Vec<_> = calls.iter().map(|call| told(call).map(|(trace, ..)| trace)).collect();
        assert_eq!(traces[0].as_deref(), callers.then_some(TRACE), "{propagate}");
        assert_eq!(traces[1].is_some(), ours, "{propagate}");
        assert_eq!(calls[0].request.one("tracestate").is_some(), callers, "{propagate}");
        let (spans, _) = exported(gateway, &collector).await;
        for (name, is_callers) in [("GET /callers", true), ("GET /ours", false)] {
            let span = spans.iter().find(|span| span.name == name).expect("a span");
            assert_eq!(span.trace == TRACE, is_callers, "{propagate} {span:?}");
        }
    }
}

#[tokio::test]
async fn p31_what_a_caller_has_not_sampled_is_not_exported() {
    let collector = RawVendor::start().await;
    let gateway = Reloading::with(&traces(&collector, "")).await;
    let mut caller = gateway.caller("aiclk").await;
    caller.send(request("/quiet", &traceparent("00"))).await;
    assert_eq!(caller.answer().await.status(), 200);
    let (trace, span, flags) = told(&gateway.vendor.calls()[0]).expect("the vendor is told");
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    assert_ne!(span, CALLERS);
    let (spans, _) = exported(gateway, &collector).await;
    assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:?}");

    let collector = RawVendor::start().await;
    let gateway = Reloading::with(&traces(&collector, "sample = 0")).await;
    let mut caller = gateway.caller("aiclk").await;
    assert_eq!(call(&mut caller, "GET /x").await.status(), 200);
    let (spans, _) = exported(gateway, &collector).await;
    assert!(spans.is_empty(), "{spans:?}");
}

#[tokio::test]
async fn p31_a_collector_that_is_away_is_told_of_once_and_holds_nothing_up() {
    let collector = RawVendor::start().await;
    collector.leave().await;
    let gateway = Reloading::with(&traces(&collector, "")).await;
    let mut caller = gateway.caller("aiclk").await;
    assert_eq!(call(&mut caller, "GET /x").await.status(), 200);
    let away =
        "the collector (traces.endpoint) does not take spans: they are dropped until it does";
    gateway.process.logged(|it| it["message"] == away).await;
    for _ in 0..50 {
        assert_eq!(call(&mut caller, "GET /x").await.status(), 200);
    }
    gateway.process.signal("TERM").await;
    let ended = gateway.process.ended().await;
    assert_eq!((ended.code, ended.stderr.matches(away).count()), (Some(0), 1), "{}", ended.stderr);
}
