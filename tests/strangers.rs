//! Who is told nothing (p22): web pages, and whoever calls the gateway by a name that is not its own.
//! Over HTTP/1.0, HTTP/1.1 and HTTP/2, at callers' addresses and at the operator's.

use proptest::prelude::*;
use proptest::sample::select;

use crate::support::h2::{Event, Peer};
use crate::support::{Caller, Message, RawVendor, Stage, strangers};

struct Scene {
    vendor: RawVendor,
    stage: Stage,
}

impl Scene {
    async fn new(config: &str) -> Self {
        let vendor = RawVendor::start().await;
        let config = format!("gateway.listen = '127.0.0.1:0'\n{config}");
        let stage = Stage::plan().before(vendor.address).config(&config).start().await;
        Self { vendor, stage }
    }

    async fn at_gateway(&self, request: &str) -> Message {
        let mut caller = self.stage.gateway_caller().await;
        caller.send(request).await;
        caller.answer().await
    }

    async fn at_admin(&self, request: &str) -> Message {
        let mut caller = Caller::tcp(self.stage.gateway.addresses.admin).await;
        caller.send(request).await;
        caller.answer().await
    }

    async fn refusals(&self, reason: &str) -> f64 {
        self.stage.metric("tokenward_guard_refusals_total", &[("reason", reason)]).await
    }
}

/// Each is a name of ours, or it is not, at every address.
const HOSTS: [(&str, bool); 18] = [
    ("localhost.", true),
    ("LOCALHOST:8081", true),
    ("[0:0:0:0:0:0:0:1]:8081", true),
    ("[::ffff:127.0.0.1]", true),
    ("127.0.0.1.:1", true),
    ("gateway.internal:8080", true),
    ("gateway.internal", false),
    ("gateway.internal:8081", false),
    ("localhost..", false),
    ("[::1%25lo]", false),
    ("[::]", false),
    ("0.0.0.0:8081", false),
    ("127.1", false),
    ("2130706433", false),
    ("0x7f.1", false),
    ("0177.0.0.1", false),
    ("127-0-0-1.sslip.io", false),
    ("localtest.me", false),
];

#[tokio::test]
async fn p22_a_host_is_ours_in_its_proper_spellings_at_every_address() {
    let allowed = "allowed_hosts = ['Gateway.Internal:8080']";
    let config = format!("[admin]\n{allowed}\n[upstream.aiclk.guard]\n{allowed}");
    let scene = Scene::new(&config).await;
    for (host, known) in HOSTS {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let head = |target| format!("GET {target} {version}\r\nHost: {host}\r\n\r\n");
            for answer in [
                scene.stage.call("aiclk", head("/openapi/x")).await,
                scene.at_gateway(&head("/aiclk/openapi/x")).await,
                scene.at_admin(&head("/healthz")).await,
            ] {
                assert_eq!(answer.status(), if known { 200 } else { 403 }, "{host}: {answer:?}");
            }
        }
    }
    let (ours, others) = (6, 12);
    assert_eq!(scene.vendor.calls().len(), 2 * 2 * ours);
    assert_eq!(scene.refusals("host").await, f64::from(2 * 3 * others));
}

#[tokio::test]
async fn p22_a_program_of_http_1_0_need_not_say_a_host() {
    let scene = Scene::new("").await;
    for (fields, status) in [("", 200), ("User-Agent: ab\r\n", 200), ("Origin: http://a\r\n", 403)]
    {
        let head = |target| format!("GET {target} HTTP/1.0\r\n{fields}\r\n");
        assert_eq!(scene.stage.call("aiclk", head("/openapi/x")).await.status(), status);
        assert_eq!(scene.at_gateway(&head("/aiclk/openapi/x")).await.status(), status);
        assert_eq!(scene.at_admin(&head("/status")).await.status(), status);
    }
}

