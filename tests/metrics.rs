//! What is counted is right, and bounded in labels (p31).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokenward::sandbox::{FaultKind, Vendor};

use crate::support::{Answer, RawVendor, Stage};

const CALL: &str = "/openapi/v1/account/info";

#[tokio::test]
async fn p31_a_scripted_run_is_counted_right() {
    let stage = Stage::new().await;
    let body = stage.get("aiclk", CALL).await.body.len();
    stage.post("aiclk", "/openapi/x", "12345").await;
    stage.sandbox.expire(Vendor::Aiclk);
    stage.post("aiclk", "/openapi/x", "1234567").await;
    stage.post("aiclk", "/oauth2/token", "refused").await;
    stage.post("jing", "/v1/user/create", "{}").await;

    let metrics = stage.metrics().await;
    let sum = |name: &str, labels: &[(&str, &str)]| {
        let mut labels = labels.to_vec();
        labels.push(("upstream", "aiclk"));
        metrics.sum(&format!("tokenward_{name}"), &labels)
    };
    assert_eq!(sum("requests_total", &[("method", "GET"), ("status", "200")]), 1.0);
    assert_eq!(sum("requests_total", &[("method", "POST"), ("status", "200")]), 2.0);
    assert_eq!(sum("requests_total", &[("method", "POST"), ("status", "403")]), 1.0);
    assert_eq!(sum("requests_total", &[]), 4.0);
    assert_eq!(sum("request_duration_seconds_count", &[]), 4.0);
    assert_eq!(sum("upstream_duration_seconds_count", &[]), 4.0, "one attempt was a second one");
    assert_eq!(sum("requests_in_flight", &[]), 0.0);
    assert_eq!(sum("request_bytes_total", &[]), 12.0, "once, though some were sent twice");
    assert!(sum("response_bytes_total", &[]) > body as f64);
    assert_eq!(sum("rejections_total", &[("rule", "code-401")]), 1.0);
    assert_eq!(sum("rejections_total", &[]), 1.0);
    assert_eq!(sum("retries_total", &[("outcome", "recovered")]), 1.0);
    assert_eq!(sum("retries_total", &[]), 1.0);
    assert_eq!(sum("token_refreshes_total", &[("reason", "start"), ("outcome", "ok")]), 1.0);
    assert_eq!(sum("token_refreshes_total", &[("reason", "rejected"), ("outcome", "ok")]), 1.0);
    assert_eq!(sum("token_refreshes_total", &[]), 2.0);
    assert_eq!(sum("token_refresh_duration_seconds_count", &[]), 2.0);
    assert_eq!(sum("token_generation", &[]), 2.0);
    assert_eq!(sum("token_early_deaths_total", &[]), 1.0);
    assert_eq!(sum("refresh_budget_remaining", &[]), 298.0);
    assert_eq!(sum("upstream_connections", &[("state", "active")]), 0.0);
    assert!(sum("upstream_connections", &[("state", "idle")]) >= 1.0);
    assert_eq!(metrics.sum("tokenward_guard_refusals_total", &[("reason", "token_endpoint")]), 1.0);
    assert_eq!(sum("own_answers_total", &[("error", "token-endpoint-refused")]), 1.0);
    assert_eq!(sum("own_answers_total", &[]), 1.0);
    assert_eq!(sum("upstream_ready", &[]), 1.0);
    assert_eq!(sum("token_needs_person", &[]), 0.0);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let left = sum("token_expiry_timestamp_seconds", &[]) - now;
    assert!((left - 90.0 * 86_400.0).abs() < 60.0, "{left}");
    assert!((now - sum("token_last_success_timestamp_seconds", &[])).abs() < 60.0);

    let jing = [("upstream", "jing")];
    assert_eq!(metrics.sum("tokenward_requests_total", &jing), 1.0);
    assert_eq!(metrics.sum("tokenward_token_generation", &jing), 1.0);
    assert_eq!(metrics.sum("tokenward_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(metrics.sum("process_resident_memory_bytes", &[]) > 0.0);
}

#[tokio::test]
async fn p31_what_is_in_flight_counts_until_its_answer_has_ended() {
    let stage = Stage::new().await;
    let mut caller = stage.caller("jing").await;
    let target = "/v1/-/stream?chunks=100000&delay_ms=1";
    caller.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    caller.answer_so_far(|answer| !answer.body.is_empty()).await;
    let jing = [("upstream", "jing")];
    assert_eq!(stage.metric("tokenward_requests_in_flight", &jing).await, 1.0);
    assert_eq!(stage.metric("tokenward_request_duration_seconds_count", &jing).await, 0.0);
    drop(caller);
    stage.metric_becomes("tokenward_requests_in_flight", &jing, 0.0).await;
    assert_eq!(stage.metric("tokenward_request_duration_seconds_count", &jing).await, 1.0);
}

#[tokio::test]
async fn p31_a_refused_refresh_token_needs_a_person_and_without_a_token_it_is_not_ready() {
    let short = Duration::from_secs(2);
    let stage = Stage::plan().sandbox(|it| it.aiclk.tokens.access_life = short).start().await;
    stage.sandbox.fault(Vendor::Aiclk, FaultKind::RefuseRefresh);
    let (aiclk, jing) = ([("upstream", "aiclk")], [("upstream", "jing")]);
    stage.metric_becomes("tokenward_token_needs_person", &aiclk, 1.0).await;
    // Until its end the old one serves.
    stage.metric_becomes("tokenward_upstream_ready", &aiclk, 0.0).await;
    assert_eq!(stage.metric("tokenward_upstream_ready", &jing).await, 1.0);
    assert_eq!(stage.metric("tokenward_token_needs_person", &jing).await, 0.0);
}

#[tokio::test]
async fn p31_labels_come_from_closed_sets() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    let invented = ["FOO", "BAR", "get", "PROPFIND", "X-1", "X-2"];
    for (number, method) in invented.iter().enumerate() {
        let status = 600 + u16::try_from(number).expect("a few") * 50;
        vendor.will(Answer::new(status, &[], ""));
        let target = format!("/path-{number}?query-{number}");
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nX-Mine: {number}\r\n\r\n");
        assert_eq!(stage.call("aiclk", request).await.status(), status);
    }
    let metrics = stage.metrics().await;
    let others = [("upstream", "aiclk"), ("method", "OTHER"), ("status", "other")];
    assert_eq!(metrics.sum("tokenward_requests_total", &others), invented.len() as f64);

    let mut values = BTreeMap::<String, BTreeSet<String>>::new();
    for sample in metrics.iter().filter(|sample| sample.name.starts_with("tokenward_")) {
        for (name, value) in &sample.labels {
            values.entry(name.clone()).or_default().insert(value.clone());
        }
    }
    let known = |label: &str, allowed: &[&str]| {
        let found = &values[label];
        assert!(found.iter().all(|value| allowed.contains(&value.as_str())), "{label}: {found:?}");
    };
    known("upstream", &["", "jing", "aiclk"]);
    known("method", &["OTHER"]);
    known("status", &["other"]);
    known("rule", &["http-401", "code-401", "token-message"]);
    let outcomes = [
        "recovered",
        "rejected_again",
        "skipped",
        "failed",
        "ok",
        "refused",
        "stale",
        "unreadable",
    ];
    known("outcome", &outcomes);
    known("operation", &["read", "write"]);
    known("reason", &["start", "host", "browser", "token_endpoint", "method", "path"]);
    known("state", &["active", "idle"]);
}

#[tokio::test]
async fn p31_every_family_has_a_type_and_a_help_and_a_name_that_fits() {
    let stage = Stage::new().await;
    stage.get("aiclk", CALL).await;
    let answer = stage.admin("/metrics").await;
    assert!(
        answer.one("content-type").is_some_and(|it| it.starts_with("text/plain; version=0.0.4"))
    );
    let text = answer.text();
    let mut types = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(types.insert(name.to_owned(), kind).is_none(), "{name} is there twice");
    }
    for sample in stage.metrics().await.iter() {
        let bare = ["_bucket", "_sum", "_count"];
        let family = bare.iter().find_map(|end| sample.name.strip_suffix(end));
        let known = types.contains_key(&sample.name)
            || family.is_some_and(|family| types.get(family) == Some(&"histogram"));
        assert!(known, "{sample:?}");
    }
}
