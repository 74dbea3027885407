//! The status page at the admin address, over the wire and in a real Chromium: at the width of a
//! phone, in the dark, without scripts, judged by axe, and while things change.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::chromium::Chromium;
use crate::support::process::Process;
use crate::support::{Answer, Caller, Message, RawVendor, Stage, leaks, soon};

/// What a vendor, or whoever answers in its place, may put into its error.
const HOSTILE: &str = "<script>injected = 1</script><img src=x onerror='injected = 2'><b>no";

/// A gateway of whose upstreams one has a token and cannot renew it.
async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    let refusal = json!({ "code": 40101, "message": HOSTILE, "msg": HOSTILE }).to_string();
    for _ in 0..20 {
        vendor.token_endpoint_will("aiclk", Answer::json(200, &refusal));
    }
    assert_eq!(stage.refresh("aiclk").await.status(), 502);
    (vendor, stage)
}

async fn ask(stage: &Stage, head: &str) -> (Message, Caller) {
    let mut caller = Caller::tcp(stage.gateway.addresses.admin).await;
    caller.send(format!("{head}\r\n\r\n")).await;
    (caller.answer_to_head().await, caller)
}

/// A frame that listeners are sent.
async fn frame(caller: &mut Caller) -> String {
    let enough = |message: &Message| message.text().contains("\n\n");
    let answer = caller.answer_so_far(enough).await;
    assert_eq!((answer.status(), answer.one("content-type")), (200, Some("text/event-stream")));
    leaks::look_into("a frame", &answer.raw);
    answer.text()
}

async fn listener(stage: &Stage) -> Caller {
    let mut caller = Caller::tcp(stage.gateway.addresses.admin).await;
    caller.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    caller
}

#[tokio::test]
async fn p26_the_page_and_its_frames_hold_no_secret_and_nothing_that_runs() {
    let (_vendor, stage) = stage().await;
    let page = stage.admin("/").await;
    assert_eq!((page.status(), page.one("x-frame-options")), (200, Some("DENY")));
    let text = page.text();
    assert!(
        text.contains("&lt;script&gt;injected") && !text.contains("<script>injected"),
        "{text}"
    );
    let frame = frame(&mut listener(&stage).await).await;
    assert!(frame.contains("&lt;script&gt;injected") && !frame.contains("<script"), "{frame}");
    // No link leads to what changes anything, and there is nothing else to press.
    for target in text.split("href=\"").skip(1) {
        let harmless = ["#h-", "status\"", "readyz\"", "metrics\"", "data:image/svg+xml,"];
        assert!(harmless.iter().any(|start| target.starts_with(start)), "{target}");
    }
}