#[tokio::test]
async fn p22_a_target_in_absolute_form_is_judged_with_its_host() {
    let scene = Scene::new("").await;
    for (target, fields, status) in [
        ("http://localhost/openapi/x", "Host: localhost", 200),
        ("http://[0::1]:1/openapi/x", "Host: localhost", 200),
        ("http://localhost/openapi/x", "Host: evil.example", 403),
        ("http://evil.example/openapi/x", "Host: evil.example", 404),
        ("http://evil.example/openapi/x", "Host: evil.example\r\nSec-Fetch-Site: none", 403),
        ("http://evil.example/openapi/x", "Host: localhost", 404),
        ("http://127.1/openapi/x", "Host: localhost", 404),
        ("http://localhost.evil.example/openapi/x", "Host: localhost", 404),
        ("http://localhost/openapi/x", "Host: localhost\r\nOrigin: http://evil.example", 403),
        ("http://evil.example/openapi/x", "Host: localhost\r\nOrigin: http://evil.example", 403),
        ("http://evil.example/openapi/x", "Host: localhost\r\nSec-Fetch-Site: none", 403),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n");
        let answer = scene.stage.call("aiclk", &request).await;
        assert_eq!(answer.status(), status, "{target} {fields}: {answer:?}");
        assert!(status != 403 || !answer.text().contains("vendors' hosts"), "{answer:?}");
    }
    // The user before a host is no host.
    let calls = scene.vendor.calls().len();
    for target in ["http://localhost@evil.example/x", "http://localhost:80@evil.example/x"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let status = scene.stage.call("aiclk", &request).await.status();
        assert!(matches!(status, 400 | 404), "{target}: {status}");
    }
    assert_eq!((scene.vendor.calls().len(), calls), (2, 2));
}

#[tokio::test]
async fn p22_what_routes_there_are_is_not_for_pages() {
    let scene = Scene::new("").await;
    let strangers = [
        ("Host: rebound.example", "host-refused"),
        ("Host: rebound.example\r\nOrigin: http://rebound.example", "host-refused"),
        ("Host: localhost\r\nOrigin: http://evil.example", "browser-refused"),
        ("Host: localhost\r\nSec-Fetch-Site: same-origin", "browser-refused"),
        ("Host: localhost\r\nUser-Agent: Mozilla/5.0\r\nAccept-Language: en", "browser-refused"),
    ];
    for target in ["/", "/nowhere/x", "http://other.example/x"] {
        for (fields, kind) in strangers {
            let request = format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n");
            let answer = scene.at_gateway(&request).await;
            assert_eq!(answer.one("tokenward-error"), Some(kind), "{request}: {answer:?}");
            assert!(!answer.text().contains("aiclk"), "{answer:?}");
        }
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(scene.at_gateway(&request).await.one("tokenward-error"), Some("no-route"));
    }
    assert_eq!((scene.refusals("host").await, scene.refusals("browser").await), (6.0, 9.0));
}

