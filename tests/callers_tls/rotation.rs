//! Files of callers' TLS that change while the gateway runs (p21, p30).

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::authority::Authority;
use crate::support::{Caller, soon};

use super::support::{NAMES, TlsStage};
use super::{CLIENTS, KEY};

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    chain[0].clone().into_owned()
}

fn read(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

async fn reloads(tls: &TlsStage, outcome: &str, count: f64) {
    let outcome = [("outcome", outcome)];
    tls.stage.metric_becomes("tokenward_config_reloads_total", &outcome, count).await;
}

#[tokio::test]
async fn p30_a_new_server_certificate_is_shown_without_a_restart() {
    let tls = TlsStage::with(CLIENTS, "").await;
    let stream = tls.dial(&["http/1.1"]).await.expect("TLS");
    let first = shown(&stream);
    let mut caller = Caller::over(stream);
    let get = format!("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n\r\n");
    let get = get.as_str();
    caller.send(get).await;
    assert_eq!(caller.answer().await.status(), 200);

    let (certificate, key) = tls.ours.server_pem(&NAMES);
    tls.put("server.pem", &certificate);
    tls.put("server.key", &key);
    reloads(&tls, "ok", 1.0).await;
    let stream = tls.dial(&["http/1.1"]).await.expect("TLS");
    assert_eq!(shown(&stream), read(&certificate));
    assert_ne!(shown(&stream), first);
    caller.send(get).await;
    assert_eq!(caller.answer().await.status(), 200, "a connection goes on as it began");

    // What cannot be used is refused as a whole.
    tls.put("server.key", &tls.ours.server_pem(&NAMES).1);
    reloads(&tls, "refused", 1.0).await;
    std::fs::remove_file(tls.put("server.pem", "")).expect("removed");
    reloads(&tls, "refused", 2.0).await;
    let stream = tls.dial(&["http/1.1"]).await.expect("TLS");
    assert_eq!(shown(&stream), read(&certificate), "the old one goes on");
    tls.put("server.pem", &certificate);
    tls.put("server.key", &key);
    reloads(&tls, "ok", 2.0).await;
    caller.send(get).await;
    assert_eq!(caller.answer().await.status(), 200);
}

#[tokio::test]
async fn p30_an_authority_that_goes_takes_its_callers_with_it() {
    let tls = TlsStage::with(CLIENTS, "").await;
    let old = tls.files(&tls.callers.client_with(&["billing.test"], |_| {}));
    assert_eq!(tls.curl(&old.arguments()).await.status(), 200);
    let next = Authority::new("the next");
    let new = tls.files(&next.client_with(&["billing.test"], |_| {}));
    assert_ne!(tls.curl(&new.arguments()).await.code, Some(0));
    // Both, for as long as callers change.
    tls.put("callers.pem", &(tls.callers.pem() + &next.pem()));
    reloads(&tls, "ok", 1.0).await;
    for shown in [&old, &new] {
        assert_eq!(tls.curl(&shown.arguments()).await.status(), 200);
    }
    tls.put("callers.pem", &next.pem());
    reloads(&tls, "ok", 2.0).await;
    assert_ne!(tls.curl(&old.arguments()).await.code, Some(0));
    assert_eq!(tls.curl(&new.arguments()).await.status(), 200);
}

/// As Kubernetes does it: all files change with one link.
#[tokio::test]
async fn p30_a_mounted_secret_is_followed_by_its_link() {
    let prepared = TlsStage::prepare();
    let folder = prepared.path("");
    let link = |to: &str| {
        std::os::unix::fs::symlink(to, folder.join("..next")).expect("a link");
        std::fs::rename(folder.join("..next"), folder.join("..data")).expect("renamed");
    };
    let mut certificates = Vec::new();
    for version in ["..1", "..2"] {
        std::fs::create_dir(folder.join(version)).expect("a folder");
        let (certificate, key) = prepared.ours.server_pem(&NAMES);
        prepared.put(&format!("{version}/server.pem"), &certificate);
        prepared.put(&format!("{version}/server.key"), &key);
        certificates.push(read(&certificate));
    }
    link("..1");
    for name in ["server.pem", "server.key"] {
        std::fs::remove_file(folder.join(name)).expect("removed");
        std::os::unix::fs::symlink(format!("..data/{name}"), folder.join(name)).expect("a link");
    }
    let tls = prepared.start(CLIENTS, "").await;
    assert_eq!(shown(&tls.dial(&[]).await.expect("TLS")), certificates[0]);
    link("..2");
    soon("the new one is shown", async {
        while shown(&tls.dial(&[]).await.expect("TLS")) != certificates[1] {}
    })
    .await;
    reloads(&tls, "ok", 1.0).await;
}
