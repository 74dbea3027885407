//! A third vendor is a file: WeChat's way of doing things, without a line of Rust for it (p02, p07).

use tokenward::document::Document;

use crate::support::{Answer, RawVendor, Stage, recording};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let config = format!(
        r#"
[upstream.wechat]
vendor = "tests/vendors/wechat.toml"
listen = "127.0.0.1:0"
base_url = "http://{}"
credentials = {{ appid = "wx-app-1", secret = "wx-secret/+1" }}
"#,
        vendor.address
    );
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    (vendor, stage)
}

fn recorded(name: &str) -> Answer {
    Answer::json(200, &recording(&format!("wechat/{name}"), &[]))
}

#[tokio::test]
async fn the_token_is_minted_by_a_query() {
    let (vendor, _stage) = stage().await;
    let calls = vendor.token_calls("wechat");
    assert_eq!(calls.len(), 1);
    let query = "appid=wx-app-1&grant_type=client_credential&secret=wx-secret%2F%2B1";
    assert_eq!(calls[0].line, format!("GET /cgi-bin/token?{query} HTTP/1.1"));
    assert!(calls[0].body.is_empty());
}

#[tokio::test]
async fn p02_the_token_goes_into_the_query_and_the_callers_own_goes_out() {
    let (vendor, stage) = stage().await;
    let token = vendor.token("wechat", 1);
    for (target, expected) in [
        ("/cgi-bin/x", format!("/cgi-bin/x?access_token={token}")),
        ("/cgi-bin/x?", format!("/cgi-bin/x?access_token={token}")),
        ("/cgi-bin/x?a=%2f&&b", format!("/cgi-bin/x?a=%2f&&b&access_token={token}")),
        ("/cgi-bin/x?access_token=mine", format!("/cgi-bin/x?access_token={token}")),
        ("/x?a=1&ACCESS_TOKEN=m&b=2", format!("/x?a=1&b=2&access_token={token}")),
        ("/x?access%5Ftoken=m&a=1", format!("/x?a=1&access_token={token}")),
        ("/x?access_token", format!("/x?access_token={token}")),
        ("/x?my_access_token=1", format!("/x?my_access_token=1&access_token={token}")),
        ("/x?access_token=1&access_token=2", format!("/x?access_token={token}")),
        ("/x?access-token=mine&a", format!("/x?a&access_token={token}")),
    ] {
        let before = vendor.calls().len();
        stage.get("wechat", target).await;
        let call = &vendor.calls()[before].request;
        assert_eq!(call.target(), expected, "{target}");
        assert_eq!(call.names(), ["host"], "no header carries a token");
    }
}

#[tokio::test]
async fn p07_a_dead_token_is_healed() {
    for name in ["rejected_42001", "rejected_40001", "rejected_40014"] {
        let (vendor, stage) = stage().await;
        vendor.will(recorded(name)).will(recorded("message_sent"));
        let answer = stage.post("wechat", "/cgi-bin/message/custom/send?x=1", "{}").await;
        assert_eq!(answer.text(), recording("wechat/message_sent", &[]));
        assert_eq!(answer.one("tokenward-retry"), Some("recovered"));
        let calls = vendor.calls();
        let targets: Vec<_> = calls.iter().map(|call| call.request.target()).collect();
        let with = |number| {
            let token = vendor.token("wechat", number);
            format!("/cgi-bin/message/custom/send?x=1&access_token={token}")
        };
        assert_eq!(targets, [with(1), with(2)], "{name}");
        assert_eq!(vendor.token_calls("wechat").len(), 2);
        assert_eq!(
            stage.metric("tokenward_rejections_total", &[("rule", "token-dead")]).await,
            1.0
        );
    }
}

#[tokio::test]
async fn p07_other_failures_are_the_callers() {
    let (vendor, stage) = stage().await;
    for name in ["quota", "failure", "message_sent"] {
        vendor.will(recorded(name));
        let answer = stage.get("wechat", "/cgi-bin/x").await;
        assert_eq!(answer.text(), recording(&format!("wechat/{name}"), &[]));
        assert_eq!(answer.one("tokenward-retry"), None);
    }
    assert_eq!(vendor.token_calls("wechat").len(), 1);
    assert_eq!(stage.metric("tokenward_rejections_total", &[("rule", "too-often")]).await, 1.0);
}

#[tokio::test]
async fn p24_its_token_endpoints_are_closed_and_the_refusal_reads_like_its_failures() {
    let (vendor, stage) = stage().await;
    let answer = stage.get("wechat", "/cgi-bin/token?grant_type=client_credential").await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json()["errcode"], 403);
    assert!(answer.json()["errmsg"].as_str().expect("a text").contains("token endpoint"));
    assert_eq!(vendor.token_calls("wechat").len(), 1);
}

#[test]
fn its_description_is_without_mistakes() {
    let text = include_str!("vendors/wechat.toml");
    let (document, mut report) = Document::parse_public("wechat.toml", text);
    tokenward::vendor::description::Description::read(&document, &mut report);
    assert!(report.is_empty(), "{report}");
}
