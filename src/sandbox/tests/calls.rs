//! Business calls: what is answered, and how strictly they are read.

use super::*;

#[tokio::test]
async fn documented_paths_answer_their_recordings() {
    let vendor = Bench::start(Settings::default()).await;
    let created = vendor.call(Vendor::Jing, "POST", "/v1/user/create?returnFull=true").await;
    assert_eq!(created.json()["data"]["failure"], Value::Array(vec![]));
    for (method, path, member) in [
        ("GET", "v1/account/info?account_id=1", "/0/account_id"),
        ("GET", "v1/account_fund/list", "/list/0/balance"),
        ("GET", "v1/creative/get", "/list/0/creative_id"),
        ("GET", "v1/material/get", "/list/0/material_id"),
        ("GET", "v1/conv/targeturl_monitor/list", "/list/0/monitor_url"),
        ("GET", "oss/sts", "/access_key_id"),
        ("POST", "v1/adaccount/customer/create", "/account_id"),
        ("POST", "v1/adaccount/customer/update", "/customer_id"),
        ("POST", "v1/material/upload", "/material_id"),
    ] {
        let answer = vendor.call(Vendor::Aiclk, method, &format!("/openapi/{path}")).await.json();
        assert_eq!(answer["code"], 200, "{path}");
        assert!(answer["data"].pointer(member).is_some(), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_charge_is_made_or_without_a_body_refused_with_the_general_failure() {
    let vendor = Bench::start(Settings::default()).await;
    let head = format!("OGW_ACCESS_TOKEN: {}\r\n", vendor.issue(Vendor::Aiclk));
    for path in ["agent", "agent-coupon", "sub-agent-v2"] {
        let path = format!("/openapi/v1/charge/{path}");
        let made = vendor.send(&request("POST", &path, &head, "{}")).await.json();
        assert!(made["data"]["order_id"].is_string(), "{path}");
        let refused = vendor.send(&request("POST", &path, &head, "")).await;
        assert_eq!((refused.status, refused.json()["code"].as_i64()), (200, Some(400)), "{path}");
    }
}

#[tokio::test]
async fn any_other_path_tells_what_arrived() {
    let vendor = Bench::start(Settings::default()).await;
    vendor.sandbox.issue(Vendor::Jing);
    let target = "/v1/a%2Fb//c?x=%22&y=\\1";
    let head = vendor.jing_headers();
    let data = vendor.send(&request("PUT", target, &head, "abc")).await.json()["data"].clone();
    assert_eq!(data["method"], "PUT");
    assert_eq!(data["path"], "/v1/a%2Fb//c");
    assert_eq!(data["query"], "x=%22&y=\\1");
    assert_eq!(data["body_length"], 3);
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(data["body_sha256"], sha256);

    let seen = vendor.sandbox.log(Vendor::Jing).pop().unwrap();
    assert_eq!((&*seen.target, &*seen.body), (target, &b"abc"[..]));
    assert_eq!((seen.generation, seen.outcome), (Some(1), Outcome::Accepted));
    assert!(!format!("{:?}", seen.headers).contains(&vendor.access(Vendor::Jing)));
}

#[tokio::test]
async fn a_jing_call_has_to_carry_its_headers_once_and_in_agreement() {
    let vendor = Bench::start(Settings::default()).await;
    let token = vendor.sandbox.issue(Vendor::Jing).access_token.unwrap();
    let good = vendor.jing_headers();
    let call = |head: &str| request("GET", "/v1/users", head, "");
    assert_eq!(vendor.send(&call(&good)).await.json()["code"], 0);
    for (what, head) in [
        ("none", String::new()),
        ("app id only", "app_id: sandbox-app-id\r\n".to_owned()),
        ("no app id", good.replace("app_id: sandbox-app-id\r\n", "")),
        ("no bearer", good.replace("Authorization", "X-Other")),
        ("other scheme", good.replace("Bearer", "Basic")),
        ("disagreeing", good.replace("Bearer ", "Bearer x")),
        ("other app", good.replace("sandbox-app-id", "another")),
        ("twice", format!("{good}access_token: {token}\r\n")),
        ("look-alike", format!("{good}Access-Token: stray\r\n")),
        ("hop", format!("{good}Proxy-Connection: keep-alive\r\n")),
    ] {
        vendor.expect_mistake(Vendor::Jing, what, &call(&head)).await;
    }
    let absolute = request("GET", "http://vendor.test/v1/users", &good, "");
    vendor.expect_mistake(Vendor::Jing, "absolute", &absolute).await;
    let no_host = call(&good).replace("Host: vendor.test\r\n", "");
    vendor.expect_mistake(Vendor::Jing, "no host", &no_host).await;
    assert_eq!(vendor.sandbox.counts(Vendor::Jing).rejected, 0);
}

#[tokio::test]
async fn jing_headers_that_are_not_required_may_be_missing_but_not_wrong() {
    let mut settings = Settings::default();
    settings.jing.required = vec![JingHeader::Authorization];
    let vendor = Bench::start(settings).await;
    let token = vendor.sandbox.issue(Vendor::Jing).access_token.unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let call = request("GET", "/v1/users", &bearer, "");
    assert_eq!(vendor.send(&call).await.json()["code"], 0);
    let wrong = request("GET", "/v1/users", &format!("{bearer}access_token: x\r\n"), "");
    vendor.expect_mistake(Vendor::Jing, "disagreeing", &wrong).await;
}

#[tokio::test]
async fn an_aiclk_call_has_to_carry_its_header_once() {
    let vendor = Bench::start(Settings::default()).await;
    let good = format!("Ogw_access_token: {}\r\n", vendor.issue(Vendor::Aiclk));
    let call = |head: &str| request("GET", "/openapi/v1/x", head, "");
    assert_eq!(vendor.send(&call(&good)).await.json()["code"], 200);
    for (what, head) in [
        ("none", String::new()),
        ("twice", good.repeat(2)),
        ("look-alike", format!("{good}OGW-ACCESS-TOKEN: stray\r\n")),
    ] {
        vendor.expect_mistake(Vendor::Aiclk, what, &call(&head)).await;
    }
}

#[tokio::test]
async fn the_host_is_checked_when_it_is_known() {
    let mut settings = Settings::default();
    settings.aiclk.tokens.host = Some("vendor.test".to_owned());
    let vendor = Bench::start(settings).await;
    assert_eq!(vendor.call(Vendor::Aiclk, "GET", "/openapi/x").await.json()["code"], 200);
    let refresh = aiclk_refresh("sandbox-aiclk-refresh-first").replace("vendor.test", "localhost");
    vendor.expect_mistake(Vendor::Aiclk, "host", &refresh).await;
}

#[tokio::test]
async fn dead_tokens_are_rejected_by_what_killed_them() {
    let vendor = Bench::start(Settings::default()).await;
    let replaced = vendor.issue(Vendor::Aiclk);
    let expired = vendor.issue(Vendor::Aiclk);
    vendor.sandbox.expire(Vendor::Aiclk);
    for (token, generation, message) in [
        (&*expired, Some(2), "access token expired"),
        (&*replaced, Some(1), "invalid access token"),
        ("unknown", None, "invalid access token"),
    ] {
        let rejected = vendor.send(&aiclk_call(token)).await;
        assert_eq!((rejected.status, rejected.json()["code"].as_i64()), (200, Some(401)));
        assert_eq!(rejected.json()["message"], message);
        assert_eq!(vendor.sandbox.log(Vendor::Aiclk).pop().unwrap().generation, generation);
    }
    let counts = vendor.sandbox.counts(Vendor::Aiclk);
    assert_eq!((counts.rejected, counts.mistakes), (3, 0));
}

#[tokio::test]
async fn a_stream_comes_chunk_by_chunk() {
    let vendor = Bench::start(Settings::default()).await;
    let stream = vendor.call(Vendor::Aiclk, "GET", "/openapi/-/stream?chunks=3&delay_ms=1").await;
    assert!(stream.head.contains("text/event-stream"), "{}", stream.head);
    assert_eq!(stream.chunks(), [b"data: sandbox\n\n"; 3]);
    let sized = vendor.call(Vendor::Jing, "GET", "/v1/-/stream?chunks=2&size=5").await;
    assert_eq!(sized.chunks().concat(), b"xxxxxxxxxx");
}
