//! A real browser whose pages try everything that pages can to reach a gateway on their reader's
//! machine (p22). The same pages reach for a server that refuses nothing: it shows that the browser
//! does send these requests.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokenward::app::Address;
use tokio::time::{sleep, timeout};
use url::form_urlencoded::Serializer;

use crate::support::chromium::Chromium;
use crate::support::switch::{Exchange, Switch};
use crate::support::{RawVendor, Stage, soon};

const PAGE: &str = include_str!("browser/attack.html");

/// What a page of any origin can do.
const FOREIGN: [&str; 38] = [
    "fetch",
    "fetch-no-cors",
    "fetch-credentials",
    "fetch-no-referrer",
    "fetch-disguised",
    "fetch-header",
    "fetch-put",
    "fetch-keepalive",
    "fetch-redirected",
    "post-text",
    "post-urlencoded",
    "post-multipart",
    "post-cors",
    "post-json",
    "xhr-get",
    "xhr-post",
    "img",
    "img-no-referrer",
    "img-redirected",
    "script",
    "module",
    "iframe",
    "iframe-sandboxed",
    "iframe-redirected",
    "embed",
    "object",
    "stylesheet",
    "prefetch",
    "preload",
    "modulepreload",
    "form-get",
    "form-post",
    "form-text",
    "beacon",
    "ping",
    "event-source",
    "websocket",
    "window-open",
];
/// Ways in which this machine can be called. A browser makes proper addresses of some of them.
const SPELLINGS: [&str; 10] = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "localhost.",
    "any.localhost",
    ALLOWED,
];
const ODDLY_SPELT: [&str; 4] = ["fetch-no-referrer", "img-no-referrer", "post-text", "websocket"];
/// What a page can do that comes from another port of `localhost`: to a browser it is the same site,
/// and may have a service worker.
const SAME_SITE: [&str; 5] = ["worker", "fetch", "img", "form-post", "websocket"];
/// What a page can do whose name has been rebound to this machine.
const REBOUND: [&str; 14] = [
    "own-disguised",
    "own-delete",
    "fetch",
    "fetch-no-referrer",
    "post-json",
    "xhr-get",
    "xhr-post",
    "img",
    "script",
    "iframe",
    "form-post",
    "beacon",
    "event-source",
    "websocket",
];
/// `guard.allowed_hosts` has it. A browser does not trust it, and says less of a request.
const ALLOWED: &str = "gateway.internal";

/// Where pages reach for one server.
struct Reach {
    switch: Switch,
    /// The last parts of the paths of all that must arrive.
    expected: BTreeSet<String>,
}

impl Reach {
    fn new(switch: Switch) -> Self {
        let numbered = |at: &str, number: usize, names: &[&str]| -> Vec<_> {
            names.iter().map(|name| format!("/openapi/{at}/{number}/{name}")).collect()
        };
        let mut expected = vec!["/openapi/link".to_owned()];
        expected.extend(numbered("foreign", 0, &FOREIGN));
        expected.extend(numbered("same-site", 0, &SAME_SITE));
        expected.extend(numbered("rebound", 0, &REBOUND));
        let spelt = (0..SPELLINGS.len()).map(|number| numbered("spelt", number, &ODDLY_SPELT));
        expected.extend(spelt.flatten());
        Self { switch, expected: expected.into_iter().collect() }
    }

    /// The pages that reach for it, served at `port` where they are strangers.
    fn pages(&self, port: u16) -> Vec<String> {
        let own = self.switch.port;
        let base = format!("http://localhost:{own}");
        let spelt = SPELLINGS.map(|host| format!("http://{host}:{own}"));
        let rebound = format!("http://rebound.test:{own}");
        vec![
            page(&format!("http://evil.test:{port}"), "/openapi/foreign", &[&base], &FOREIGN),
            page(
                &format!("http://evil.test:{port}"),
                "/openapi/spelt",
                &spelt.each_ref().map(String::as_str),
                &ODDLY_SPELT,
            ),
            page(&rebound, "/openapi/rebound", &[&rebound], &REBOUND),
        ]
    }

