//! TLS toward the vendor, for calls and for the token endpoint: whom it trusts, and what is said
//! when it does not.

use std::sync::Arc;

use rustls::ServerConfig;
use tokenward::sandbox::{Sandbox, Settings, Vendor};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::authority::Authority;
use crate::support::process::{Process, gateway, run};
use crate::support::vendors::{Home, get, get_until};

/// Both vendors behind TLS.
struct Vendors {
    sandbox: Arc<Sandbox>,
    port: u16,
    _stop: DropGuard,
}

const CONFIG: &str = r#"
[admin]
listen = "127.0.0.1:0"

[store]
path = "tokens.json"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "https://localhost:1"
credentials.client_id = "sandbox-client-id"
credentials.refresh_token = "sandbox-aiclk-refresh-first"
tls.ca_file = "ca.pem"
"#;

const CALL: &str = "/openapi/v1/account/info?account_id=1";

impl Vendors {
    async fn start(tls: ServerConfig) -> Self {
        Self::serve(Sandbox::new(Settings::default()), tls).await
    }

    async fn serve(sandbox: Arc<Sandbox>, tls: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let stop = CancellationToken::new();
        let serving = sandbox.clone().serve_tls(listener, stop.clone(), Arc::new(tls));
        tokio::spawn(serving);
        Self { sandbox, port, _stop: stop.drop_guard() }
    }

    fn gateway(&self, home: &Home) -> Command {
        let mut command = gateway(&home.config());
        let base_url = format!("https://localhost:{}", self.port);
        command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", base_url);
        command
    }
}

fn trusting(authority: &Authority) -> Home {
    let home = Home::with(CONFIG);
    home.put("ca.pem", &authority.pem());
    home
}

#[tokio::test]
async fn calls_and_the_token_endpoint_go_over_tls_to_whom_the_ca_file_trusts() {
    let authority = Authority::new("test authority");
    let home = trusting(&authority);
    let vendors = Vendors::start(authority.server("localhost", false)).await;
    let process = Process::start(vendors.gateway(&home));
    let at = process.upstream("aiclk").await;
    assert_eq!(get(at.clone() + CALL).await.json()["code"], 200);
    vendors.sandbox.expire(Vendor::Aiclk);
    let recovered = get(at + CALL).await;
    assert_eq!(recovered.header("tokenward-retry"), Some("recovered"), "{recovered:?}");
    let log = vendors.sandbox.log(Vendor::Aiclk);
    let host = format!("localhost:{}", vendors.port);
    assert!(log.iter().all(|seen| seen.headers["host"] == host.as_str()), "p01: {log:?}");
    assert_eq!(log.len(), 5, "{log:?}");
}

/// Without a token there is nothing to send; with one there is nobody to send it to.
#[tokio::test]
async fn p28_a_vendor_that_is_not_trusted_gets_no_token_and_the_answer_says_why() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (tls, cause) in [
        (theirs.server("localhost", false), "unknown issuer"),
        (ours.server("vendor.test", false), "not for localhost but for vendor.test"),
        (ours.server("localhost", true), "demands a client certificate"),
    ] {
        let home = trusting(&ours);
        let suspect = Vendors::start(tls).await;
        let process = Process::start(suspect.gateway(&home));
        let answer = get(process.upstream("aiclk").await + CALL).await;
        let told = (answer.status, answer.header("tokenward-error"));
        assert_eq!(told, (503, Some("no-token")), "{cause}: {answer:?}");
        assert!(answer.body.contains(cause), "{cause}: {answer:?}");
        let url = process.admin().await + "/readyz";
        let ready = get_until(url, |it| it.body.contains(cause)).await;
        assert_eq!(ready.status, 503);
        process.kill().await;

        // A token is in hand, from the days when the vendor could be trusted.
        let good = Vendors::start(ours.server("localhost", false)).await;
        let process = Process::start(good.gateway(&home));
        assert_eq!(get(process.upstream("aiclk").await + CALL).await.status, 200);
        process.kill().await;
        let process = Process::start(suspect.gateway(&home));
        let answer = get(process.upstream("aiclk").await + CALL).await;
        let told = (answer.status, answer.header("tokenward-error"));
        assert_eq!(told, (502, Some("upstream-unreachable")), "{cause}: {answer:?}");
        assert!(answer.body.contains(cause), "{cause}: {answer:?}");
        assert!(suspect.sandbox.log(Vendor::Aiclk).is_empty(), "{cause}: something was sent");
    }
}

