//! Alerts and dashboard of `config` ask for what a gateway exports, and for nothing else (p31).

use std::path::Path;
use std::process::Stdio;

use tokenward::sandbox::{Settings, Vendor};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::authority::Authority;
use crate::support::process::{Process, gateway};
use crate::support::vendors::{Home, Vendors, get, get_until, send, try_get};
use crate::support::{leaks, soon};

const KEY: &str = "billing-key-4f5d9c1b7a3e8602";

#[tokio::test]
async fn p31_alerts_and_dashboard_ask_for_what_is_exported() {
    let metrics = exported().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut check = Command::new(root.join("target/tools/bin/python"));
    check.arg(root.join("tests/prometheus/check")).kill_on_drop(true);
    check.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().expect("tests/run makes target/tools, from tests/tools.txt");
    let mut input = check.stdin.take().expect("a pipe");
    input.write_all(metrics.as_bytes()).await.expect("it reads");
    drop(input);
    let ended = soon("the check ends", check.wait_with_output()).await.expect("it ends");
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The metrics of a gateway that has a list of clients, speaks TLS with them, and has met something of
/// everything.
async fn exported() -> String {
    let settings = Settings::default();
    let vendors = Vendors::start(settings.clone()).await;
    let authority = Authority::new("the gateway's");
    let home = Home::with(&format!(
        "{}\n[clients]\nfile = 'clients.toml'\n[clients.tls]\ncert = 'server.pem'\nkey = 'server.key'\n",
        vendors.config(&settings)
    ));
    let (certificate, key) = authority.server_pem(&["localhost", "127.0.0.1"]);
    home.put("server.pem", &certificate);
    home.put("server.key", &key);
    home.put("clients.toml", &format!("[billing]\nkey = '{KEY}'\n"));
    leaks::secret(KEY);
    let process = Process::start(gateway(&home.config()));
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |answered| answered.status == 200).await;

    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
    let caller = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
    let caller = caller.build().expect("a client");
    let aiclk = process.upstream("aiclk").await + "/openapi/v1/account/info?account_id=1";
    vendors.sandbox.expire(Vendor::Aiclk);
    let known = send(caller.get(&aiclk).bearer_auth(KEY)).await.expect("an answer");
    assert_eq!(known.header("tokenward-retry"), Some("recovered"));
    let stranger = send(caller.get(&aiclk)).await.expect("an answer");
    assert_eq!(stranger.status, 403);
    // No proper HTTP: it speaks no TLS.
    let _ = try_get(aiclk.replace("https://", "http://")).await;
    get(format!("{admin}/metrics")).await.body
}
