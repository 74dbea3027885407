//! The token endpoint answered in the vendor's place (p24): what is answered, to whom, and that
//! nothing of it reaches the vendor.

mod attacks;
mod sdks;

use serde_json::json;

use crate::support::{Answer, Message, RawVendor, Stage, logs};

const EMULATE: &str = "upstream.jing.guard.token_endpoint = 'emulate'\n\
                       upstream.aiclk.guard.token_endpoint = 'emulate'\n";
const ACCESS: &str = "tokenward-placeholder-not-a-token";
const REFRESH: &str = "tokenward-placeholder-not-a-refresh-token";

/// A gateway that emulates, before a vendor that records bytes.
struct Emulating {
    vendor: RawVendor,
    stage: Stage,
    /// Token calls of the gateway's own, before any of the test's.
    own_calls: usize,
}

impl Emulating {
    async fn with(config: &str) -> Self {
        let vendor = RawVendor::start().await;
        let config = format!("{EMULATE}{config}");
        let stage = Stage::plan().before(vendor.address).config(&config).start().await;
        let own_calls = token_calls(&vendor);
        Self { vendor, stage, own_calls }
    }

    async fn emulated(&self, upstream: &str) -> f64 {
        let name = "tokenward_token_endpoint_emulated_total";
        self.stage.metric(name, &[("upstream", upstream)]).await
    }

    /// The vendor has heard of none of it.
    #[track_caller]
    fn assert_untouched(&self) {
        assert!(self.vendor.calls().is_empty(), "{:?}", self.vendor.calls());
        assert_eq!(token_calls(&self.vendor), self.own_calls);
    }
}

fn token_calls(vendor: &RawVendor) -> usize {
    ["jing", "aiclk", "wechat"].iter().map(|whose| vendor.token_calls(whose).len()).sum()
}