#[tokio::test]
async fn a_vendor_that_asks_for_a_client_certificate_gets_one() {
    let authority = Authority::new("test authority");
    let home = trusting(&authority);
    let (certificate, key) = authority.client("tokenward");
    home.put("client.pem", &certificate);
    home.put("client.key", &key);
    let vendors = Vendors::start(authority.server("localhost", true)).await;
    let mut command = vendors.gateway(&home);
    command.env("TOKENWARD__UPSTREAM__AICLK__TLS__CLIENT_CERT", "client.pem");
    command.env("TOKENWARD__UPSTREAM__AICLK__TLS__CLIENT_KEY", "client.key");
    let process = Process::start(command);
    let answer = get(process.upstream("aiclk").await + CALL).await;
    assert_eq!(answer.json()["code"], 200, "{answer:?}");
}

#[tokio::test]
async fn p32_a_ca_file_without_a_certificate_is_a_mistake_of_the_config() {
    let home = Home::with(CONFIG);
    for (content, problem) in [(None, "cannot be read"), (Some("hello"), "no certificate in PEM")] {
        if let Some(content) = content {
            home.put("ca.pem", content);
        }
        let ended = run(gateway(&home.config())).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("ca.pem"), "{}", ended.stderr);
        assert!(ended.stderr.contains(problem), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn p32_a_client_certificate_with_anothers_key_is_a_mistake_of_the_config() {
    let authority = Authority::new("test authority");
    let home = trusting(&authority);
    let ((certificate, key), (_, other)) = (authority.client("a"), authority.client("b"));
    home.put("client.pem", &certificate);
    for (content, key, problem) in [
        (other.as_str(), "client.key", "not the key of the certificate in `tls.client_cert`"),
        ("hello", "client.key", "no private key in PEM"),
        (key.as_str(), "absent.key", "cannot be read"),
    ] {
        home.put("client.key", content);
        let mut command = gateway(&home.config());
        command.env("TOKENWARD__UPSTREAM__AICLK__TLS__CLIENT_CERT", "client.pem");
        command.env("TOKENWARD__UPSTREAM__AICLK__TLS__CLIENT_KEY", key);
        let ended = run(command).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(problem), "{problem}: {}", ended.stderr);
        assert!(ended.stderr.contains("CLIENT_KEY"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_environment_can_name_whom_to_trust() {
    let authority = Authority::new("test authority");
    let home = Home::with(&CONFIG.replace("tls.ca_file = \"ca.pem\"\n", ""));
    let ca_file = home.put("roots.pem", &authority.pem());
    let vendors = Vendors::start(authority.server("localhost", false)).await;
    let mut command = vendors.gateway(&home);
    command.env("SSL_CERT_FILE", &ca_file).env_remove("SSL_CERT_DIR");
    let process = Process::start(command);
    assert_eq!(get(process.upstream("aiclk").await + CALL).await.json()["code"], 200);
    process.kill().await;

    // Nothing stands in for what the operator has named.
    let mut command = vendors.gateway(&home);
    command.env("SSL_CERT_FILE", home.path().join("absent.pem")).env_remove("SSL_CERT_DIR");
    let ended = run(command).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("leads to no CA certificate"), "{}", ended.stderr);

    // What talks to nobody over TLS needs nobody to trust.
    let mut command = gateway(&home.config());
    command.env("SSL_CERT_FILE", home.path().join("absent.pem")).env_remove("SSL_CERT_DIR");
    command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", "http://localhost:1");
    let process = Process::start(command);
    process.upstream("aiclk").await;
    process.signal("TERM").await;
    let ended = process.ended().await;
    assert!(!ended.stderr.contains("CA certificate"), "they were read: {}", ended.stderr);
}
