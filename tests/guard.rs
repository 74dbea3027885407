//! Who is kept out, before a byte leaves (p22, p23, p24).

use crate::support::{Message, RawVendor, Stage};

struct Guarded {
    vendor: RawVendor,
    stage: Stage,
}

impl Guarded {
    async fn with(config: &str) -> Self {
        let vendor = RawVendor::start().await;
        let stage = Stage::plan().before(vendor.address).config(config).start().await;
        Self { vendor, stage }
    }

    /// A request with these lines after its first; the answer must be a refusal of this kind.
    async fn refuses(&self, line: &str, fields: &[&str], kind: &str) {
        let before = self.vendor.calls().len();
        let tokens = self.vendor.token_calls("aiclk").len();
        let answer = self.call(line, fields).await;
        assert_eq!(answer.status(), 403, "{line} {fields:?}: {answer:?}");
        assert_eq!(answer.one("tokenward-error"), Some(kind), "{line} {fields:?}");
        assert!(!answer.names().iter().any(|name| name.starts_with("access-control")), "no CORS");
        assert_eq!(self.vendor.calls().len(), before, "{line}");
        assert_eq!(self.vendor.token_calls("aiclk").len(), tokens, "{line}");
    }

    async fn admits(&self, line: &str, fields: &[&str]) {
        let answer = self.call(line, fields).await;
        assert_eq!(answer.status(), 200, "{line} {fields:?}: {answer:?}");
    }

    async fn call(&self, line: &str, fields: &[&str]) -> Message {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.stage.call("aiclk", format!("{line} HTTP/1.1\r\n{fields}\r\n")).await
    }

    async fn refusals(&self, reason: &str) -> f64 {
        self.stage.metric("tokenward_guard_refusals_total", &[("reason", reason)]).await
    }
}

#[tokio::test]
async fn p22_foreign_hosts_are_refused() {
    let guarded = Guarded::with("upstream.aiclk.guard.allowed_hosts = ['Gateway.Internal']").await;
    let foreign = [
        "evil.example",
        "127.0.0.1.nip.io:80",
        "localhost.evil.example",
        "0.0.0.0",
        "10.0.0.1",
        "",
    ];
    for host in foreign {
        let host = format!("Host: {host}");
        guarded.refuses("GET /openapi/x", &[&host], "host-refused").await;
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8", "[::1]:9", "gateway.internal:8080"] {
        guarded.admits("GET /openapi/x", &[&format!("Host: {host}")]).await;
    }
    assert_eq!(guarded.refusals("host").await, foreign.len() as f64);
}

#[tokio::test]
async fn p22_web_pages_of_other_origins_are_refused() {
    let guarded = Guarded::with("").await;
    let host = "Host: localhost:8081";
    for field in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: https://localhost:8081",
        "Origin: http://localhost:9999",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "sec-fetch-site: Cross-Site",
        "Sec-Fetch-Site: none",
        "Sec-Fetch-Site: same-origin",
    ] {
        for line in ["GET /openapi/x", "POST /openapi/x", "OPTIONS /openapi/x"] {
            guarded.refuses(line, &[host, field], "browser-refused").await;
        }
    }
    for fields in [
        vec![host],
        vec![host, "Origin: http://localhost:8081"],
        vec![host, "Sec-Fetch-Mode: cors"],
    ] {
        guarded.admits("GET /openapi/x", &fields).await;
    }
    assert_eq!(guarded.refusals("browser").await, 27.0);
}

