//! Strip, then inject: what a caller sends under an injected name never arrives (p02).

use crate::support::{Message, RawVendor, Stage};

/// The values that arrive under any spelling of a name.
fn look_alikes<'a>(message: &'a Message, name: &str) -> Vec<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let alike = message.fields.iter().filter(|(other, _)| plain(other) == plain(name));
    alike.map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn p02_the_callers_own_go_whatever_their_spelling_and_the_token_is_there_once() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    for name in ["Authorization", "app_id", "access_token"] {
        for spelling in [
            name.to_owned(),
            name.to_uppercase(),
            name.to_lowercase(),
            name.replace('_', "-"),
            name.replace('_', "-").to_uppercase(),
        ] {
            let before = vendor.calls().len();
            let request = format!(
                "GET /v1/x HTTP/1.1\r\n{spelling}: mine\r\nHost: localhost\r\n{spelling}: mine too\r\n\r\n"
            );
            stage.call("jing", request).await;
            let call = &vendor.calls()[before].request;
            let token = vendor.token("jing", 1);
            assert_eq!(look_alikes(call, "authorization"), [format!("Bearer {token}")]);
            assert_eq!(look_alikes(call, "app_id"), ["sandbox-app-id"]);
            assert_eq!(look_alikes(call, "access_token"), [token]);
            assert_eq!(call.names(), ["access_token", "app_id", "authorization", "host"]);
        }
    }
}

#[tokio::test]
async fn p02_each_injected_item_can_be_turned_off_and_is_the_callers_then() {
    let vendor = RawVendor::start().await;
    let config = "upstream.jing.inject = { app_id = false, Authorization = false }";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    let request = "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic eDp5\r\n\
         access-token: mine\r\n\r\n";
    stage.call("jing", request).await;
    let call = vendor.only_call();
    assert_eq!(call.names(), ["access_token", "authorization", "host"]);
    assert_eq!(call.one("authorization"), Some("Basic eDp5"));
    assert_eq!(call.one("access_token"), Some(&*vendor.token("jing", 1)));
}

#[tokio::test]
async fn p02_one_vendors_token_never_goes_to_the_other() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    stage.get("aiclk", "/v1/x").await;
    stage.get("jing", "/openapi/x").await;
    let calls = vendor.calls();
    let aiclk = format!("{:?}", calls[0].request);
    let jing = format!("{:?}", calls[1].request);
    assert!(aiclk.contains(&vendor.token("aiclk", 1)) && !aiclk.contains("jing-access"), "{aiclk}");
    assert!(jing.contains(&vendor.token("jing", 1)) && !jing.contains("aiclk-access"), "{jing}");
}

#[tokio::test]
async fn p02_a_query_keeps_what_looks_like_a_token_where_the_token_goes_into_a_header() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    stage.get("aiclk", "/openapi/x?access_token=mine").await;
    assert_eq!(vendor.only_call().target(), "/openapi/x?access_token=mine");
}

#[tokio::test]
async fn p02_both_simulated_vendors_find_nothing_wrong() {
    let stage = Stage::new().await;
    let stray = "authorization: x\r\nAPP-ID: x\r\naccess-token: x\r\nOgw-Access-Token: x\r\n";
    for (upstream, target) in [("jing", "/v1/user/list"), ("aiclk", "/openapi/v1/account/info")] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{stray}\r\n");
        assert_eq!(stage.call(upstream, request).await.status(), 200);
    }
    for vendor in tokenward::sandbox::Vendor::ALL {
        assert_eq!(stage.sandbox.mistakes(vendor), Vec::<String>::new());
        assert_eq!(stage.sandbox.counts(vendor).accepted, 1);
    }
}

#[tokio::test]
async fn p02_the_callers_own_go_from_the_trailers_too() {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    let head = "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";
    let announced = "Trailer: OGW_ACCESS_TOKEN, x-sum\r\nTrailer: ogw-access-token\r\n\r\n";
    let body =
        "1\r\nx\r\n0\r\nOGW_ACCESS_TOKEN: mine\r\nogw-access-token: mine\r\nx-sum: 1\r\n\r\n";
    stage.call("aiclk", format!("{head}{announced}{body}")).await;
    let call = vendor.only_call();
    assert_eq!(call.one("trailer"), Some("x-sum"));
    let raw = String::from_utf8_lossy(&call.raw);
    assert!(raw.ends_with("0\r\nx-sum: 1\r\n\r\n"), "{call:?}");
}
