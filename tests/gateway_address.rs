//! One address for all upstreams, and the other ways to be reached (p04, p22).

use tokenward::app::Address;

use crate::support::{Caller, Message, RawVendor, Stage};

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let config = format!("gateway.listen = '127.0.0.1:0'\n{config}");
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    (vendor, stage)
}

async fn call(stage: &Stage, request: &str) -> Message {
    let mut caller = stage.gateway_caller().await;
    caller.send(request).await;
    caller.answer().await
}

#[tokio::test]
async fn the_first_segment_of_the_path_names_the_upstream() {
    let (vendor, stage) = stage("").await;
    for (target, arrives, field) in [
        ("/jing/v1/user?x=%2f", "/v1/user?x=%2f", "access_token"),
        ("/aiclk/openapi//%41/..", "/openapi//%41/..", "ogw_access_token"),
        ("/aiclk/jing/x", "/jing/x", "ogw_access_token"),
        ("/jing/", "/", "access_token"),
        ("/jing", "/", "access_token"),
        ("/jing?a=1", "/?a=1", "access_token"),
        ("/jing//x", "//x", "access_token"),
    ] {
        let before = vendor.calls().len();
        // A vendor that runs on this machine shares its host with the gateway: the path decides.
        for host in ["localhost", "127.0.0.1:8080"] {
            let answer =
                call(&stage, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!(answer.status(), 200, "{target}: {answer:?}");
            let calls = vendor.calls();
            let request = &calls.last().expect("a call").request;
            assert_eq!(request.target(), arrives, "{target}");
            assert!(request.one(field).is_some(), "{target}: {request:?}");
        }
        assert_eq!(vendor.calls().len(), before + 2);
    }
}

#[tokio::test]
async fn p24_the_guard_stands_behind_the_prefix_too() {
    let (vendor, stage) = stage("").await;
    for target in ["/aiclk/oauth2/token", "/aiclk//oauth2/%74oken", "/jing/v1/oauth2/token"] {
        let answer =
            call(&stage, &format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(answer.one("tokenward-error"), Some("token-endpoint-refused"), "{target}");
    }
    let foreign = "GET /aiclk/openapi/x HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(call(&stage, foreign).await.one("tokenward-error"), Some("host-refused"));
    assert!(vendor.calls().is_empty());
}

/// 127.0.0.2 is a host that is not the gateway's own, and that needs no name service.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_vendors_host_names_the_upstream() {
    let vendor = RawVendor::start_at("127.0.0.2:0").await;
    let config = "gateway.listen = '127.0.0.1:0'";
    let elsewhere = RawVendor::start().await;
    let base = format!("upstream.jing.base_url = 'http://{}/base'", vendor.address);
    let plan = Stage::plan().before(elsewhere.address).config(config).config(&base);
    let stage = plan.start().await;
    let port = vendor.address.port();
    for (line, host, arrives) in [
        ("GET /v1/x?a", "127.0.0.2".to_owned(), "/base/v1/x?a"),
        ("GET /aiclk/x", format!("127.0.0.2:{port}"), "/base/aiclk/x"),
        ("GET http://127.0.0.2/v1/x?a", "127.0.0.2".to_owned(), "/base/v1/x?a"),
        ("GET http://127.0.0.2:8080/v1//x", "localhost".to_owned(), "/base/v1//x"),
        ("GET http://127.0.0.2", "127.0.0.2".to_owned(), "/base/"),
        ("GET http://127.0.0.2?a=b", "127.0.0.2".to_owned(), "/base/?a=b"),
        ("GET https://127.0.0.2/v1/x", "127.0.0.2".to_owned(), "/base/v1/x"),
    ] {
        let answer = call(&stage, &format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status(), 200, "{line}: {answer:?}");
        let calls = vendor.calls();
        let request = &calls.last().expect("a call").request;
        assert_eq!(request.target(), arrives, "{line}");
        assert_eq!(request.one("host"), Some(&*vendor.address.to_string()));
        assert!(request.one("access_token").is_some());
    }
    assert!(elsewhere.calls().is_empty());
}

#[tokio::test]
async fn p04_an_upstreams_own_address_takes_absolute_targets_for_its_vendor_only() {
    let (vendor, stage) = stage("").await;
    let answer =
        stage.call("aiclk", "GET http://127.0.0.1/openapi/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_eq!(answer.await.status(), 200);
    assert_eq!(vendor.only_call().target(), "/openapi/x");
    let answer =
        stage.call("aiclk", "GET http://other.example/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.await.one("tokenward-error"), Some("no-route"));
    assert_eq!(vendor.calls().len(), 1);
}

#[tokio::test]
async fn p21_a_unix_socket_serves_and_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("aiclk.sock");
    // A socket that a killed process has left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let listen = format!("upstream.aiclk.listen = 'unix:{}'", path.display());
    let (vendor, stage) = stage(&listen).await;
    assert_eq!(stage.address("aiclk"), &Address::Unix(path.clone()));
    let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut caller = Caller::to(stage.address("aiclk")).await;
    for host in ["Host: localhost", "Host: 127.0.0.1:80"] {
        caller.send(format!("GET /openapi/x HTTP/1.1\r\n{host}\r\n\r\n")).await;
        assert_eq!(caller.answer().await.status(), 200);
    }
    let calls = vendor.calls();
    assert_eq!(calls[0].request.one("ogw_access_token"), Some(&*vendor.token("aiclk", 1)));
}