    /// The page that reaches for it from another port. In a frame of a page that the browser does not
    /// trust it could have no service worker.
    fn same_site_page(&self, port: u16) -> String {
        let base = format!("http://localhost:{}", self.switch.port);
        let origin = format!("http://localhost:{port}");
        page(&origin, "/openapi/same-site", &[&base], &SAME_SITE)
    }

    /// A link that another program hands to the browser, and that leads on.
    fn link(&self, port: u16) -> String {
        let own = self.switch.port;
        format!("http://evil.test:{port}/redirect?http://localhost:{own}/openapi/link")
    }

    /// What has not arrived yet.
    fn missing(&self) -> Vec<String> {
        let exchanges = self.switch.exchanges();
        let arrived: BTreeSet<_> = exchanges.iter().map(path).collect();
        self.expected.iter().filter(|path| !arrived.contains(path.as_str())).cloned().collect()
    }
}

/// The URL of a page that makes these attempts at these addresses.
fn page(origin: &str, path: &str, bases: &[&str], attempts: &[&str]) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("path", path);
    query.extend_pairs(bases.iter().map(|base| ("base", base)));
    query.extend_pairs(attempts.iter().map(|name| ("attempt", name)));
    format!("{origin}/page?{}", query.finish())
}

fn path(exchange: &Exchange) -> &str {
    exchange.request.target().split('?').next().unwrap_or_default()
}

/// Waits for what a browser does, and fails with what is missing.
async fn done(what: &str, missing: impl Fn() -> Vec<String>) {
    let waiting = async {
        while !missing().is_empty() {
            sleep(LOOK_AGAIN).await;
        }
    };
    if timeout(PATIENCE, waiting).await.is_err() {
        panic!("{what}: {:?}", missing());
    }
}

