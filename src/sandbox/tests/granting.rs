//! The token endpoints: what they hand out, and how strictly they read.

use super::*;

#[tokio::test]
async fn jing_mints_then_refreshes_and_spends_the_refresh_token() {
    let vendor = Bench::start(Settings::default()).await;
    let minted = vendor.send(&jing_mint()).await;
    assert_eq!((minted.status, minted.json()["code"].as_i64()), (200, Some(0)));
    let data = &minted.json()["data"];
    assert_eq!(data["expires_in"], 7200);
    assert_eq!(data["token_type"], "bearer");
    assert_eq!(vendor.access(Vendor::Jing), data["access_token"].as_str().unwrap());

    let refresh = jing_refresh(data["refresh_token"].as_str().unwrap());
    assert_eq!(vendor.send(&refresh).await.json()["code"], 0);
    let again = vendor.send(&refresh).await;
    assert_eq!((again.status, again.json()["code"].as_i64()), (200, Some(40107)));

    let counts = vendor.sandbox.counts(Vendor::Jing);
    assert_eq!((counts.mints, counts.refreshes), (1, 2));
    assert_eq!((counts.granted, counts.refused, counts.mistakes), (2, 1, 0));
}

#[tokio::test]
async fn aiclk_refreshes_with_a_form_and_keeps_the_refresh_token() {
    let vendor = Bench::start(Settings::default()).await;
    let first = Settings::default().aiclk.first_refresh_token;
    for generation in 1..=2 {
        let granted = vendor.send(&aiclk_refresh(&first)).await;
        assert_eq!((granted.status, granted.json()["code"].as_i64()), (200, Some(200)));
        assert_eq!(granted.json()["data"]["expires_in"], 7_776_000);
        assert_eq!(granted.json()["data"]["token_type"], "OGW_ACCESS_TOKEN");
        assert!(granted.json()["data"].get("refresh_token").is_none());
        assert_eq!(vendor.sandbox.current(Vendor::Aiclk).generation, generation);
    }
    assert_eq!(vendor.sandbox.counts(Vendor::Aiclk).mistakes, 0);
}

#[tokio::test]
async fn aiclk_told_to_rotate_hands_out_single_use_refresh_tokens() {
    let vendor = Bench::start(Settings::default()).await;
    vendor.sandbox.fault(Vendor::Aiclk, FaultKind::Rotate(true));
    let first = Settings::default().aiclk.first_refresh_token;
    let granted = vendor.send(&aiclk_refresh(&first)).await.json();
    assert_ne!(granted["data"]["refresh_token"], first.as_str());
    assert_eq!(vendor.send(&aiclk_refresh(&first)).await.json()["code"], 400);
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_are_no_mistake() {
    let vendor = Bench::start(Settings::default()).await;
    let wrong = jing_mint().replace("sandbox-app-secret", "sandbox-app-secreT");
    assert_eq!(vendor.send(&wrong).await.json()["code"], 40103);
    let counts = vendor.sandbox.counts(Vendor::Jing);
    assert_eq!((counts.refused, counts.mistakes, counts.granted), (1, 0, 0));
}

#[tokio::test]
async fn a_jing_token_request_has_to_be_as_documented() {
    let vendor = Bench::start(Settings::default()).await;
    let body = r#"{"app_id":"sandbox-app-id","app_secret":"sandbox-app-secret"}"#;
    let json = "Content-Type: application/json\r\n";
    let path = "/v1/oauth2/token";
    for (what, wrong) in [
        ("form", request("POST", path, "Content-Type: text/plain\r\n", body)),
        ("no type", request("POST", path, "", body)),
        ("no json", request("POST", path, json, "app_id=1")),
        ("missing", request("POST", path, json, r#"{"app_id":"sandbox-app-id"}"#)),
        ("extra", request("POST", path, json, &body.replace('}', r#","refresh_token":"x"}"#))),
        ("twice", request("POST", path, json, &body.replace('}', r#","app_id":"x"}"#))),
        ("number", request("POST", path, json, r#"{"app_id":1,"app_secret":"x"}"#)),
        ("query", request("POST", "/v1/oauth2/token?a=1", json, body)),
        ("method", request("GET", path, json, "")),
        ("path", request("POST", "/v1/oauth2/tokens", json, body)),
        ("hop", request("POST", path, &format!("{json}Keep-Alive: 5\r\n"), body)),
    ] {
        vendor.expect_mistake(Vendor::Jing, what, &wrong).await;
    }
}

#[tokio::test]
async fn an_aiclk_token_request_has_to_be_as_documented() {
    let vendor = Bench::start(Settings::default()).await;
    let id = ("client_id", "sandbox-client-id");
    let token = ("refresh_token", "sandbox-aiclk-refresh-first");
    let urlencoded = "Content-Type: application/x-www-form-urlencoded\r\n";
    let broken = "Content-Type: multipart/form-data; boundary=b\r\n";
    for (what, wrong) in [
        ("missing", multipart(&[id])),
        ("extra", multipart(&[id, token, ("grant_type", "refresh_token")])),
        ("twice", multipart(&[id, token, token])),
        ("other name", multipart(&[id, ("token", "x")])),
        ("urlencoded", request("POST", "/oauth2/token", urlencoded, "client_id=a&refresh_token=b")),
        ("broken", request("POST", "/oauth2/token", broken, "--b\r\nnothing")),
        ("query", aiclk_refresh("x").replace("/oauth2/token", "/oauth2/token?a=1")),
        ("file", aiclk_refresh("x").replace(r#""client_id""#, r#""client_id"; filename="f""#)),
    ] {
        vendor.expect_mistake(Vendor::Aiclk, what, &wrong).await;
    }
}
