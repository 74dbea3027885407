//! A config with a mistake changes nothing, and what takes a restart says so (p30).

use std::net::TcpListener;

use crate::support::reloading::{Reloading, call, config};
use crate::support::vendors::{client, get, send};

const GET: &str = "GET /openapi/v1/x";
const POST: &str = "POST /openapi/v1/x";
const GETS_ONLY: &str = "guard.methods = ['GET']\n";

#[tokio::test]
async fn p30_a_bad_config_is_refused_with_its_place_and_the_old_one_goes_on() {
    let gateway = Reloading::start().await;
    let mut caller = gateway.caller("aiclk").await;
    // Its first half alone would shut somebody out.
    let said = gateway.refuses(&format!("{GETS_ONLY}guard.nope = 1\n")).await;
    assert!(said.contains("tokenward.toml:12:7: error: unknown key `nope`"), "{said}");
    assert!(said.contains("12 | guard.nope = *"), "the line itself is shown: {said}");
    assert_eq!(call(&mut caller, POST).await.status(), 200);
    let logged = gateway.process.logged(|it| it["reason"].as_str() == Some(said.trim_end()));
    assert_eq!(logged.await["level"], "ERROR");
    gateway.metric("tokenward_config_last_reload_ok 0").await;

    // Syntax, a value, a file that is not there, a list of clients that is wrong.
    for (more, expected) in [
        ("guard = {\n", "tokenward.toml:11"),
        ("timeouts.idle = 5\n", ":11:17: error: `idle`"),
        ("tls.ca_file = 'none.pem'\n", ":11:15: error"),
        ("[clients]\nfile = 'clients.toml'\n", "clients.toml:1:1: error: the file cannot be read"),
        ("[upstream.other]\nvendor = 'vendor.toml'\nlisten = '127.0.0.1:0'\n", "vendor.toml"),
    ] {
        let said = gateway.refuses(more).await;
        assert!(said.contains(expected), "{more}: {said}");
        assert_eq!(call(&mut caller, POST).await.status(), 200, "{more}");
    }
    // What was missing comes, and brings the whole with it.
    let none = gateway.refuses(&format!("{GETS_ONLY}[clients]\nfile = 'clients.toml'\n")).await;
    assert!(none.contains("cannot be read"), "{none}");
    gateway.replace("clients.toml", "[one]\nkey = 'a-key-of-one-0123456789abcdef'\n");
    gateway.metric("tokenward_config_last_reload_ok 1").await;
    assert_eq!(call(&mut caller, GET).await.status(), 403, "who asks must say who it is");
}

#[tokio::test]
async fn p30_what_takes_a_restart_is_named_and_nothing_else_changes() {
    let gateway = Reloading::start().await;
    let mut caller = gateway.caller("aiclk").await;
    for (from, to, place) in [
        ("workers = 2", "workers = 3", ":2:11: error: `workers` needs a restart"),
        (
            "admin.listen = \"127.0.0.1:0\"",
            "admin.listen = \"127.0.0.1:9\"",
            ":3:16: error: `admin.listen` needs a restart",
        ),
        (
            "store.kind = \"memory\"",
            "store.path = \"tokens.json\"",
            ": error: `store.kind` needs a restart",
        ),
        (
            "workers = 2",
            "workers = 2\nlog.format = 'json'",
            ":3:14: error: `log.format` needs a restart",
        ),
        (
            "workers = 2",
            "workers = 2\ncore_dumps = true",
            ":3:14: error: `core_dumps` needs a restart",
        ),
        (
            "workers = 2",
            "workers = 2\nstore.lease = '9s'",
            ":3:15: error: `store.lease` needs a restart",
        ),
    ] {
        let text = config(&gateway.vendor, GETS_ONLY).replace(from, to);
        gateway.replace("tokenward.toml", &text);
        let refused = gateway.post().await;
        assert_eq!(refused.status, 422, "{to}: {}", refused.body);
        assert!(refused.body.contains(place), "{to}: {}", refused.body);
        assert_eq!(call(&mut caller, POST).await.status(), 200, "{to}");
    }
    gateway.takes(GETS_ONLY).await;
    assert_eq!(call(&mut caller, POST).await.status(), 403);
}

#[tokio::test]
async fn p30_an_address_that_is_taken_is_refused_and_nothing_else_is_left_open() {
    let gateway = Reloading::start().await;
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = gateway.path().join("gateway.sock");
    let taken = held.local_addr().expect("an address");
    let more = format!(
        "[gateway]\nlisten = 'unix:{}'\n[upstream.second]\nvendor = 'aiclk'\nlisten = '{taken}'\n\
         credentials = {{ client_id = 'other', refresh_token = 'other-seed-of-this-test' }}\n",
        socket.display()
    );
    let said = gateway.refuses(&more).await;
    assert!(said.contains(":15:10: error: cannot listen on"), "{said}");
    assert!(!socket.exists(), "what was bound beside it is let go");
    let ready = get(format!("{}/readyz", gateway.admin)).await;
    assert_eq!((ready.status, ready.json()["upstreams"]["second"].is_null()), (200, true));
}

#[tokio::test]
async fn p30_web_pages_may_not_reload_and_others_only_by_post() {
    let gateway = Reloading::start().await;
    let url = format!("{}/-/reload", gateway.admin);
    for (name, value) in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        let answered = send(client().post(&url).header(name, value)).await.expect("an answer");
        assert_eq!(answered.status, 403, "{name}");
    }
    assert_eq!(get(url).await.status, 405);
    gateway.metric("tokenward_config_reloads_total{outcome=\"ok\"} 0").await;
}
