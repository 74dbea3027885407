//! Who may call, by a key, and what (p21, p23).

use tokio::process::Command;

use tokenward::app::Address;

use crate::support::clients::{BILLING, Gated, LIST, REPORTS, ask, basic};
use crate::support::h2::Peer;
use crate::support::{logs, soon};

const GET: &str = "GET /openapi/v1/x";

#[tokio::test]
async fn p21_a_key_opens_in_every_way_of_showing_it() {
    let gated = Gated::start().await;
    let ours = format!("Proxy-Authorization: Bearer {BILLING}");
    for field in [
        ours.clone(),
        format!("Proxy-Authorization: {}", basic("billing", BILLING)),
        format!("proxy-authorization: bearer   {BILLING}"),
        format!("Authorization: Bearer {BILLING}"),
        format!("AUTHORIZATION: {}", basic("billing", BILLING)),
    ] {
        let answer = gated.call(GET, &["X-A: 1", &field, "X-B: 2"]).await;
        assert_eq!(answer.status(), 200, "{field}: {answer:?}");
        let call = gated.vendor.calls().pop().expect("a call").request;
        assert_eq!(call.all("authorization"), Vec::<&str>::new());
        let names = call.names();
        let own: Vec<_> = names.iter().filter(|name| name.starts_with("x-")).collect();
        assert_eq!(own, ["x-a", "x-b"], "{call:?}");
    }
    // With a key in the field for us, the other is the vendor's.
    let answer = gated.call(GET, &["Authorization: Bearer the-vendors", &ours]).await;
    assert_eq!(answer.status(), 200);
    let call = gated.vendor.calls().pop().expect("a call").request;
    assert_eq!(call.all("authorization"), ["Bearer the-vendors"]);
    // Unless it holds a key of ours, too.
    gated.call(GET, &[&format!("Authorization: Bearer {REPORTS}"), &ours]).await;
    assert_eq!(gated.vendor.calls().len(), 7);
    gated.kept_keys();
}