#[tokio::test]
async fn p22_no_page_in_a_browser_reaches_the_vendor_or_changes_anything() {
    let vendor = RawVendor::start().await;
    let config = format!(
        "gateway.listen = '127.0.0.1:0'\nupstream.aiclk.guard.allowed_hosts = ['{ALLOWED}']\n\
         admin.allowed_hosts = ['{ALLOWED}']"
    );
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let generation = stage.generation("aiclk");
    let token_calls = || vendor.token_calls("aiclk").len() + vendor.token_calls("jing").len();
    let token_calls_before = token_calls();

    let tcp = |address: &Address| match address {
        Address::Tcp(address) => *address,
        Address::Unix(_) => panic!("a browser speaks TCP"),
    };
    let addresses = &stage.gateway.addresses;
    let strange = Switch::of_pages(PAGE).await;
    let gateway = Reach::new(Switch::before(tcp(stage.address("aiclk")), PAGE).await);
    let open = RawVendor::start().await;
    let control = Reach::new(Switch::before(open.address, PAGE).await);
    let all = tcp(addresses.gateway.as_ref().expect("a gateway address"));
    let all = Switch::before(all, PAGE).await;
    let admin = Switch::before(addresses.admin, PAGE).await;

    let mut pages = [gateway.pages(strange.port), control.pages(strange.port)].concat();
    let rebound = |switch: &Switch| format!("http://rebound.test:{}", switch.port);
    let whole = |origin: &str, path: &str, base: &str, attempts: &[&str]| {
        page(origin, path, &[base], attempts) + "&whole"
    };
    let evil = format!("http://evil.test:{}", strange.port);
    pages.push(page(&rebound(&all), "/nowhere", &[&rebound(&all)], &["fetch"]));
    for base in
        [format!("http://localhost:{}", admin.port), format!("http://{ALLOWED}:{}", admin.port)]
    {
        pages.push(whole(&evil, REFRESH, &base, &CHANGING));
    }
    pages.push(whole(&rebound(&admin), REFRESH, &rebound(&admin), &["xhr-post", "own-disguised"]));
    pages.push(whole(&rebound(&admin), "/status", &rebound(&admin), &["fetch", "own-disguised"]));
    // Its page is for people, and what follows it for that page alone.
    let local = format!("http://localhost:{}", admin.port);
    pages.push(whole(&evil, "/", &local, &["iframe", "object", "fetch", "fetch-no-cors"]));
    pages.push(whole(&evil, "/events", &local, &["event-source", "fetch", "fetch-no-cors", "img"]));
    pages.push(whole(&rebound(&admin), "/events", &rebound(&admin), &["fetch", "event-source"]));
    let mut frames = Serializer::new(format!("{evil}/page?path=/"));
    frames.extend_pairs(pages.iter().map(|page| ("frame", page)));

    let browser = Chromium::start(&["evil.test", "rebound.test", ALLOWED]);
    let tabs = [&gateway, &control].map(|reach| reach.same_site_page(strange.port));
    let links = [&gateway, &control].map(|reach| reach.link(strange.port));
    for url in tabs.iter().chain(&links).chain([&frames.finish()]) {
        browser.open(url).await;
    }
    pages.extend(tabs);
    let reports = || -> Vec<Value> {
        let switches = [&strange, &gateway.switch, &control.switch, &all, &admin];
        switches.iter().flat_map(|switch| switch.reports()).collect()
    };
    done("pages have not ended", || {
        let ended = reports();
        let ended: BTreeSet<_> =
            ended.iter().filter_map(|report| report["page"].as_str()).collect();
        pages.iter().filter(|page| !ended.contains(page.as_str())).cloned().collect()
    })
    .await;
    // The control shows that what the gateway refused was really sent.
    done("not sent to a server that refuses nothing", || control.missing()).await;
    done("did not reach the gateway", || gateway.missing()).await;
    browser.close().await;

    assert!(vendor.calls().is_empty(), "{:?}", vendor.calls());
    assert_eq!((token_calls(), stage.generation("aiclk")), (token_calls_before, generation));
    let sent = [&gateway.switch, &all, &admin].map(Switch::exchanges).concat();
    for Exchange { request, answer } in &sent {
        assert_eq!(answer.status(), 403, "{request:?}: {answer:?}");
        assert!(
            !answer.names().iter().any(|name| name.starts_with("access-control")),
            "{answer:?}"
        );
        let text = answer.text();
        assert!(!text.contains("access-1") && !text.contains("/jing/"), "{request:?}: {text}");
    }
    let counted = soon("all refusals are counted", async {
        let labels = |reason| [("reason", reason)];
        let name = "tokenward_guard_refusals_total";
        let (host, browser) = (labels("host"), labels("browser"));
        stage.metric(name, &host).await + stage.metric(name, &browser).await
    });
    assert_eq!(counted.await, sent.len() as f64);

    // A rebound page sees an answer as its own, and finds a refusal. Others see nothing at all.
    for switch in [&gateway.switch, &all, &admin, &strange] {
        for (page, answer) in switch.reports().iter().flat_map(answers) {
            let says = |what: &str| answer["body"].as_str().is_some_and(|body| body.contains(what));
            let refused = says("host-refused") || says("not by this name");
            assert!(refused && switch.port != strange.port, "{page}: {answer}");
        }
    }
    let read = control.switch.reports().iter().flat_map(answers).count();
    assert!(read > 0, "a rebound page could read nothing from a server that refuses nothing");
}

/// What a page could look into.
fn answers(report: &Value) -> Vec<(String, Value)> {
    let answers = report["answers"].as_object().expect("answers by attempt");
    answers
        .iter()
        .map(|(name, answer)| (format!("{} {name}", report["page"]), answer.clone()))
        .collect()
}

const REFRESH: &str = "/-/refresh/aiclk";
/// Each asks for a new token.
const CHANGING: [&str; 6] =
    ["post-text", "post-urlencoded", "xhr-post", "form-post", "beacon", "fetch-keepalive"];
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A browser takes a few seconds, and many on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
