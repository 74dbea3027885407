//! TLS from callers: who the gateway says it is, and who they are (p21).

mod endings;
mod handshakes;
mod remote;
mod rotation;
mod support;

use rcgen::string::Ia5String;
use rcgen::{DnType, SanType, date_time_ymd};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::authority::Authority;
use crate::support::{Answer, Caller, soon};

use support::{Shown, TlsStage};

const CLIENTS: &str = r#"
[billing]
certificate = ["billing.test", "spiffe://prod/billing"]
[reports]
key = "0123456789abcdef0123456789abcdef"
"#;
const KEY: &str = "Authorization: Bearer 0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn p21_callers_speak_tls_and_the_version_of_http_that_they_agree_on() {
    let tls = TlsStage::with(CLIENTS, "").await;
    for (arguments, version) in [
        (&["--http1.1"][..], "1.1"),
        (&["--http2"], "2"),
        (&["--no-alpn"], "1.1"),
        (&["--http1.0"], "1"),
        (&["--http1.1", "--tls-max", "1.2"], "1.1"),
        (&["--http2", "--tls-max", "1.2"], "2"),
    ] {
        let arguments = [&["-H", KEY], arguments].concat();
        let called = tls.curl(&arguments).await;
        assert_eq!(called.status(), 200, "{arguments:?}: {called:?}");
        assert_eq!(called.version(), version, "{arguments:?}: {called:?}");
    }
    let calls = tls.vendor.calls();
    let key = KEY.split_once(": ").expect("a field").1;
    for call in &calls {
        assert!(!call.request.fields.iter().any(|(_, value)| value == key), "{call:?}");
        assert!(call.request.one("ogw_access_token").is_some(), "{call:?}");
    }
    // Nothing older is spoken.
    let old = ["-H", KEY, "--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0"];
    assert_ne!(tls.curl(&old).await.code, Some(0));
    assert_eq!(tls.vendor.calls().len(), calls.len());
}

#[tokio::test]
async fn p04_a_large_body_goes_both_ways_over_tls() {
    let tls = TlsStage::with(CLIENTS, "").await;
    let body = tls.put("body", &"0123456789abcdef".repeat(64 << 10));
    let data = format!("@{}", body.display());
    for version in ["--http1.1", "--http2"] {
        let before = tls.vendor.calls().len();
        tls.vendor.will(Answer::new(200, &[], "x".repeat(1 << 20)));
        let called = tls.curl(&["-H", KEY, version, "--data-binary", &data]).await;
        assert_eq!((called.status(), called.body().len()), (200, 1 << 20), "{version}");
        assert_eq!(tls.vendor.calls()[before].request.body.len(), 1 << 20, "{version}");
    }
}

#[tokio::test]
async fn p04_an_upgrade_over_tls_passes_bytes_both_ways_until_either_end_closes() {
    let tls = TlsStage::with(CLIENTS, "").await;
    let hand = tls.vendor.by_hand();
    let mut caller = Caller::over(tls.dial(&["http/1.1"]).await.expect("TLS"));
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    caller.send(format!("GET /x HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n{upgrade}\r\n\r\n")).await;
    let mut hand = hand.arrives().await;
    hand.request().await;
    hand.send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n\r\nhello")).await;
    assert_eq!(caller.answer().await.status(), 101);
    let (mut theirs, _) = hand.into_parts();
    let (mut ours, mut read) = caller.into_parts();
    let bytes = vec![b'x'; 300_000];
    ours.write_all(&bytes).await.expect("a write");
    let mut there = vec![0; bytes.len()];
    soon("the bytes", theirs.read_exact(&mut there)).await.expect("bytes");
    theirs.write_all(&there).await.expect("a write");
    theirs.shutdown().await.expect("a socket");
    // An end of TLS, and not a broken connection.
    soon("the end", ours.read_to_end(&mut read)).await.expect("a word of goodbye");
    assert_eq!(read, [b"hello".as_slice(), &bytes].concat());
}

