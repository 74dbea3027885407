//! The vendor by its own name, wherever the connection goes; and the sessions that workers share.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use prometheus::IntGauge;
use tokenward::upstream::RequestHead;
use tokenward::upstream::connect::{self, Connector};
use tokenward::upstream::pool::{self, Upstream};
use tokenward::upstream::tls;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_blocking;

use crate::support::authority::Authority;
use crate::support::front::Front;
use crate::support::{RawVendor, Stage, soon};

/// A front with a certificate of this name, and the config that leads to it by its address.
async fn front_of(name: &str, vendor: &RawVendor) -> (Front, tempfile::TempDir, String) {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).expect("written");
    let front = Front::before(vendor.address, authority.server(name, false)).await;
    let config = format!(
        "[upstream.aiclk]\nbase_url = 'https://127.0.0.1:{}/base'\ntls.ca_file = '{}'\n",
        front.port(),
        ca_file.display()
    );
    (front, folder, config)
}

#[tokio::test]
async fn p01_host_and_sni_are_the_vendors_wherever_base_url_leads() {
    let vendor = RawVendor::start().await;
    let (front, _folder, config) = front_of("vendor.test", &vendor).await;
    let config =
        format!("gateway.listen = '127.0.0.1:0'\n{config}tls.server_name = 'Vendor.Test'\n");
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let host = format!("vendor.test:{}", front.port());

    assert_eq!(stage.get("aiclk", "/x").await.status(), 200);
    // A client behind `http_proxy=` names the vendor as it knows it.
    let mut caller = stage.gateway_caller().await;
    caller.send("GET http://vendor.test/y HTTP/1.1\r\nHost: vendor.test\r\n\r\n").await;
    assert_eq!(caller.answer().await.status(), 200);
    let calls = vendor.calls();
    let targets: Vec<_> = calls.iter().map(|call| call.request.target()).collect();
    assert_eq!(targets, ["/base/x", "/base/y"]);
    for call in &calls {
        assert_eq!(call.request.one("host"), Some(host.as_str()));
    }
    let token_calls = vendor.token_calls("aiclk");
    assert!(!token_calls.is_empty());
    for call in &token_calls {
        assert_eq!(call.one("host"), Some(host.as_str()), "{call:?}");
    }
    let handshakes = front.handshakes();
    assert!(handshakes.len() >= 2, "the token's and a call's: {handshakes:?}");
    for handshake in &handshakes {
        assert_eq!(handshake.server_name.as_deref(), Some("vendor.test"), "{handshake:?}");
    }
}

#[tokio::test]
async fn the_least_version_holds_for_calls_and_for_the_token_endpoint() {
    let vendor = RawVendor::start().await;
    let (front, _folder, config) = front_of("127.0.0.1", &vendor).await;
    let config = format!("{config}tls.min_version = '1.3'\n");
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    assert_eq!(stage.get("aiclk", "/x").await.status(), 200);
    let versions: Vec<_> = front.handshakes().iter().map(|it| it.version).collect();
    assert!(versions.iter().all(|it| *it == Some(rustls::ProtocolVersion::TLSv1_3)));
    assert!(versions.len() >= 2, "{versions:?}");
}

/// One full handshake for all workers and the token endpoint; each later connection resumes, for
/// the peer gives more tickets than are used.
#[tokio::test]
async fn sessions_are_shared_by_workers_and_the_token_endpoint() {
    let vendor = RawVendor::start().await;
    let (front, _folder, config) = front_of("127.0.0.1", &vendor).await;
    // No connection is kept, so that each call makes a new one.
    let config = format!("workers = 2\n{config}timeouts.pool_idle = '0s'\n");
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    for _ in 0..12 {
        assert_eq!(stage.get("aiclk", "/x").await.status(), 200);
    }
    assert_eq!(kinds(&front), (1, 12));
}

/// Which worker takes a call is chance; here each of two threads makes connections for certain.
#[tokio::test]
async fn a_session_of_one_thread_is_resumed_by_another() {
    let vendor = RawVendor::start().await;
    let (front, folder, _) = front_of("127.0.0.1", &vendor).await;
    let trust = tls::Config { ca_file: Some(folder.path().join("ca.pem")), ..Default::default() };
    let connector = Connector::new(connect::Config {
        name: "127.0.0.1".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: front.port(),
        tls: Some(tls::client_config(&trust, false).expect("a config")),
        http2: false,
        timeout: Duration::from_secs(15),
    });
    let connector = connector.expect("a connector");
    for _ in 0..2 {
        let connector = connector.clone();
        let worker = spawn_blocking(move || {
            let options = LocalOptions::default();
            let runtime = Builder::new_current_thread().enable_all().build_local(options);
            runtime.expect("a runtime").block_on(async {
                for _ in 0..3 {
                    call(&connector).await;
                }
            });
        });
        soon("a worker's calls", worker).await.expect("no panic");
    }
    assert_eq!(kinds(&front), (1, 5));
}

/// On a connection of its own. With the answer come the tickets.
async fn call(connector: &Connector) {
    let second = Duration::from_secs(1);
    let config = pool::Config {
        first_byte: 15 * second,
        idle: second,
        fresh: second,
        most_idle: 0,
        http2: None,
    };
    let gauge = || IntGauge::new("connections", "Connections.").expect("a gauge");
    let upstream = Upstream::new(connector.clone(), config, gauge(), gauge());
    let request = Request::get("/x").header("host", "a").body(Empty::<Bytes>::new());
    let (parts, body) = request.expect("a request").into_parts();
    let head = RequestHead::of(&parts).expect("a target");
    let sent = upstream.send(head, body, tokio::time::Instant::now(), || None).await;
    assert_eq!(sent.expect("an answer").0.status(), 200);
}

/// How many handshakes were full, and how many resumed a session.
fn kinds(front: &Front) -> (usize, usize) {
    let handshakes = front.handshakes();
    let resumed = handshakes.iter().filter(|handshake| handshake.resumed).count();
    (handshakes.len() - resumed, resumed)
}
