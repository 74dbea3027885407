//! No secret comes to light, whatever happens (p26).

use tokenward::sandbox::{Fault, FaultKind, Rejection, Scope, Vendor};

use crate::support::{Answer, RawVendor, Stage, logs, soon, until};

/// Everything of ours that anybody can read, and every secret that there has been.
#[derive(Default)]
struct Audit {
    seen: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl Audit {
    fn saw(&mut self, what: &str, text: impl Into<String>) {
        self.seen.push((what.to_owned(), text.into()));
    }

    fn secret(&mut self, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 8, "too short to be looked for");
        self.secrets.push(secret);
    }

    /// The vendors' tokens of now.
    fn tokens_of(&mut self, stage: &Stage) {
        for vendor in Vendor::ALL {
            let current = stage.sandbox.current(vendor);
            self.secrets.extend(current.access_token.into_iter().chain(current.refresh_token));
        }
    }

    async fn admin_pages(&mut self, stage: &Stage) {
        for path in ["/metrics", "/status", "/readyz", "/", "/healthz", "/nothing"] {
            let page = stage.admin(path).await;
            self.saw(path, String::from_utf8_lossy(&page.raw));
        }
    }

    #[track_caller]
    fn finds_nothing(mut self) {
        let log = logs::captured();
        assert!(log.contains("token renewed") && log.contains("TRACE"), "the log is captured");
        self.saw("the log", log);
        self.secrets.sort();
        self.secrets.dedup();
        assert!(self.secrets.len() > 3, "there were secrets");
        for (what, text) in &self.seen {
            for secret in &self.secrets {
                assert!(!text.contains(secret.as_str()), "{secret} came to light in {what}");
            }
        }
    }
}

#[tokio::test]
async fn p26_no_secret_comes_to_light_in_the_life_of_a_token() {
    logs::capture();
    let mut audit = Audit::default();
    let stage = Stage::plan()
        .sandbox(|settings| {
            settings.jing.app_secret = "very-secret-app-secret".to_owned();
            settings.aiclk.first_refresh_token = "very-secret-first-refresh".to_owned();
        })
        .config("upstream.aiclk.refresh.timeout = '100ms'")
        .start()
        .await;
    audit.secret("very-secret-app-secret");
    audit.secret("very-secret-first-refresh");
    audit.tokens_of(&stage);

    for (upstream, vendor, target) in
        [("jing", Vendor::Jing, "/v1/x"), ("aiclk", Vendor::Aiclk, "/openapi/x")]
    {
        stage.get(upstream, target).await;
        // Recovered, rejected again, refused by the token endpoint, cut off, silent, nonsense.
        stage.sandbox.expire(vendor);
        stage.get(upstream, target).await;
        audit.tokens_of(&stage);
        stage.sandbox.fault(vendor, Fault::new(FaultKind::RefuseAll).times(2));
        let wanted = Rejection { status: Some(401), ..Rejection::default() };
        stage.sandbox.fault(vendor, FaultKind::Rejection(wanted));
        stage.get(upstream, target).await;
        audit.tokens_of(&stage);
        for kind in [
            FaultKind::RefuseRefresh,
            FaultKind::DropAnswer,
            FaultKind::Garbage,
            FaultKind::ServerError(502),
            FaultKind::Cut,
            FaultKind::Answer("token_success".to_owned()),
        ] {
            stage.sandbox.fault(vendor, Fault::new(kind).on(Scope::Token).times(1));
            let tokens = stage.gateway.tokens(upstream).expect("an upstream");
            let _ = soon("a refresh", tokens.refresh_now()).await;
            audit.tokens_of(&stage);
            let stray = "Authorization: Bearer x\r\nOgw-Access-Token: y\r\n";
            let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{stray}\r\n");
            stage.call(upstream, request).await;
            audit.admin_pages(&stage).await;
        }
        for target in ["/oauth2/token", "/v1/oauth2/token"] {
            let answer = stage.post(upstream, target, "{}").await;
            audit.saw("an answer of ours", answer.text());
        }
        stage.sandbox.clear_faults(vendor);
    }
    audit.tokens_of(&stage);
    audit.admin_pages(&stage).await;
    audit.finds_nothing();
}

#[tokio::test]
async fn p26_a_vendor_that_repeats_a_secret_in_its_refusal_is_not_quoted() {
    logs::capture();
    let mut audit = Audit::default();
    let vendor = RawVendor::start().await;
    for (whose, secret) in [("aiclk", "first-refresh-of-all"), ("wechat", "wx-very-secret")] {
        audit.secret(secret);
        let code = "\"code\":400,\"errcode\":40125";
        let text = format!("bad {secret}!");
        let json = format!("{{{code},\"message\":\"{text}\",\"errmsg\":\"{text}\"}}");
        for _ in 0..3 {
            vendor.token_endpoint_will(whose, Answer::json(200, &json));
        }
    }
    let config = format!(
        r#"
[upstream.wechat]
vendor = "tests/vendors/wechat.toml"
listen = "127.0.0.1:0"
base_url = "http://{}"
credentials = {{ appid = "wx-app-id", secret = "wx-very-secret" }}
[upstream.aiclk]
credentials.refresh_token = "first-refresh-of-all"
"#,
        vendor.address
    );
    let plan = Stage::plan().before(vendor.address).config(&config).without_tokens();
    let stage = plan.start().await;
    audit.secret(vendor.token("jing", 1));
    audit.secret(vendor.token("jing", 1).replace("access", "refresh"));
    until("jing's token", || stage.generation("jing") == 1).await;
    for upstream in ["aiclk", "wechat"] {
        let answer = stage.get(upstream, "/x").await;
        assert_eq!(answer.status(), 503, "{answer:?}");
        audit.saw("an answer of ours", answer.text());
    }
    audit.admin_pages(&stage).await;
    // The URL of wechat's token call holds its secret.
    vendor.leave().await;
    for upstream in ["aiclk", "wechat", "jing"] {
        let tokens = stage.gateway.tokens(upstream).expect("an upstream");
        let error = tokens.refresh_now().await.expect_err("nobody is there");
        audit.saw("an error", format!("{error} {error:?}"));
        let answer = stage.get(upstream, "/x").await;
        audit.saw("an answer of ours", answer.text());
    }
    audit.admin_pages(&stage).await;
    audit.saw("debug output", format!("{:?}", stage.gateway));
    audit.finds_nothing();
}