#[tokio::test]
async fn p22_the_page_and_its_frames_are_for_people_and_not_for_other_pages() {
    let stage = Stage::new().await;
    let browser = "User-Agent: Mozilla/5.0\r\nAccept-Language: en";
    for (fields, status) in [
        ("Host: localhost", 200),
        ("Host: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate", 200),
        ("Host: localhost\r\nSec-Fetch-Site: same-origin", 200),
        (&format!("Host: localhost\r\n{browser}"), 200),
        ("Host: rebound.example", 403),
        ("Host: localhost\r\nOrigin: http://evil.example", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site", 403),
        ("Host: localhost\r\nSec-Fetch-Site: same-site", 403),
        (&format!("Host: localhost\r\n{browser}\r\nReferer: http://evil.example/"), 403),
    ] {
        for path in ["/", "/events", "/status"] {
            let (answer, _) = ask(&stage, &format!("GET {path} HTTP/1.1\r\n{fields}")).await;
            assert_eq!(answer.status(), status, "{path} {fields}");
            assert!(answer.one("access-control-allow-origin").is_none());
            assert_eq!(answer.one("cache-control"), Some("no-store"));
        }
    }
    for (method, path, status) in
        [("HEAD", "/", 200), ("HEAD", "/events", 405), ("POST", "/", 405), ("POST", "/events", 405)]
    {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0");
        assert_eq!(ask(&stage, &head).await.0.status(), status, "{method} {path}");
    }
}

#[tokio::test]
async fn p29_listeners_are_bounded_and_hold_up_no_drain() {
    let stage = Stage::new().await;
    let mut listeners = Vec::new();
    for _ in 0..16 {
        let mut caller = listener(&stage).await;
        assert!(frame(&mut caller).await.starts_with("data: {"));
        listeners.push(caller);
    }
    let one_more = "GET /events HTTP/1.1\r\nHost: localhost";
    assert_eq!(ask(&stage, one_more).await.0.status(), 503);
    // A seat that is left is free, and the others still answer.
    listeners.pop();
    soon("a seat", async { while ask(&stage, one_more).await.0.status() != 200 {} }).await;
    assert_eq!(stage.admin("/healthz").await.status(), 200);

    let Stage { gateway, .. } = stage;
    assert_eq!(soon("the drain ends", gateway.stop()).await, 0);
    for listener in listeners {
        listener.rest().await;
    }
}

#[tokio::test]
async fn p29_people_see_how_things_stand_in_any_browser() {
    let (_vendor, stage) = stage().await;
    let admin = stage.gateway.addresses.admin;
    let browser = Chromium::start(&[]);
    let axe = axe();
    let plan = json!({
        "page": format!("http://localhost:{}/", admin.port()),
        "refresh": format!("http://{admin}/-/refresh/jing"),
        "devtools": browser.port().await,
        "axe": axe,
        "pictures": pictures(),
    });
    let mut look = Command::new("node");
    look.arg(root().join("tests/page/look.cjs")).arg(plan.to_string());
    look.env("NODE_PATH", "/usr/share/nodejs");
    let look = Process::start(look);
    let mut found = Vec::<Value>::new();
    while found.len() < LOOKS + 1 {
        let said = look.said(|text| text.lines().count() > found.len()).await;
        let line = said.lines().nth(found.len()).expect("one line more");
        found.push(serde_json::from_str(line).expect("a finding"));
        assert!(found.last().is_some_and(|one| one["error"].is_null()), "{line}");
    }
    for one in &found {
        assert_eq!(one["faults"], json!([]), "the console is empty: {one}");
    }
    for one in found.iter().filter(|one| one["look"].is_object()) {
        let (way, html) = (&one["look"], one["html"].as_str().expect("the page"));
        assert_eq!(one["overflows"], false, "{way}");
        for part in
            ["Ready.", "ready, but look", "What to do", "&lt;script&gt;injected", "Last hour"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
        if axe.is_some() && way["scripts"] == true {
            assert_eq!(one["violations"], json!([]), "{way}");
        }
    }
    let live = &found[LOOKS]["live"];
    assert_eq!((&live["status"], &live["loads"]), (&json!(200), &json!(1)), "{live}");
    assert_eq!((&live["before"], &live["after"]), (&json!("1,1"), &json!("1,2")), "{live}");
    assert_eq!((&live["stayed"], &live["announced"]), (&json!(true), &json!(0)), "{live}");
    assert_eq!((&live["injected"], &live["scripts"]), (&json!("undefined"), &json!(0)), "{live}");

    let Stage { gateway, .. } = stage;
    assert_eq!(soon("the drain ends", gateway.stop()).await, 0);
    let ended = look.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("\"lost\":\"Nothing heard since"), "{}", ended.stdout);
    browser.close().await;
}

/// Two widths, light and dark, with scripts and without.
const LOOKS: usize = 8;

/// The checker of what people need who do not see well, as `tests/run` has fetched it.
fn axe() -> Option<PathBuf> {
    let found = std::fs::read_dir(root().join("target/tools/lib")).into_iter().flatten().flatten();
    let inside = "site-packages/axe_playwright_python/axe.min.js";
    let file = found.map(|python| python.path().join(inside)).find(|file| file.is_file());
    if file.is_none() {
        eprintln!(
            "SKIPPED: axe is not there, so the page was not judged: `bash tests/run` fetches it"
        );
    }
    file
}

/// A folder for pictures, where somebody wants to see them.
fn pictures() -> Option<String> {
    std::env::var("PAGE_PICTURES").ok()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
