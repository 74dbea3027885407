//! Each way in which there is no TLS with a vendor is told apart: for a call and for the token
//! endpoint, with what helps against it.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::front::{Front, Manner};
use crate::support::{RawVendor, Stage, logs};

/// A stage whose vendor was good when the token was had.
struct Scene {
    authority: Authority,
    front: Front,
    stage: Stage,
    _vendor: RawVendor,
    _folder: TempDir,
}

impl Scene {
    /// With these keys of `upstream.aiclk`.
    async fn set(keys: &str) -> Self {
        let authority = Authority::new("ours");
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, authority.pem()).expect("written");
        let vendor = RawVendor::start().await;
        let front = Front::before(vendor.address, authority.server("localhost", false)).await;
        // No connection is kept: each call makes its own.
        let config = format!(
            "[upstream.aiclk]\nbase_url = 'https://localhost:{}'\ntls.ca_file = '{}'\n\
             timeouts.pool_idle = '0s'\n{keys}",
            front.port(),
            ca_file.display()
        );
        let stage = Stage::plan().before(vendor.address).config(&config).start().await;
        Self { authority, front, stage, _vendor: vendor, _folder: folder }
    }

    /// A call and a refresh both fail, and their details say all of this.
    async fn says(&self, what: &str, texts: &[&str]) {
        let answer = self.stage.get("aiclk", "/x").await;
        let told = (answer.status(), answer.one("tokenward-error"));
        assert_eq!(told, (502, Some("upstream-unreachable")), "{what}: {}", answer.text());
        let call = answer.json()["detail"].as_str().expect("a text").to_owned();
        let answer = self.stage.refresh("aiclk").await;
        assert_eq!(answer.status(), 502, "{what}: {}", answer.text());
        let refresh = answer.json()["detail"].as_str().expect("a text").to_owned();
        assert!(refresh.contains("the token endpoint cannot be reached: no "), "{what}: {refresh}");
        let peer = format!("localhost:{}", self.front.port());
        for text in texts.iter().copied().chain([peer.as_str()]) {
            assert!(call.contains(text), "{what}: {text:?} is not in: {call}");
            assert!(refresh.contains(text), "{what}: {text:?} is not in: {refresh}");
        }
    }
}

#[tokio::test]
async fn p28_a_certificate_that_cannot_be_accepted_is_told_with_its_reason() {
    let scene = Scene::set("").await;
    logs::capture();
    let past = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 3);
    };
    scene.front.serves(scene.authority.server_with(&["localhost"], past));
    let texts = ["its certificate expired on 2020-02-03T00:00:00Z", "the vendor has to renew it"];
    scene.says("expired", &texts).await;
    let log = logs::captured();
    for message in ["a request failed", "expired on 2020-02-03T00:00:00Z"] {
        assert!(log.lines().any(|line| line.contains(message)), "{message}");
    }

    let future = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2990, 1, 1);
        params.not_after = date_time_ymd(2999, 1, 1);
    };
    scene.front.serves(scene.authority.server_with(&["localhost"], future));
    scene.says("future", &["not valid before 2990-01-01T00:00:00Z", "clock"]).await;

    scene.front.serves(scene.authority.server_with(&["a.test", "*.b.test", "10.0.0.1"], |_| {}));
    let texts = ["is not for localhost but for a.test, *.b.test, 10.0.0.1", "tls.server_name"];
    scene.says("names", &texts).await;

    scene.front.serves(Authority::new("theirs").server("localhost", false));
    scene.says("issuer", &["unknown issuer", "put its certificate into `tls.ca_file`"]).await;

    let purpose = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    scene.front.serves(scene.authority.server_with(&["localhost"], purpose));
    scene.says("purpose", &["its certificate cannot be accepted", "replace it"]).await;
    let log = logs::captured();
    assert!(log.contains("unknown issuer"), "the refresher tells of each failure");
}

#[tokio::test]
async fn p28_a_peer_that_refuses_tls_is_told_with_its_reason() {
    let scene = Scene::set("").await;
    for (what, bytes, texts) in [
        ("plain", &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], ["does not speak TLS", "http://"]),
        ("nothing", b"", ["it hung up during the handshake", "is TLS spoken on this port"]),
        ("half", b"\x16\x03\x03", ["it hung up during the handshake", "firewall"]),
        ("version", &[21, 3, 1, 0, 2, 2, 70], ["refused our protocol versions", "tls.min_version"]),
        ("cipher", &[21, 3, 3, 0, 2, 2, 40], ["refused the handshake", "cipher"]),
        ("name", &[21, 3, 3, 0, 2, 2, 112], ["knows nobody of this name", "tls.server_name"]),
        ("other", &[21, 3, 3, 0, 2, 2, 80], ["InternalError", "ask its operator"]),
    ] {
        scene.front.becomes(Manner::Say(bytes));
        scene.says(what, &texts).await;
    }
}

/// In TLS 1.3 our handshake is over before the peer says no.
#[tokio::test]
async fn p28_a_client_certificate_that_is_demanded_is_asked_for() {
    let scene = Scene::set("").await;
    for (version, texts) in [
        (&TLS13, ["demands a client certificate", "`tls.client_cert` and `tls.client_key`"]),
        (&TLS12, ["client certificate", "tls.client_cert"]),
    ] {
        let demanding = scene.authority.server_of(&[version], &["localhost"], true, |_| {});
        scene.front.serves(demanding);
        scene.says(&format!("{version:?}"), &texts).await;
    }
}

#[tokio::test]
async fn p28_an_older_protocol_than_the_least_is_refused() {
    let scene = Scene::set("tls.min_version = '1.3'").await;
    let old = scene.authority.server_of(&[&TLS12], &["localhost"], false, |_| {});
    scene.front.serves(old);
    scene.says("TLS 1.2", &["tls.min_version"]).await;
}

#[tokio::test]
async fn p27_a_handshake_that_stands_still_ends_with_the_time_for_it() {
    let scene = Scene::set("timeouts.connect = '1500ms'").await;
    scene.front.becomes(Manner::Silence);
    scene.says("silence", &["within 1s 500ms", "TLS"]).await;
    let limits = scene
        .stage
        .metric("tokenward_limits_reached_total", &[("upstream", "aiclk"), ("limit", "connect")]);
    assert!(limits.await >= 1.0);
}
