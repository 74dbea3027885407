//! Allow-lists: what they refuse opens no connection to the vendor, what they admit arrives byte for
//! byte, and presets let the documented reads pass and nothing else (p23, p24).

use crate::support::h2::Peer;
use crate::support::{Caller, RawVendor, Stage};

/// A gateway whose connections to the vendor can be counted.
async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

fn request(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
}

/// The kind of the refusal, or what has arrived.
async fn ask(vendor: &RawVendor, caller: &mut Caller, line: &str) -> Result<String, String> {
    let (calls, connections) = (vendor.calls().len(), vendor.connections());
    caller.send(request(line)).await;
    let answer = caller.answer().await;
    if answer.status() == 200 {
        assert_eq!(vendor.calls().len(), calls + 1, "{line}");
        return Ok(vendor.calls()[calls].request.line.clone());
    }
    assert_eq!(answer.status(), 403, "{line}: {answer:?}");
    assert_eq!((vendor.calls().len(), vendor.connections()), (calls, connections), "{line}");
    Err(answer.one("tokenward-error").expect("a kind").to_owned())
}

const LISTS: &str = "upstream.aiclk.guard.paths = ['GET /openapi/v1/*', 'POST /openapi/v1/report', \
                     '/open/*', 'GET /a/*/info', '/你好/*']";

const METHOD: &str = "method-refused";
const PATH: &str = "path-refused";

/// What is asked for, and why it is refused.
const VERDICTS: &[(&str, Option<&str>)] = &[
    ("GET /openapi/v1/account/info?a=/../..", None),
    ("GET /openapi/v1/%E4%BD%A0%E5%A5%BD", None),
    ("GET /openapi/v1/a%20b", None),
    ("GET /openapi/v1/x%2Cy", None),
    ("GET /openapi/v1/a%2fb//c;d=1", None),
    ("POST /openapi/v1/report", None),
    ("GET /openapi/v1/report", None),
    ("DELETE /open/x", None),
    ("GET /a/1/info", None),
    ("GET /%e4%bd%a0%E5%A5%BD/x", None),
    ("POST /openapi/v1/account/info", Some(METHOD)),
    ("HEADER /openapi/v1/account/info", Some(METHOD)),
    ("PUT /openapi/v1/report", Some(METHOD)),
    ("GET /openapi/v2/x", Some(PATH)),
    ("GET /openapi/v1", Some(PATH)),
    ("GET /openapi/v1/", Some(PATH)),
    ("GET /openapi/v1/../v2", Some(PATH)),
    ("GET /openapi/v1/%2e%2e/v2", Some(PATH)),
    ("GET /openapi/v1/%252e%252e/v2", Some(PATH)),
    ("GET /openapi/v1/..;/v2", Some(PATH)),
    ("GET /openapi/v1/..%5cv2", Some(PATH)),
    ("GET /openapi/v1/..\\v2", Some(PATH)),
    ("GET /openapi/v1/%c0%ae%c0%ae/v2", Some(PATH)),
    ("GET /openapi/v1/%u002e%u002e/v2", Some(PATH)),
    ("GET /openapi/v1/%ef%bc%8e%ef%bc%8e/v2", Some(PATH)),
    ("GET /openapi/v1/x%00", Some(PATH)),
    ("GET //openapi/v1/x", Some(PATH)),
    ("GET /OPENAPI/v1/x", Some(PATH)),
    ("GET /openapi%2fv1/x", Some(PATH)),
    ("GET /a/1;x/info", Some(PATH)),
    ("GET /a/1%3f/info", Some(PATH)),
    ("GET /a//info", Some(PATH)),
    ("GET /", Some(PATH)),
    ("OPTIONS *", Some(PATH)),
];