#[tokio::test]
async fn p22_browsers_read_at_the_admin_address_and_change_nothing() {
    let scene = Scene::new("").await;
    let before = scene.stage.generation("aiclk");
    let browser = "User-Agent: Mozilla/5.0\r\nAccept-Language: en";
    let (typed, own) = ("Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin");
    for (fields, reads) in [
        (typed, true),
        (own, true),
        (browser, true),
        ("Sec-Fetch-Site: cross-site", false),
        ("Sec-Fetch-Site: same-site", false),
        ("Origin: null", false),
        ("Access-Control-Request-Method: POST", false),
        ("User-Agent: Mozilla/5.0\r\nReferer: http://evil.example/", false),
    ] {
        for path in ["/", "/status", "/metrics", "/readyz", "/healthz"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
            let status = scene.at_admin(&request).await.status();
            assert_eq!(status, if reads { 200 } else { 403 }, "{path} {fields}");
        }
        for method in ["POST", "OPTIONS", "PUT"] {
            let request = format!(
                "{method} /-/refresh/aiclk HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            let answer = scene.at_admin(&request).await;
            assert_eq!(answer.status(), 403, "{method} {fields}");
            let names = answer.names();
            assert!(!names.iter().any(|name| name.starts_with("access-control")), "{names:?}");
        }
    }
    assert_eq!(scene.refusals("browser").await, f64::from(5 * 5 + 8 * 3));
    assert_eq!(scene.stage.generation("aiclk"), before);
    assert_eq!(scene.stage.refresh("aiclk").await.status(), 200);
}

#[tokio::test]
async fn p22_an_admin_address_of_all_addresses_answers_to_addresses_and_allowed_names() {
    let config = "[admin]\nlisten = '0.0.0.0:0'\nallow_remote = true\nallowed_hosts = ['web']";
    let scene = Scene::new(config).await;
    for (host, status) in [
        ("10.0.0.5:9464", 200),
        ("[fd00::5]", 200),
        ("localhost", 200),
        ("web:9464", 200),
        ("rebound.example", 403),
        ("10.0.0.5.nip.io", 403),
        ("0.0.0.0", 403),
    ] {
        let request = format!("GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut caller =
            Caller::tcp(([127, 0, 0, 1], scene.stage.gateway.addresses.admin.port()).into()).await;
        caller.send(request).await;
        assert_eq!(caller.answer().await.status(), status, "{host}");
    }
}

#[tokio::test]
async fn p22_http_2_is_judged_as_http_1_is() {
    let scene = Scene::new("").await;
    let usual = [(":method", "GET"), (":scheme", "http"), (":path", "/openapi/x")];
    for (fields, status) in [
        (vec![(":authority", "[0:0::1]:8081")], "200"),
        (vec![("host", "localhost")], "200"),
        (vec![(":authority", "localhost"), ("host", "localhost")], "200"),
        (vec![(":authority", "localhost"), ("host", "evil.example")], "400"),
        (vec![(":authority", "evil.example"), ("host", "localhost")], "400"),
        (vec![(":authority", "evil.example")], "403"),
        (vec![(":authority", "user@localhost")], "403"),
        (vec![("host", "evil.example")], "403"),
        (vec![("host", "")], "403"),
        (vec![(":authority", "localhost"), ("origin", "http://evil.example")], "403"),
        (vec![(":authority", "localhost"), ("sec-fetch-site", "none")], "403"),
        (vec![("origin", "http://evil.example")], "400"),
    ] {
        let mut peer = Peer::caller(&scene.stage, &[]).await;
        peer.fields(1, &[&usual[..], &fields].concat(), true).await;
        match peer.event().await {
            Event::Head { fields: answer, .. } => assert_eq!(answer[0].1, status, "{fields:?}"),
            // What the library refuses by itself is as good a refusal.
            Event::Reset { .. } => assert_ne!(status, "200", "{fields:?}"),
            event => panic!("{fields:?}: {event:?}"),
        }
    }
    assert_eq!(scene.vendor.calls().len(), 3);
    // A page's WebSocket over HTTP/2 (RFC 8441).
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/openapi/x"),
        (":authority", "localhost"),
        ("origin", "http://evil.example"),
    ];
    let mut peer = Peer::caller(&scene.stage, &[]).await;
    peer.fields(1, &connect, false).await;
    match peer.event().await {
        Event::Head { fields, .. } => {
            assert!(["403", "405"].contains(&&*fields[0].1), "{fields:?}")
        }
        Event::Reset { .. } | Event::GoAway { .. } => {}
        event => panic!("{event:?}"),
    }
    assert_eq!(scene.vendor.calls().len(), 3);
}

fn fields() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let hosts = HOSTS.map(|(host, _)| host).into_iter().chain(["localhost:8081", "[::1]", "web"]);
    let host = || select(hosts.clone().collect::<Vec<_>>());
    let mixed = "[a-z0-9.:@/%-]{0,12}|\\[[0-9a-f:.]{0,20}\\](:[0-9]{0,6})?";
    let value = prop_oneof![
        host().prop_map(str::to_owned),
        host().prop_map(|host| format!("http://{host}")),
        host().prop_map(|host| format!("https://{host}/x?y#z")),
        mixed,
        select(vec![
            "none",
            "same-origin",
            "cross-site",
            "navigate",
            "cors",
            "null",
            "Mozilla/5.0",
            "AppleCoreMedia/1"
        ])
        .prop_map(str::to_owned),
    ];
    let name = select(vec![
        "host",
        "host",
        "origin",
        "referer",
        "user-agent",
        "accept-language",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-fetch-dest",
        "sec-fetch-user",
        "sec-purpose",
        "access-control-request-method",
        "x-other",
    ]);
    let usual = host().prop_map(|host| ("host", host.to_owned()));
    let more = prop::collection::vec((name, value), 0..5);
    (usual, more).prop_map(|(host, more)| [vec![host], more].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
    #[test]
    fn p22_who_is_a_stranger_is_what_a_second_reading_says(fields in fields()) {
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        strangers::check(&strangers::headers(lines.join("\n").as_bytes()));
    }
}