#[track_caller]
fn assert_emulated(answer: &Message) {
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.one("tokenward-emulated"), Some("token"));
    assert_eq!(answer.one("content-type"), Some("application/json"));
    assert_eq!(answer.one("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn p24_the_answer_is_the_vendors_own_and_lives_as_long_as_the_token() {
    let emulating = Emulating::with("").await;
    let stage = &emulating.stage;
    for path in ["/v1/oauth2/token", "/v1/oauth2/token/refresh", "/v1/oauth2/token?x=1"] {
        let answer = stage.post("jing", path, "{\"app_id\":\"mine\"}").await;
        assert_emulated(&answer);
        let mut json = answer.json();
        let left = json["data"]["expires_in"].take();
        assert!((7100..=7200).contains(&left.as_u64().expect("a number")), "{left}");
        let id = json["request_id"].take();
        assert!(id.as_str().is_some_and(|id| id.len() == 16), "{id}");
        let now = json["timestamp"].take().as_u64().expect("a number");
        assert!(now > 1_700_000_000_000, "milliseconds: {now}");
        let granted = json!({
            "access_token": ACCESS, "refresh_token": REFRESH, "scope": "all",
            "token_type": "bearer", "expires_in": null,
        });
        let expected = json!({ "request_id": null, "code": 0, "msg": "success", "data": granted, "timestamp": null });
        assert_eq!(json, expected, "{path}");
    }
    let answer = stage.post("aiclk", "/oauth2/token", "of no form at all").await;
    assert_emulated(&answer);
    let json = answer.json();
    assert_eq!((&json["code"], &json["message"]), (&json!(200), &json!("Success")));
    let data = &json["data"];
    assert_eq!(data["token_type"], "OGW_ACCESS_TOKEN");
    assert_eq!(data["access_token"], ACCESS);
    assert_eq!((emulating.emulated("jing").await, emulating.emulated("aiclk").await), (3.0, 1.0));
    assert_eq!(stage.metric("tokenward_guard_refusals_total", &[]).await, 0.0);
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_a_token_that_is_nearly_over_is_promised_a_minute() {
    let life = std::time::Duration::from_secs(20);
    let plan = Stage::plan().sandbox(|settings| settings.jing.tokens.access_life = life);
    let stage = plan.config(EMULATE).start().await;
    let answer = stage.post("jing", "/v1/oauth2/token", "{}").await;
    assert_eq!(answer.json()["data"]["expires_in"], 60, "{answer:?}");
}

#[tokio::test]
async fn p24_it_is_answered_while_no_token_is_in_hand_and_the_calls_say_so() {
    let vendor = RawVendor::start().await;
    vendor.token_endpoint_will("aiclk", Answer::silence());
    let config = format!("{EMULATE}upstream.aiclk.refresh.wait = '50ms'");
    let plan = Stage::plan().before(vendor.address).config(&config).without_tokens();
    let stage = plan.start().await;
    let answer = stage.post("aiclk", "/oauth2/token", "").await;
    assert_emulated(&answer);
    assert_eq!(answer.json()["data"]["expires_in"], 3600, "the description's default");
    let call =
        format!("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\nOGW_ACCESS_TOKEN: {ACCESS}\r\n\r\n");
    let answer = stage.call("aiclk", call).await;
    assert_eq!((answer.status(), answer.one("tokenward-error")), (503, Some("refresh-slow")));
    assert!(vendor.calls().is_empty());
}

#[tokio::test]
async fn p24_every_other_spelling_method_and_path_stays_refused() {
    let emulating = Emulating::with("").await;
    let mut refused = 0.0;
    for (upstream, line) in [
        ("aiclk", "POST /oauth2/token/"),
        ("aiclk", "POST //oauth2/token"),
        ("aiclk", "POST /oauth2//token"),
        ("aiclk", "POST /./oauth2/token"),
        ("aiclk", "POST /openapi/../oauth2/token"),
        ("aiclk", "POST /oauth2/%74oken"),
        ("aiclk", "POST /oauth2%2ftoken"),
        ("aiclk", "POST /oauth2/token%00"),
        ("aiclk", "POST /oauth2/token%3fx"),
        ("aiclk", "POST /OAuth2/token"),
        ("aiclk", "POST /oauth2/token;a=b"),
        ("aiclk", "POST /oauth2\\token"),
        ("aiclk", "GET /oauth2/token"),
        ("aiclk", "HEAD2 /oauth2/token"),
        ("aiclk", "OPTIONS /oauth2/token"),
        ("aiclk", "post /oauth2/token"),
        ("aiclk", "PUT /oauth2/token"),
        ("jing", "POST /v1/oauth2/revoke"),
        ("jing", "POST /v1/oauth2/token/refresh/"),
        ("jing", "POST /v1/oauth2/token/refresh/../../token"),
    ] {
        let request =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}");
        let answer = emulating.stage.call(upstream, request).await;
        assert_eq!(answer.one("tokenward-error"), Some("token-endpoint-refused"), "{line}");
        assert_eq!(answer.status(), 403, "{line}");
        refused += 1.0;
    }
    let reason = [("reason", "token_endpoint")];
    let metric = emulating.stage.metric("tokenward_guard_refusals_total", &reason);
    assert_eq!(metric.await, refused);
    assert_eq!(emulating.emulated("aiclk").await, 0.0);
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_strangers_and_web_pages_get_none_and_allow_lists_are_about_the_vendor() {
    let guard =
        "upstream.aiclk.guard.methods = ['GET']\nupstream.aiclk.guard.paths = ['/openapi/*']";
    let emulating = Emulating::with(guard).await;
    let ask = async |field: &str| {
        let head = format!("POST /oauth2/token HTTP/1.1\r\n{field}\r\nContent-Length: 0\r\n\r\n");
        emulating.stage.call("aiclk", head).await
    };
    for (field, kind) in [
        ("Host: evil.example", "host-refused"),
        ("Host: localhost\r\nOrigin: https://evil.example", "browser-refused"),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site", "browser-refused"),
    ] {
        let answer = ask(field).await;
        assert_eq!((answer.status(), answer.one("tokenward-error")), (403, Some(kind)), "{field}");
    }
    assert_emulated(&ask("Host: localhost").await);
    let refused = emulating.stage.post("aiclk", "/openapi/x", "").await;
    assert_eq!(refused.one("tokenward-error"), Some("method-refused"));
    emulating.assert_untouched();
}

#[tokio::test]
async fn p24_without_the_setting_nothing_is_emulated() {
    let vendor = RawVendor::start().await;
    let config = "upstream.aiclk.guard.token_endpoint = 'refuse'";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    for (upstream, path) in [("aiclk", "/oauth2/token"), ("jing", "/v1/oauth2/token")] {
        let answer = stage.post(upstream, path, "{}").await;
        assert_eq!(answer.one("tokenward-error"), Some("token-endpoint-refused"), "{upstream}");
    }
    // Nobody has been given a placeholder there, so it is a text like any other.
    stage.get("aiclk", &format!("/openapi/x?note={ACCESS}")).await;
    assert_eq!(vendor.only_call().target(), format!("/openapi/x?note={ACCESS}"));
}

#[tokio::test]
async fn p24_it_is_emulated_below_a_base_path() {
    let vendor = RawVendor::start().await;
    let base = format!("upstream.aiclk.base_url = 'http://{}/mock/v9'\n", vendor.address);
    let config = format!("{EMULATE}{base}");
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    assert_emulated(&stage.post("aiclk", "/oauth2/token", "").await);
    let roundabout = stage.post("aiclk", "/../v9/oauth2/token", "").await;
    assert_eq!(roundabout.one("tokenward-error"), Some("token-endpoint-refused"));
    assert_eq!(vendor.token_calls("aiclk").len(), 1);
}

#[tokio::test]
async fn p24_the_placeholder_never_arrives_wherever_it_is_sent() {
    let emulating = Emulating::with("upstream.jing.inject.access_token = false").await;
    let Emulating { vendor, stage, .. } = &emulating;
    let fields = [
        format!("Authorization: Bearer {ACCESS}"),
        format!("authorization: {ACCESS}"),
        format!("access_token: {ACCESS}"),
        format!("access-token: {ACCESS}"),
        format!("Access_Token: {REFRESH}"),
        format!("OGW_ACCESS_TOKEN: {ACCESS}"),
        format!("Ogw_access_token: {ACCESS}"),
        format!("ogw-access-token: {ACCESS}"),
        format!("X-Auth: Token {ACCESS}; x"),
        format!("Cookie: a=1; token={ACCESS}"),
        format!("X-Auth: first\r\nX-Auth: {ACCESS}"),
    ];
    for (upstream, injected) in
        [("jing", vec!["app_id", "authorization"]), ("aiclk", vec!["ogw_access_token"])]
    {
        for field in &fields {
            let before = vendor.calls().len();
            let target = format!(
                "/x?a=%2f&access_token={ACCESS}&t=x{}&b",
                "tokenward%2Dplaceholder%2Dnot-a-refresh-token"
            );
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Mine: 1\r\n{field}\r\n\r\n");
            let answer = stage.call(upstream, request).await;
            assert_eq!(answer.status(), 200, "{field}: {answer:?}");
            let call = &vendor.calls()[before].request;
            assert_eq!(call.target(), "/x?a=%2f&b", "{field}");
            let mut names: Vec<_> = call.names();
            names.retain(|name| !["host", "x-mine"].contains(&name.as_str()));
            assert_eq!(names, injected, "{field}");
            let token = vendor.token(if upstream == "jing" { "jing" } else { "aiclk" }, 1);
            assert!(String::from_utf8_lossy(&call.raw).contains(&token), "{field}");
        }
    }
    // What is no placeholder still passes where nothing is injected.
    let own = "GET /x HTTP/1.1\r\nHost: localhost\r\naccess_token: my-own\r\n\r\n";
    let before = vendor.calls().len();
    stage.call("jing", own).await;
    assert_eq!(vendor.calls()[before].request.one("access_token"), Some("my-own"));
}

#[tokio::test]
async fn p24_what_an_sdk_takes_for_its_credentials_is_not_logged() {
    logs::capture();
    let vendor = RawVendor::start().await;
    let config = format!("{EMULATE}{}", WECHAT.replace("127.0.0.1:9", &vendor.address.to_string()));
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let own = "sdk-own-secret-in-the-log";
    stage.post("jing", "/v1/oauth2/token", &format!("{{\"app_secret\":\"{own}\"}}")).await;
    let target = format!("/cgi-bin/token?grant_type=client_credential&secret={own}");
    assert_emulated(&stage.get("wechat", &target).await);
    let log = logs::captured();
    assert!(log.contains("a token call was answered with a placeholder"));
    assert!(!log.contains(own), "it is in the log");
    assert_eq!((token_calls(&vendor), vendor.calls().len()), (3, 0));
}

/// A vendor that the program has never heard of.
const WECHAT: &str = r#"
[upstream.wechat]
vendor = "tests/vendors/wechat.toml"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:9"
credentials = { appid = "wx-app-1", secret = "wx-secret" }
guard.token_endpoint = "emulate"
"#;