#[tokio::test]
async fn p23_a_refusal_opens_no_connection_and_what_passes_arrives_byte_for_byte() {
    let (vendor, stage) = stage(LISTS).await;
    let mut caller = stage.caller("aiclk").await;
    for (line, refused) in VERDICTS {
        let expected = match refused {
            None => Ok(format!("{line} HTTP/1.1")),
            Some(kind) => Err((*kind).to_owned()),
        };
        assert_eq!(ask(&vendor, &mut caller, line).await, expected, "{line}");
    }
    for (reason, kind) in [("method", METHOD), ("path", PATH)] {
        let count = VERDICTS.iter().filter(|(_, refused)| *refused == Some(kind)).count();
        let labels = [("reason", reason)];
        let counted = stage.metric("tokenward_guard_refusals_total", &labels).await;
        assert_eq!(counted, count as f64, "{reason}");
    }
}

/// By its prefix, by an absolute-form target and over HTTP/2 the verdicts are the same.
#[tokio::test]
async fn p23_a_list_holds_at_every_entrance() {
    let (vendor, stage) = stage(&format!("gateway.listen = '127.0.0.1:0'\n{LISTS}")).await;
    let mut caller = stage.gateway_caller().await;
    let mut own = stage.caller("aiclk").await;
    let mut peer = Peer::caller(&stage, &[]).await;
    let mut stream = 1;
    for (line, refused) in VERDICTS {
        let (method, target) = line.split_once(' ').expect("a target");
        let expected = match refused {
            None => Ok(format!("{line} HTTP/1.1")),
            Some(kind) => Err((*kind).to_owned()),
        };
        if target.starts_with('/') {
            let prefixed = format!("{method} /aiclk{target}");
            assert_eq!(ask(&vendor, &mut caller, &prefixed).await, expected, "{prefixed}");
            let absolute = format!("{method} http://localhost{target}");
            assert_eq!(ask(&vendor, &mut own, &absolute).await, expected, "{absolute}");
            let fields = [
                (":method", method),
                (":scheme", "http"),
                (":path", target),
                (":authority", "localhost"),
            ];
            let calls = vendor.calls().len();
            peer.fields(stream, &fields, true).await;
            let (_, fields, is_end) = peer.head().await;
            if !is_end {
                peer.body(stream).await;
            }
            stream += 2;
            let kind = fields.iter().find(|(name, _)| name == "tokenward-error");
            assert_eq!(kind.map(|(_, kind)| kind.as_str()), *refused, "{line}");
            let arrived = vendor.calls()[calls..].first().map(|call| call.request.line.clone());
            assert_eq!(arrived, expected.ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn p23_lists_and_presets_hold_below_a_base_path() {
    let vendor = RawVendor::start().await;
    let config = format!(
        "[upstream.aiclk]\nbase_url = 'http://{}/mock/v9'\nguard.preset = 'read-only'\n\
         guard.paths = ['/openapi/v1/*']",
        vendor.address
    );
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let mut caller = stage.caller("aiclk").await;
    let arrived = ask(&vendor, &mut caller, "GET /openapi/v1/account/info").await;
    assert_eq!(arrived, Ok("GET /mock/v9/openapi/v1/account/info HTTP/1.1".to_owned()));
    for (line, kind) in [
        ("POST /openapi/v1/account/info", METHOD),
        ("GET /openapi/v1/account/infos", PATH),
        ("GET /mock/v9/openapi/v1/account/info", PATH),
        ("GET /../v9/openapi/v1/account/info", PATH),
        ("GET /oauth2/token", "token-endpoint-refused"),
    ] {
        assert_eq!(ask(&vendor, &mut caller, line).await, Err(kind.to_owned()), "{line}");
    }
}

#[tokio::test]
async fn p23_the_read_only_presets_let_reads_pass_and_nothing_else() {
    let config = "upstream.aiclk.guard.preset = 'read-only'\n\
                  upstream.jing.guard.preset = 'read-only'";
    let (vendor, stage) = stage(config).await;
    let mut aiclk = stage.caller("aiclk").await;
    for read in [
        "/openapi/v1/account/info?account_id=1&query={%22fields%22:[%22account_id%22]}",
        "/openapi/v1/account_fund/list?account_id=1",
        "/openapi/v1/creative/get",
        "/openapi/v1/material/get",
        "/openapi/v1/conv/targeturl_monitor/list",
    ] {
        let line = format!("GET {read}");
        assert_eq!(ask(&vendor, &mut aiclk, &line).await, Ok(format!("{line} HTTP/1.1")));
        for method in ["POST", "PUT", "DELETE"] {
            let refused = ask(&vendor, &mut aiclk, &format!("{method} {read}")).await;
            assert_eq!(refused, Err(METHOD.to_owned()), "{method} {read}");
        }
    }
    for write in [
        "/openapi/v1/adaccount/customer/create",
        "/openapi/v1/adaccount/customer/update",
        "/openapi/v1/material/upload",
        "/openapi/v1/charge/agent",
        "/openapi/v1/charge/agent-coupon",
        "/openapi/v1/charge/sub-agent-v2",
        "/openapi/oss/sts",
        "/openapi/v1/account/info/../../charge/agent",
        "/openapi/v1/account/info;/../../charge/agent",
    ] {
        for method in ["GET", "POST"] {
            let line = format!("{method} {write}");
            assert_eq!(ask(&vendor, &mut aiclk, &line).await, Err(PATH.to_owned()), "{line}");
        }
    }

    let mut jing = stage.caller("jing").await;
    for line in ["GET /v1/user/1", "GET /v1/member/list?page=1", "GET /v1/tag/%E4%BD%A0"] {
        assert_eq!(ask(&vendor, &mut jing, line).await, Ok(format!("{line} HTTP/1.1")));
    }
    for (line, kind) in [
        ("POST /v1/user/create?returnFull=true", METHOD),
        ("PUT /v1/user/1", METHOD),
        ("DELETE /v1/user/1", METHOD),
        ("GET /v2/privacy", PATH),
        ("GET /v1/../v2/privacy", PATH),
        ("POST /v1/oauth2/token", "token-endpoint-refused"),
        ("GET /v1/oauth2/token", "token-endpoint-refused"),
    ] {
        assert_eq!(ask(&vendor, &mut jing, line).await, Err(kind.to_owned()), "{line}");
    }
}

#[tokio::test]
async fn p23_no_field_takes_a_request_past_its_list() {
    let (vendor, stage) = stage("upstream.aiclk.guard.preset = 'read-only'").await;
    let before = vendor.connections();
    for (field, kind) in [
        ("X-HTTP-Method-Override: POST", METHOD),
        ("X_HTTP_Method: DELETE", METHOD),
        ("X-Original-URL: /openapi/v1/charge/agent", PATH),
        ("X-Rewrite-URL: /oauth2/token", "token-endpoint-refused"),
    ] {
        let head = "GET /openapi/v1/account/info HTTP/1.1\r\nHost: localhost";
        let answer = stage.call("aiclk", format!("{head}\r\n{field}\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.one("tokenward-error")), (403, Some(kind)), "{field}");
    }
    assert_eq!((vendor.connections(), vendor.calls().len()), (before, 0));
}

#[tokio::test]
async fn p24_the_token_endpoint_cannot_be_reached_by_what_some_server_would_make_of_a_path() {
    let (vendor, stage) = stage("").await;
    let mut caller = stage.caller("aiclk").await;
    for path in [
        "/x%3f/../oauth2/token",
        "/x/%252e%252e/../oauth2/token",
        "/x/..;a/oauth2/token",
        "/oauth2;/token",
        "/oauth2/token.json",
        "/oauth2/token%00.gif",
        "/oauth2/token%0a",
        "//host/oauth2/token",
        "/index.php/oauth2/token",
        "/(S(x))/oauth2/token",
        "/oauth2%c0%aftoken",
        "/oauth2%ef%bc%8ftoken",
        "/oauth2/%u0074oken",
        "/oauth2/token::$DATA",
    ] {
        let refused = ask(&vendor, &mut caller, &format!("POST {path}")).await;
        assert_eq!(refused, Err("token-endpoint-refused".to_owned()), "{path}");
    }
}
