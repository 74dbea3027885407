//! Certificates toward the vendor change without a restart (p30).

use std::sync::Arc;

use tokenward::sandbox::{Sandbox, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::authority::Authority;
use crate::support::process::{Process, gateway};
use crate::support::vendors::{Home, client, get, get_until, send};

const CONFIG: &str = r#"
admin.listen = "127.0.0.1:0"
store.kind = "memory"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "https://localhost:PORT"
credentials.client_id = "sandbox-client-id"
credentials.refresh_token = "sandbox-aiclk-refresh-first"
tls.ca_file = "ca.pem"
tls.client_cert = "client.pem"
tls.client_key = "client.key"
"#;
const CALL: &str = "/openapi/v1/account/info?account_id=1";

struct Stage {
    home: Home,
    process: Process,
    _stop: DropGuard,
}

/// A vendor that asks for a certificate of its own authority, and a gateway that has one.
async fn stage(authority: &Authority) -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let (stop, sandbox) = (CancellationToken::new(), Sandbox::new(Settings::default()));
    let tls = Arc::new(authority.server("localhost", true));
    tokio::spawn(sandbox.serve_tls(listener, stop.clone(), tls));
    let home = Home::with(&CONFIG.replace("PORT", &port));
    home.put("ca.pem", &authority.pem());
    show(&home, authority);
    let process = Process::start(gateway(&home.config()));
    let ready = process.admin().await + "/readyz";
    get_until(ready, |it| it.status == 200).await;
    Stage { home, process, _stop: stop.drop_guard() }
}

fn show(home: &Home, authority: &Authority) {
    let (certificate, key) = authority.client("gateway");
    home.put("client.pem", &certificate);
    home.put("client.key", &key);
}

impl Stage {
    async fn status(&self) -> u16 {
        get(self.process.upstream("aiclk").await + CALL).await.status
    }

    async fn reloads(&self) {
        let url = self.process.admin().await + "/-/reload";
        let answered = send(client().post(url)).await.expect("an answer");
        assert_eq!(answered.status, 200, "{}", answered.body);
    }
}

#[tokio::test]
async fn p30_another_ca_holds_from_the_next_request_on() {
    let (ours, other) = (Authority::new("the vendor's"), Authority::new("another"));
    let stage = stage(&ours).await;
    assert_eq!(stage.status().await, 200);
    stage.home.put("ca.pem", &other.pem());
    stage.reloads().await;
    assert_eq!(stage.status().await, 502, "no connection of before is used");
    stage.home.put("ca.pem", &format!("{}{}", other.pem(), ours.pem()));
    let url = stage.process.upstream("aiclk").await + CALL;
    get_until(url, |it| it.status == 200).await;
}

#[tokio::test]
async fn p30_another_client_certificate_is_shown_from_the_next_request_on() {
    let (ours, other) = (Authority::new("the vendor's"), Authority::new("another"));
    let stage = stage(&ours).await;
    assert_eq!(stage.status().await, 200);
    show(&stage.home, &other);
    stage.reloads().await;
    assert_eq!(stage.status().await, 502);
    show(&stage.home, &ours);
    stage.reloads().await;
    assert_eq!(stage.status().await, 200);
    // A certificate without its key is a mistake.
    let (certificate, _) = ours.client("gateway");
    stage.home.put("client.pem", &certificate);
    let url = stage.process.admin().await + "/-/reload";
    let answered = send(client().post(url)).await.expect("an answer");
    assert_eq!(answered.status, 422);
    assert!(answered.body.contains("toml:13:18: error"), "{}", answered.body);
    assert_eq!(stage.status().await, 200);
}
