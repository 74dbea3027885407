//! No secret comes to light, whatever happens (p26).

use tokenward::sandbox::{Fault, FaultKind, Rejection, Scope, Vendor};

use tokenward::telemetry::log::WITHHELD_MESSAGE;

use crate::support::process::{Process, gateway, run, tokenward};
use crate::support::vendors::{Home, client, get, get_until, send};
use crate::support::{Answer, RawVendor, Stage, leaks, logs, soon, until};

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

#[test]
fn p26_the_search_of_every_test_would_find_what_came_to_light() {
    leaks::secret("planted-by-this-test");
    let random = "Ab3".repeat(13) + "x";
    for found in [
        "INFO all is well planted-by-this-test".to_owned(),
        format!("sandbox-jing-access-{random}"),
        "{\"token\":\"aiclk-refresh-12-of-40123\"}".to_owned(),
        format!("WARN {WITHHELD_MESSAGE} record_target=tokenward::proxy"),
        format!("{{\"message\":\"{WITHHELD_MESSAGE}\",\"record_target\":\"tokenward::app\"}}"),
    ] {
        leaks::look_into("a plant", format!("before\n{found}\nafter\n").as_bytes());
        assert_eq!(leaks::found_in("a plant"), [format!("in a plant: {found}")]);
    }
    for fine in ["jing-access-log", &format!("{WITHHELD_MESSAGE} record_target=hyper::proto")] {
        leaks::look_into("a plant", fine.as_bytes());
        assert_eq!(leaks::found_in("a plant"), [""; 0]);
    }
}

/// The last detail of what the libraries log, with tokens in headers and in queries.
#[tokio::test]
async fn p26_a_program_that_logs_everything_shows_no_token() {
    let vendor = RawVendor::start().await;
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vendors/wechat.toml");
    let home = Home::with(&format!(
        r#"
workers = 1
admin.listen = "127.0.0.1:0"
store.kind = "memory"
[upstream.jing]
vendor = "jing"
listen = "127.0.0.1:0"
base_url = "http://{at}"
credentials = {{ app_id = "an-app-id", app_secret = "a-very-secret-secret" }}
[upstream.wechat]
vendor = "{description}"
listen = "127.0.0.1:0"
base_url = "http://{at}"
credentials = {{ appid = "another-id", secret = "wx-very-secret/+" }}
"#,
        at = vendor.address
    ));
    let mut command = gateway(&home.config());
    command.args(["--log-level", "trace"]);
    let process = Process::start(command);
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    for upstream in ["jing", "wechat"] {
        let at = process.upstream(upstream).await;
        get(format!("{at}/x")).await;
        vendor.will(Answer::rejection());
        get(format!("{at}/x")).await;
        let refresh = client().post(format!("{admin}/-/refresh/{upstream}"));
        assert_eq!(send(refresh.header("Content-Length", "0")).await.expect("one").status, 200);
        get(format!("{at}/x")).await;
    }
    let metrics = get(format!("{admin}/metrics")).await.body;
    assert!(metrics.contains("\ntokenward_log_records_withheld_total "), "{metrics}");
    process.signal("TERM").await;
    let said = process.ended().await.stderr;
    assert!(said.contains("\"TRACE\"") && said.contains("hyper"), "the libraries log");
    let withheld = said.matches(WITHHELD_MESSAGE).count();
    println!("{} records, {withheld} of them withheld", said.lines().count());
    assert!(!said.contains("very-secret"), "{said}");
}

#[tokio::test]
async fn p26_a_command_does_not_say_what_holds_a_secret() {
    let home = Home::with(
        r#"
store.kind = "memory"
[upstream.jing]
vendor = "jing"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1/in-the-wrong-place"
credentials = { app_id = "an-app-id", app_secret = "in-the-wrong-place" }
[upstream.another]
vendor = "jing"
listen = "127.0.0.1:0"
credentials = { app_id = "an-app-id", app_secret = "short" }
"#,
    );
    let mut check = tokenward();
    check.args(["check", "--config"]).arg(home.config());
    let ended = run(check).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("withheld: it holds a secret"), "{}", ended.stdout);
    assert!(ended.stdout.contains("another: 127.0.0.1:0"), "the rest is said: {}", ended.stdout);
    assert!(!ended.stdout.contains("in-the-wrong-place"), "{}", ended.stdout);
    let warning = "`upstream.another.credentials.app_secret` is shorter than 8 bytes";
    assert!(ended.stderr.contains(warning), "{}", ended.stderr);
}