#[tokio::test]
async fn p21_who_shows_no_good_key_gets_403_and_the_vendor_nothing() {
    let gated = Gated::start().await;
    let good = format!("Authorization: Bearer {BILLING}");
    let ours = format!("Proxy-{good}");
    let cases = [
        vec![],
        vec!["Authorization: Bearer "],
        vec!["Authorization: Bearer wrong-key-wrong-key-wrong-key"],
        vec!["Proxy-Authorization: Basic !!!"],
        vec![&good, &good],
        vec![&ours, &ours],
        vec!["Authorization: Bearer x", &good],
        vec!["Proxy-Authorization: Bearer x", &good],
        vec!["Proxy-Authorization: Digest x", &good],
        vec!["Proxy-Authorization: ", &good],
    ];
    for fields in &cases {
        let answer = gated.call(GET, fields).await;
        assert_eq!(answer.status(), 403, "{fields:?}: {answer:?}");
        assert_eq!(answer.one("tokenward-error"), Some("client-refused"), "{fields:?}");
        assert_eq!(answer.one("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["code"], 403, "in the vendor's form, too");
    }
    let near = &BILLING[..BILLING.len() - 1];
    let more = [
        format!("Authorization: Bearer {near}"),
        format!("Authorization: Bearer {BILLING}x"),
        format!("Authorization: Bearer {}", BILLING.to_uppercase()),
        format!("Authorization: Bearer {BILLING}, Bearer {BILLING}"),
        format!("Authorization: {BILLING}"),
        format!("Authorization: {}", basic("reports", BILLING)),
        format!("Authorization: {}", basic("", BILLING)),
        format!("Authorization: {}", basic("Billing", BILLING)),
        format!("Proxy_Authorization: Bearer {BILLING}"),
        format!("X-Api-Key: {BILLING}"),
        format!("Cookie: {BILLING}"),
    ];
    for field in &more {
        let answer = gated.call(GET, &[field]).await;
        assert_eq!(answer.one("tokenward-error"), Some("client-refused"), "{field}");
    }
    assert!(gated.vendor.calls().is_empty());
    assert_eq!(gated.refusals("client").await, (cases.len() + more.len()) as f64);
}

#[tokio::test]
async fn p21_a_stranger_learns_no_route() {
    let gated = Gated::start().await;
    let lines = [
        "GET /nonsense",
        "GET /aiclk/openapi/v1/x",
        "GET http://elsewhere.example/x",
        "CONNECT elsewhere.example:443",
        "OPTIONS *",
        "POST /aiclk/oauth2/token",
    ];
    for line in lines {
        let answer = gated.call_gateway(line, &[]).await;
        assert_eq!(answer.one("tokenward-error"), Some("client-refused"), "{line}: {answer:?}");
        let text = answer.text();
        for secret in ["aiclk", "jing", "billing", "reports", "127.0.0.1"] {
            assert!(!text.contains(secret), "{line}: {text}");
        }
    }
    let known = format!("Proxy-Authorization: Bearer {BILLING}");
    let answer = gated.call_gateway("GET /nonsense", &[&known]).await;
    assert_eq!(answer.one("tokenward-error"), Some("no-route"));
    assert!(answer.text().contains("/aiclk/"));
    let answer = gated.call_gateway("CONNECT elsewhere.example:443", &[&known]).await;
    assert_eq!(answer.one("tokenward-error"), Some("tunnel"));
    for line in ["GET /aiclk/openapi/v1/x", "GET http://localhost/aiclk/openapi/v1/x"] {
        assert_eq!(gated.call_gateway(line, &[&known]).await.status(), 200, "{line}");
    }
    gated.kept_keys();
}

#[tokio::test]
async fn p21_over_http_2_a_key_opens_too_and_ends_here() {
    let gated = Gated::start().await;
    let mut peer = Peer::caller(&gated.stage, &[]).await;
    let bearer = format!("Bearer {BILLING}");
    let cases = [
        ("authorization", bearer.as_str(), "200"),
        ("proxy-authorization", bearer.as_str(), "200"),
        ("authorization", "Bearer wrong", "403"),
        ("x-nothing", "1", "403"),
    ];
    for (stream, (name, value, status)) in (1..).step_by(2).zip(cases) {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/openapi/v1/x"),
            (":authority", "localhost"),
            (name, value),
        ];
        peer.fields(stream, &fields, true).await;
        let (_, fields, end) = peer.head().await;
        assert!(fields.contains(&(":status".to_owned(), status.to_owned())), "{fields:?}");
        if !end {
            peer.body(stream).await;
        }
    }
    assert_eq!(gated.vendor.calls().len(), 2);
    assert!(gated.vendor.calls().iter().all(|call| call.request.one("authorization").is_none()));
    gated.kept_keys();
}

#[tokio::test]
async fn p21_a_unix_socket_asks_nobody_and_counts_who_says_it() {
    let gated = Gated::with(LIST, "upstream.aiclk.listen = 'unix:FOLDER/aiclk.sock'").await;
    assert_eq!(gated.call(GET, &["Authorization: Bearer the-vendors"]).await.status(), 200);
    let call = gated.vendor.calls().pop().expect("a call").request;
    assert_eq!(call.one("authorization"), Some("Bearer the-vendors"));
    let known = format!("Authorization: Bearer {REPORTS}");
    assert_eq!(gated.call(GET, &[&known]).await.status(), 200);
    assert_eq!(gated.call("POST /openapi/v1/x", &[&known]).await.status(), 403);
    let counted = gated.stage.metric("tokenward_client_requests_total", &[]).await;
    assert_eq!(counted, 2.0);
    gated.kept_keys();
}

#[tokio::test]
async fn p21_curl_calls_with_its_own_ways_of_a_key() {
    let gated = Gated::start().await;
    let Some(Address::Tcp(gateway)) = gated.stage.gateway.addresses.gateway.clone() else {
        panic!("a gateway address")
    };
    let Address::Tcp(own) = gated.stage.address("aiclk").clone() else { panic!("a port") };
    let proxied = "http://localhost/aiclk/openapi/v1/x";
    let direct = format!("http://{own}/openapi/v1/x");
    let proxy = |login: &str| format!("http://{login}{gateway}");
    let key = |name: &str| format!("{name}: Bearer {BILLING}");
    for (arguments, status) in [
        (vec!["-x", &proxy(&format!("billing:{BILLING}@")), proxied], "200"),
        (vec!["-x", &proxy(""), "-U", &format!("billing:{BILLING}"), proxied], "200"),
        (vec!["-x", &proxy(""), "--proxy-header", &key("Proxy-Authorization"), proxied], "200"),
        (vec!["-x", &proxy(&format!("reports:{BILLING}@")), proxied], "403"),
        (vec!["-x", &proxy(""), proxied], "403"),
        (vec!["-H", &key("Authorization"), &direct], "200"),
        (vec!["-u", &format!("billing:{BILLING}"), &direct], "200"),
        (vec!["--oauth2-bearer", BILLING, &direct], "200"),
        (vec!["--http2-prior-knowledge", "-H", &key("Authorization"), &direct], "200"),
        (vec!["-u", "billing:wrong", &direct], "403"),
        (vec![&direct], "403"),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", ""]);
        curl.args(&arguments).env_remove("http_proxy").env_remove("no_proxy");
        let output = soon("curl ends", curl.output()).await.expect("curl runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{arguments:?} {output:?}");
    }
    assert_eq!(gated.vendor.calls().len(), 7);
    gated.kept_keys();
}

#[tokio::test]
async fn p23_a_client_may_call_what_its_rules_say() {
    let gated = Gated::start().await;
    let reports = format!("Authorization: Bearer {REPORTS}");
    for line in ["GET /openapi/v1/x", "GET /openapi/v1/a/b?c=../../v2"] {
        assert_eq!(gated.call(line, &[&reports]).await.status(), 200, "{line}");
    }
    let passed = gated.vendor.calls().len();
    let refused = [
        "POST /openapi/v1/x",
        "HEAD /openapi/v1/x",
        "get /openapi/v1/x",
        "GET /openapi/v2/x",
        "GET /openapi/v1",
        "GET /openapi/v1/../v2/x",
        "GET /openapi/v1/%2e%2e/v2/x",
        "GET /openapi/v1/..%2fv2/x",
        "GET /openapi/v1/%252e%252e/v2/x",
        "GET /openapi/v1/..;/v2/x",
        "GET /openapi/v1/..\\v2",
        "GET //openapi/v1/x",
        "GET /OPENAPI/v1/x",
        "GET /x/../openapi/v1/x",
        "OPTIONS *",
    ];
    for line in refused {
        let mut caller = gated.stage.caller("aiclk").await;
        caller.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{reports}\r\n\r\n")).await;
        let answer = match line.starts_with("HEAD") {
            true => caller.answer_to_head().await,
            false => caller.answer().await,
        };
        assert_eq!(answer.status(), 403, "{line}: {answer:?}");
        assert_eq!(answer.one("tokenward-error"), Some("client-forbidden"), "{line}");
    }
    // What some servers take for the first line.
    let fields = ["X-HTTP-Method-Override: POST", "X-Original-URL: /openapi/v2/x"];
    for field in fields {
        let answer = gated.call("GET /openapi/v1/x", &[&reports, field]).await;
        assert_eq!(answer.one("tokenward-error"), Some("client-forbidden"), "{field}");
    }
    let line = "GET /v1/x HTTP/1.1\r\nHost: localhost";
    let answer = gated.stage.call("jing", format!("{line}\r\n{reports}\r\n\r\n")).await;
    assert_eq!(answer.one("tokenward-error"), Some("client-forbidden"), "another upstream");
    let answer = gated.call_gateway("GET /jing/v1/x", &[&reports]).await;
    assert_eq!(answer.one("tokenward-error"), Some("client-forbidden"), "another upstream");
    let answer = gated.call_gateway("GET /aiclk/openapi/v1/x", &[&reports]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(gated.vendor.calls().len(), passed + 1);
    assert_eq!(gated.refusals("client_rule").await, (refused.len() + fields.len() + 2) as f64);
    let billing = format!("Authorization: Bearer {BILLING}");
    assert_eq!(gated.call("POST /openapi/v2/x", &[&billing]).await.status(), 200);
}

#[tokio::test]
async fn p23_rules_hold_below_a_base_path_and_beside_the_guards() {
    let guard = "upstream.aiclk.guard.paths = ['/openapi/v1/*', '/openapi/v2/*']";
    let base = "upstream.aiclk.base_url = 'http://VENDOR/base'";
    let gated = Gated::with(LIST, &format!("{guard}\n{base}")).await;
    let [billing, reports] = [BILLING, REPORTS].map(|key| format!("Authorization: Bearer {key}"));
    for (line, field, kind) in [
        ("GET /openapi/v1/x", &reports, None),
        ("GET /openapi/v2/x", &reports, Some("client-forbidden")),
        ("GET /openapi/v2/x", &billing, None),
        ("GET /openapi/v3/x", &billing, Some("path-refused")),
        ("GET /base/openapi/v1/x", &reports, Some("path-refused")),
    ] {
        let answer = gated.call(line, &[field]).await;
        assert_eq!(answer.one("tokenward-error"), kind, "{line}: {answer:?}");
    }
}

#[tokio::test]
async fn p31_answers_are_counted_by_client() {
    let gated = Gated::start().await;
    let [billing, reports] = [BILLING, REPORTS].map(|key| format!("Authorization: Bearer {key}"));
    gated.call(GET, &[&billing]).await;
    gated.call(GET, &[&reports]).await;
    gated.call("POST /openapi/v1/x", &[&reports]).await;
    gated.call(GET, &[]).await;
    gated.call_gateway("GET /nonsense", &[&billing]).await;
    let metrics = gated.stage.metrics().await;
    let name = "tokenward_client_requests_total";
    for (client, upstream, status, count) in [
        ("billing", "aiclk", "2xx", 1.0),
        ("reports", "aiclk", "2xx", 1.0),
        ("reports", "aiclk", "4xx", 1.0),
        ("billing", "", "4xx", 1.0),
    ] {
        let labels = [("client", client), ("upstream", upstream), ("status", status)];
        assert_eq!(metrics.sum(name, &labels), count, "{labels:?}");
    }
    assert_eq!(metrics.sum(name, &[]), 4.0);
}

#[tokio::test]
async fn p26_no_key_is_logged_and_names_are() {
    logs::capture();
    let gated = Gated::start().await;
    let mut peer = Peer::caller(&gated.stage, &[]).await;
    let bearer = format!("Bearer {BILLING}");
    let head = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/openapi/v1/x"),
        (":authority", "localhost"),
        ("authorization", bearer.as_str()),
    ];
    peer.fields(1, &head, true).await;
    peer.head().await;
    let mut caller = gated.stage.caller("aiclk").await;
    let wrong = "wrong-key-wrong-key-wrong-key-00";
    // Other tests write to the same log, so the one line is known by its request.
    let field = format!("Authorization: Bearer {REPORTS}");
    let refused = ask(&mut caller, "POST /openapi/v1/x", &[&field]).await.json();
    let request =
        refused["request_id"].as_str().expect("an answer of the gateway's own").to_owned();
    for (line, field) in [
        (GET, format!("Proxy-Authorization: {}", basic("billing", BILLING))),
        (GET, format!("Authorization: Bearer {wrong}")),
        (GET, format!("Authorization: {}", basic("billing", wrong))),
        (GET, format!("Proxy-Authorization: Bearer {BILLING}\r\nAuthorization: Bearer {REPORTS}")),
    ] {
        ask(&mut caller, line, &[&field]).await;
    }
    let log = logs::captured();
    let pair = basic("billing", BILLING);
    for secret in [BILLING, REPORTS, wrong, &pair["Basic ".len()..pair.len() - 2]] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let refused: Vec<_> = log.lines().filter(|line| line.contains(&request)).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("client=\"reports\""), "the client's name is in the log");
    for page in ["/metrics", "/status"] {
        let page = gated.stage.admin(page).await.text();
        assert!(!page.contains(BILLING) && !page.contains(REPORTS));
    }
}

#[tokio::test]
async fn p23_an_emulated_token_endpoint_wants_the_upstream_alone() {
    let emulate = "upstream.aiclk.guard.token_endpoint = 'emulate'\n\
                   upstream.jing.guard.token_endpoint = 'emulate'";
    let gated = Gated::with(LIST, emulate).await;
    let reports = format!("Proxy-Authorization: Bearer {REPORTS}");
    for (line, kind) in [
        ("POST /aiclk/oauth2/token", None),
        ("POST /jing/v1/oauth2/token", Some("client-forbidden")),
    ] {
        let answer = gated.call_gateway(line, &[&reports, "Content-Length: 0"]).await;
        let refused = answer.one("tokenward-error").filter(|kind| kind.starts_with("client-"));
        assert_eq!(refused, kind, "{line}: {answer:?}");
    }
    let answer = gated.call_gateway("POST /aiclk/oauth2/token", &["Content-Length: 0"]).await;
    assert_eq!(answer.one("tokenward-error"), Some("client-refused"));
    assert!(gated.vendor.calls().is_empty());
}