#[tokio::test]
async fn p23_only_listed_methods_and_paths_pass() {
    let guarded = Guarded::with(
        "upstream.aiclk.guard = { methods = ['GET', 'POST'], paths = ['/openapi/v1/*', '/x'] }",
    )
    .await;
    let host = ["Host: localhost"];
    for line in ["PUT /openapi/v1/x", "get /openapi/v1/x", "HEADER /x", "DELETE /x"] {
        guarded.refuses(line, &host, "method-refused").await;
    }
    for path in [
        "/openapi/v2/x",
        "/openapi/v1",
        "/openapi/v1/",
        "/x/y",
        "/X",
        "/",
        "/openapi/v1/../v2/x",
        "/openapi/v1/%2e%2e/v2/x",
        "/openapi/v1/..%2fv2",
        "/openapi/v1/a/..;/../../v2",
        "/openapi/v1/..\\..\\v2",
        "//openapi/v1/x",
    ] {
        guarded.refuses(&format!("GET {path}"), &host, "path-refused").await;
    }
    for path in ["/openapi/v1/x", "/openapi/v1/a/b?c=/../..", "/x?y"] {
        guarded.admits(&format!("GET {path}"), &host).await;
    }
    assert_eq!((guarded.refusals("method").await, guarded.refusals("path").await), (4.0, 12.0));
}

#[tokio::test]
async fn p24_the_token_endpoint_is_out_of_reach_in_every_spelling() {
    let guarded = Guarded::with("").await;
    for path in [
        "/oauth2/token",
        "/oauth2/token?x=1",
        "/oauth2/token/",
        "//oauth2//token",
        "/./oauth2/./token",
        "/openapi/../oauth2/token",
        "/../oauth2/token",
        "/oauth2/%74oken",
        "/oauth2/%2574oken",
        "/oauth2%2ftoken",
        "/OAUTH2/Token",
        "/oauth2/token;a=b",
        "/oauth2\\token",
    ] {
        for method in ["POST", "GET", "HEAD2"] {
            let line = format!("{method} {path}");
            guarded.refuses(&line, &["Host: localhost"], "token-endpoint-refused").await;
        }
    }
    assert_eq!(guarded.refusals("token_endpoint").await, 39.0);
    guarded.admits("GET /openapi/oauth2/tokens", &["Host: localhost"]).await;
}

#[tokio::test]
async fn p24_the_token_endpoint_is_out_of_reach_below_a_base_path() {
    let vendor = RawVendor::start().await;
    let config = format!("upstream.aiclk.base_url = 'http://{}/mock/v9'", vendor.address);
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let guarded = Guarded { vendor, stage };
    for path in ["/oauth2/token", "/x/../oauth2/token", "/../v9/oauth2/%74oken"] {
        let line = format!("POST {path}");
        guarded.refuses(&line, &["Host: localhost"], "token-endpoint-refused").await;
    }
    guarded.admits("GET /openapi/x", &["Host: localhost"]).await;

    // So long that the base path has no room before it.
    let token_calls = guarded.vendor.token_calls("aiclk").len();
    let target = format!("/oauth2/token?{}", "a".repeat(65_515));
    let answer = guarded.stage.get("aiclk", &target).await;
    assert_eq!((answer.status(), answer.one("tokenward-error")), (414, Some("target-too-long")));
    assert_eq!(guarded.vendor.token_calls("aiclk").len(), token_calls);
}

#[tokio::test]
async fn p23_allowed_paths_hold_below_a_base_path() {
    let vendor = RawVendor::start().await;
    let config = format!(
        "[upstream.aiclk]\nbase_url = 'http://{}/mock/v9'\nguard.paths = ['/openapi/v1/*']",
        vendor.address
    );
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let guarded = Guarded { vendor, stage };
    guarded.admits("GET /openapi/v1/x", &["Host: localhost"]).await;
    for path in ["/openapi/v2/x", "/openapi/v1/../../../../openapi/v1/x", "/mock/v9/openapi/v1/x"] {
        guarded.refuses(&format!("GET {path}"), &["Host: localhost"], "path-refused").await;
    }
}

#[tokio::test]
async fn p24_jings_token_endpoints_are_out_of_reach_too() {
    let guarded = Guarded::with("").await;
    let before = guarded.vendor.token_calls("jing").len();
    for path in ["/v1/oauth2/token", "/v1/oauth2/token/refresh", "/v1/OAUTH2/anything"] {
        let answer = guarded.stage.post("jing", path, "{}").await;
        assert_eq!(answer.one("tokenward-error"), Some("token-endpoint-refused"), "{path}");
    }
    assert_eq!(guarded.vendor.token_calls("jing").len(), before);
}