#[tokio::test]
async fn p21_a_certificate_says_who_calls() {
    let tls = TlsStage::with(CLIENTS, "").await;
    let uri = |uri: &str| SanType::URI(Ia5String::try_from(uri).expect("ASCII"));
    let with_uri =
        |name: &str| tls.callers.client_with(&[], |it| it.subject_alt_names.push(uri(name)));
    let named = |names: &[&str]| tls.callers.client_with(names, |_| {});
    let common_name = tls.callers.client_with(&["other.test"], |it| {
        it.distinguished_name.push(DnType::CommonName, "billing.test");
    });
    for (what, shown, status) in [
        ("its DNS name", named(&["billing.test"]), 200),
        ("one of two names, in capitals", named(&["other.test", "BILLING.test"]), 200),
        ("a SPIFFE id", with_uri("spiffe://prod/billing"), 200),
        ("another SPIFFE id", with_uri("spiffe://prod/billing2"), 403),
        ("a SPIFFE id in other letters", with_uri("spiffe://prod/Billing"), 403),
        ("a URI that is written like a host", with_uri("billing.test"), 403),
        ("a name that is not listed", named(&["other.test"]), 403),
        ("a wildcard", named(&["*.test"]), 403),
        ("the common name", common_name, 403),
        ("no name at all", named(&[]), 403),
    ] {
        for version in ["--http1.1", "--http2"] {
            let shown = tls.files(&shown);
            let called = tls.curl(&[&shown.arguments()[..], &[version]].concat()).await;
            assert_eq!(called.status(), status, "{what}, {version}: {called:?}");
            if status == 403 {
                assert!(called.stdout.contains("tokenward-error: client-refused"), "{called:?}");
                // Whoever shows a key is somebody all the same.
                let both = [&shown.arguments()[..], &[version, "-H", KEY]].concat();
                assert_eq!(tls.curl(&both).await.status(), 200, "{what}, with a key");
            }
        }
    }
    assert_eq!(tls.curl(&[]).await.status(), 403, "neither certificate nor key");
    assert_eq!(tls.handshakes("certificate").await, 0.0);
}

#[tokio::test]
async fn p21_a_certificate_that_is_not_good_ends_the_handshake() {
    let tls = TlsStage::with(CLIENTS, "").await;
    let strangers = Authority::new("somebody else");
    let names = &["billing.test"];
    let expired = tls.callers.client_with(names, |it| it.not_after = date_time_ymd(2024, 1, 1));
    let unborn = tls.callers.client_with(names, |it| it.not_before = date_time_ymd(4000, 1, 1));
    let bad: [(&str, Shown); 5] = [
        ("of another authority", tls.files(&strangers.client_with(names, |_| {}))),
        ("expired", tls.files(&expired)),
        ("not valid yet", tls.files(&unborn)),
        ("of a server", tls.files(&tls.callers.server_pem(names))),
        ("our own server's", tls.files(&tls.ours.server_pem(names))),
    ];
    let mut failed = 0.0;
    for (what, shown) in &bad {
        for version in ["1.2", "1.3"] {
            // A key does not make it good.
            let more = ["--tls-max", version, "-H", KEY];
            let called = tls.curl(&[&shown.arguments()[..], &more].concat()).await;
            assert_ne!(called.code, Some(0), "{what}, TLS {version}: {called:?}");
            failed += 1.0;
        }
    }
    assert_eq!(tls.handshakes("certificate").await, failed);
    assert_eq!(tls.vendor.calls().len(), 0);
    // One that has the name of a good one, but not its private key.
    let (certificate, _) = tls.callers.client_with(names, |_| {});
    let (_, key) = tls.callers.client_with(names, |_| {});
    let stolen = tls.files(&(certificate, key));
    assert_ne!(tls.curl(&stolen.arguments()).await.code, Some(0));
    assert_eq!(tls.vendor.calls().len(), 0);
}

#[tokio::test]
async fn p21_a_revoked_certificate_is_not_good() {
    let tls = TlsStage::prepare();
    let lost = tls.callers.client_with(&["billing.test"], |it| it.serial_number = Some(7.into()));
    let good = tls.callers.client_with(&["billing.test"], |it| it.serial_number = Some(8.into()));
    tls.put("revoked.pem", &tls.callers.revokes(&[7]));
    let crl = format!("clients.tls.client_crl = '{}'", tls.path("revoked.pem").display());
    let tls = tls.start(CLIENTS, &crl).await;
    assert_eq!(tls.curl(&tls.files(&good).arguments()).await.status(), 200);
    assert_ne!(tls.curl(&tls.files(&lost).arguments()).await.code, Some(0));
    assert_eq!(tls.handshakes("certificate").await, 1.0);

    // The list is read again when it changes.
    tls.put("revoked.pem", &tls.callers.revokes(&[7, 8]));
    tls.stage.metric_becomes("tokenward_config_reloads_total", &[("outcome", "ok")], 1.0).await;
    assert_ne!(tls.curl(&tls.files(&good).arguments()).await.code, Some(0));
}

#[tokio::test]
async fn p21_without_an_authority_callers_are_asked_for_no_certificate() {
    let tls = TlsStage::prepare().without_client_ca().start(CLIENTS, "").await;
    assert_eq!(tls.curl(&["-H", KEY]).await.status(), 200);
    assert_eq!(tls.curl(&[]).await.status(), 403);
    let shown = tls.files(&tls.callers.client_with(&["billing.test"], |_| {}));
    assert_eq!(tls.curl(&shown.arguments()).await.status(), 403, "nobody vouches for it");
}
