//! The control side over HTTP.

use super::*;

#[tokio::test]
async fn faults_are_switched_and_the_state_is_told_over_http() {
    let vendor = Bench::start(Settings::default()).await;
    let query = "vendor=aiclk&kind=rejection&code=40102&message=token%20expired&status=401&times=2";
    let set = vendor.send(&request("POST", &format!("/-/fault?{query}"), "", "")).await;
    assert_eq!(set.json()["fault"], "rejection on rejections, 2 more");
    let rejected = vendor.send(&aiclk_call("unknown")).await;
    assert_eq!((rejected.status, rejected.json()["code"].as_i64()), (401, Some(40102)));

    let access = vendor.issue(Vendor::Aiclk);
    let state = vendor.send(&request("GET", "/-/state", "", "")).await;
    assert_eq!(state.json()["aiclk"]["counts"]["rejected"], 1);
    assert_eq!(state.json()["aiclk"]["faults"][0], "rejection on rejections, 1 more");
    assert_eq!(state.json()["aiclk"]["generation"], 1);
    assert_eq!(state.json()["jing"]["access_token_seconds_left"], Value::Null);
    assert!(!String::from_utf8(state.body).unwrap().contains(&access));

    vendor.send(&request("DELETE", "/-/fault", "", "")).await;
    assert_eq!(vendor.send(&aiclk_call("unknown")).await.json()["code"], 401);
    vendor.send(&request("POST", "/-/fault?kind=expire", "", "")).await;
    assert_eq!(vendor.sandbox.current(Vendor::Aiclk).access_token, None);
}

#[tokio::test]
async fn every_kind_of_fault_can_be_set_over_http_by_its_name() {
    let vendor = Bench::start(Settings::default()).await;
    for query in [
        "refuse-all",
        "rejection&recording=rejected_expired_zh",
        "refuse-refresh",
        "same-token",
        "rotate&value=off",
        "drop-answer",
        "slow&delay_ms=1",
        "silent",
        "server-error",
        "garbage",
        "answer&recording=rate_limited",
        "cut",
        "split",
        "encoding&value=deflate",
        "content-type&value=text/plain",
        "padding&kib=1",
    ] {
        let target = format!("/-/fault?vendor=jing&kind={query}&on=calls");
        let set = vendor.send(&request("POST", &target, "", "")).await;
        let kind = query.split('&').next().unwrap();
        assert_eq!(set.json()["fault"], format!("{kind} on calls, until cleared"));
    }
}

#[tokio::test]
async fn a_misspelt_fault_is_refused_with_what_was_expected() {
    let vendor = Bench::start(Settings::default()).await;
    for (query, expected) in [
        ("", "refuse-refresh"),
        ("kind=slwo", "slow&delay_ms=N"),
        ("kind=slow", "delay_ms"),
        ("kind=silent&time=1", "times"),
        ("kind=silent&times=one", "number"),
        ("kind=silent&on=everything", "rejections"),
        ("kind=silent&vendor=other", "jing or aiclk"),
        ("kind=answer&recording=nothing", "rate_limited"),
        ("kind=server-error&status=99", "200 to 599"),
    ] {
        let answer = vendor.send(&request("POST", &format!("/-/fault?{query}"), "", "")).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 400, "{query}");
        assert!(text.contains(expected), "{query}: {text}");
    }
    let state = vendor.send(&request("GET", "/-/state", "", "")).await;
    assert_eq!(state.json()["jing"]["faults"], Value::Array(vec![]));
}

#[tokio::test]
#[should_panic(expected = "jing has no recording nothing")]
async fn a_fault_that_names_no_recording_panics() {
    let sandbox = Sandbox::new(Settings::default());
    sandbox.fault(Vendor::Jing, FaultKind::Answer("nothing".to_owned()));
}
