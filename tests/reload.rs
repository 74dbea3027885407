//! Another config without a restart: how it comes, and what each change does (p30).

use std::os::unix::fs::symlink;
use std::{fs, io};

use tokenward::sandbox::Settings;

use crate::support::reloading::{Reloading, SECOND, SEED, call, config};
use crate::support::vendors::{Home, client, get, get_until, send};
use crate::support::{Answer, Caller, RawVendor, leaks, until};

const GET: &str = "GET /openapi/v1/x";
const POST: &str = "POST /openapi/v1/x";
const GETS_ONLY: &str = "guard.methods = ['GET']\n";
const OK: &str = "tokenward_config_reloads_total{outcome=\"ok\"}";
const REFUSED: &str = "tokenward_config_reloads_total{outcome=\"refused\"}";

#[tokio::test]
async fn p30_a_signal_a_changed_file_and_a_post_each_bring_the_new_config() {
    let gateway = Reloading::start().await;
    let metrics = gateway.metrics().await;
    for line in [format!("{OK} 0"), format!("{REFUSED} 0")] {
        assert!(metrics.contains(&line), "from the start: {metrics}");
    }
    let mut caller = gateway.caller("aiclk").await;
    assert_eq!(call(&mut caller, POST).await.status(), 200);

    gateway.write(GETS_ONLY);
    assert_eq!(gateway.post().await.json()["outcome"], "ok");
    assert_eq!(call(&mut caller, POST).await.status(), 403, "on the same connection");

    gateway.write("");
    gateway.process.signal("HUP").await;
    gateway.metric(&format!("{OK} 2")).await;
    assert_eq!(call(&mut caller, POST).await.status(), 200);

    // Nobody says anything.
    gateway.write(GETS_ONLY);
    gateway.metric(&format!("{OK} 3")).await;
    assert_eq!(call(&mut caller, POST).await.status(), 403);
    assert!(gateway.metrics().await.contains(&format!("{REFUSED} 0")));
}

/// A mounted ConfigMap: `tokenward.toml` leads to `..data/tokenward.toml`, and `..data` to a folder
/// that another takes the place of.
#[tokio::test]
async fn p30_a_mounted_config_is_followed_through_its_links() {
    let (home, vendor) = (Home::with(""), RawVendor::start().await);
    let at = |name: &str| home.path().join(name);
    let publish = |version: &str, more: &str| -> io::Result<()> {
        fs::create_dir(at(version))?;
        fs::write(at(version).join("tokenward.toml"), config(&vendor, more))?;
        fs::write(at(version).join("seed"), SEED)?;
        symlink(version, at("..data_tmp"))?;
        fs::rename(at("..data_tmp"), at("..data"))
    };
    publish("..2026_01", "").expect("published");
    fs::remove_file(home.config()).expect("removed");
    for name in ["tokenward.toml", "seed"] {
        symlink(format!("..data/{name}"), at(name)).expect("a link");
    }
    let process = crate::support::process::gateway(&home.config());
    let process = crate::support::process::Process::start(process);
    let url = process.upstream("aiclk").await;
    let mut caller = Caller::tcp(url["http://".len()..].parse().expect("an address")).await;
    assert_eq!(call(&mut caller, POST).await.status(), 200);
    publish("..2026_02", GETS_ONLY).expect("published");
    fs::remove_dir_all(at("..2026_01")).expect("removed");
    let metrics = process.admin().await + "/metrics";
    get_until(metrics, |it| it.body.contains(&format!("{OK} 1"))).await;
    assert_eq!(call(&mut caller, POST).await.status(), 403);
}

#[tokio::test]
async fn p30_what_stays_the_same_keeps_token_and_connections() {
    let gateway = Reloading::start().await;
    let mut caller = gateway.caller("aiclk").await;
    assert_eq!(call(&mut caller, GET).await.status(), 200);
    for _ in 0..5 {
        gateway.takes(GETS_ONLY).await;
        gateway.takes("").await;
        assert_eq!(call(&mut caller, GET).await.status(), 200);
    }
    let of = |call: &crate::support::vendor::Call| call.connection;
    let connections: Vec<_> = gateway.vendor.calls().iter().map(of).collect();
    assert!(connections.windows(2).all(|pair| pair[0] == pair[1]), "{connections:?}");
    assert_eq!(gateway.vendor.token_calls("aiclk").len(), 1);
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("tokenward_token_generation{upstream=\"aiclk\"} 1"), "{metrics}");
    assert!(metrics.contains("method=\"GET\",status=\"200\",upstream=\"aiclk\"} 6"), "{metrics}");
}

#[tokio::test]
async fn p30_rules_limits_and_times_change_for_the_next_request_of_a_connection() {
    let gateway = Reloading::start().await;
    let mut caller = gateway.caller("aiclk").await;
    let odd = || Answer::json(200, r#"{"code":77001,"message":"no more"}"#);
    gateway.vendor.will(odd());
    assert!(call(&mut caller, GET).await.one("tokenward-retry").is_none());

    gateway
        .takes("[[upstream.aiclk.reject]]\npointer = '/code'\nin = [77001]\nverdict = 'expired'\n")
        .await;
    gateway.vendor.will(odd());
    assert_eq!(call(&mut caller, GET).await.one("tokenward-retry"), Some("recovered"));

    let target = format!("GET /openapi/v1/x?{}", "a".repeat(600));
    assert_eq!(call(&mut caller, &target).await.status(), 200);
    gateway
        .takes(
            "limits.body = '10B'\ntimeouts.first_byte = '50ms'\n[limits]\ntarget_bytes = '512B'\n",
        )
        .await;
    gateway.vendor.will(Answer::silence());
    assert_eq!(call(&mut caller, GET).await.status(), 504);
    let mut other = gateway.caller("aiclk").await;
    other
        .send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n0123456789a")
        .await;
    assert_eq!(other.answer().await.status(), 413);
    assert_eq!(call(&mut caller, &target).await.status(), 414);
}

#[tokio::test]
async fn p30_another_base_url_is_where_the_next_request_goes() {
    let gateway = Reloading::start().await;
    let elsewhere = RawVendor::start().await;
    let mut caller = gateway.caller("aiclk").await;
    assert_eq!(call(&mut caller, GET).await.status(), 200);
    let text = config(&elsewhere, "");
    gateway.replace("tokenward.toml", &text);
    gateway.reloads().await;
    assert_eq!(call(&mut caller, GET).await.status(), 200);
    assert_eq!((gateway.vendor.calls().len(), elsewhere.calls().len()), (1, 1));
    // The token is the account's, and stays; the next one comes from there.
    assert_eq!(elsewhere.token_calls("aiclk").len(), 0);
    let refresh = format!("{}/-/refresh/aiclk", gateway.admin);
    assert_eq!(send(client().post(refresh)).await.expect("an answer").status, 200);
    assert_eq!(elsewhere.token_calls("aiclk").len(), 1);
    // What was kept for later is closed.
    gateway.metric("tokenward_upstream_connections{state=\"idle\",upstream=\"aiclk\"} 1").await;
}

#[tokio::test]
async fn p20_a_seed_that_changes_in_its_file_wins_without_a_restart() {
    let gateway = Reloading::start().await;
    let next = "seed-from-the-console-5678";
    leaks::secret(next);
    gateway.replace("seed", next);
    let generation = "tokenward_token_generation{upstream=\"aiclk\"} 2";
    gateway.metric(generation).await;
    let calls = gateway.vendor.token_calls("aiclk");
    assert_eq!(calls.len(), 2);
    assert!(calls[1].text().contains(next), "{:?}", calls[1]);
    // It has been presented, and is no news any more.
    gateway.reloads().await;
    gateway.reloads().await;
    assert_eq!(gateway.vendor.token_calls("aiclk").len(), 2);
}

#[tokio::test]
async fn p30_another_account_has_another_token_and_requests_wait_for_it() {
    let gateway = Reloading::start().await;
    let mut caller = gateway.caller("aiclk").await;
    assert_eq!(call(&mut caller, GET).await.status(), 200);
    let text = config(&gateway.vendor, "").replace("\"id\"", "\"other\"");
    gateway.replace("tokenward.toml", &text);
    gateway.reloads().await;
    assert_eq!(call(&mut caller, GET).await.status(), 200);
    let last = gateway.vendor.calls().pop().expect("a call");
    let token = gateway.vendor.token("aiclk", 2);
    assert_eq!(last.request.one("ogw_access_token"), Some(&*token));
    get_until(format!("{}/readyz", gateway.admin), |it| it.status == 200).await;
}

#[tokio::test]
async fn p30_an_upstream_is_added_and_removed_with_its_listener() {
    let gateway = Reloading::start().await;
    let mut first = gateway.caller("aiclk").await;
    gateway.takes(SECOND).await;
    let mut second = gateway.caller("second").await;
    assert_eq!(call(&mut second, GET).await.status(), 200);
    let ready = get_until(format!("{}/readyz", gateway.admin), |it| it.status == 200).await;
    assert_eq!(ready.json()["upstreams"]["second"]["ready"], true);
    let status = get(format!("{}/status", gateway.admin)).await.json();
    assert_eq!(status["upstreams"]["second"]["ready"], true);

    // What is under way by the one that goes comes to its end.
    let hand = gateway.vendor.by_hand();
    let url = gateway.process.upstream("second").await;
    let mut under_way = gateway.caller("second").await;
    under_way.send(format!("{GET} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let mut hand = hand.arrives().await;
    hand.request().await;
    gateway.takes("").await;
    assert_eq!(second.rest().await, b"", "an idle connection is closed");
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(under_way.answer().await.text(), "ok");
    assert_eq!(under_way.rest().await, b"");
    let address: std::net::SocketAddr = url["http://".len()..].parse().expect("an address");
    until("the address is free", || std::net::TcpStream::connect(address).is_err()).await;
    assert_eq!(call(&mut first, GET).await.status(), 200);
    let ready = get(format!("{}/readyz", gateway.admin)).await.json();
    assert!(ready["upstreams"]["second"].is_null(), "{ready}");
    let metrics = gateway.metrics().await;
    let gauges =
        ["token_generation", "requests_in_flight", "upstream_ready", "upstream_connections"];
    for gauge in gauges {
        let of_second = |line: &&str| line.contains(gauge) && line.contains("\"second\"");
        assert_eq!(metrics.lines().find(of_second), None);
    }
    assert!(metrics.contains("status=\"200\",upstream=\"second\"} 2"), "counters stay: {metrics}");
}

#[tokio::test]
async fn p30_a_listener_that_leads_elsewhere_keeps_its_connections() {
    let gateway = Reloading::start().await;
    let other = RawVendor::start().await;
    let url = gateway.process.upstream("aiclk").await;
    let address = &url["http://".len()..];
    let fixed = |name: &str, vendor: &RawVendor| {
        let text = config(vendor, "").replace("[upstream.aiclk]", &format!("[upstream.{name}]"));
        let at = text.rfind("127.0.0.1:0\"").expect("a listener");
        format!("{}{address}{}", &text[..at], &text[at + "127.0.0.1:0".len()..])
    };
    // Its own address was chosen by the system: another config that names it is in the way of it.
    gateway.replace("tokenward.toml", &fixed("aiclk", &gateway.vendor));
    let refused = gateway.post().await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("cannot listen on"), "{}", refused.body);

    // A fixed one goes from one upstream to another.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let free = free.expect("a free port").to_string();
    let named = |name: &str, vendor: &RawVendor| fixed(name, vendor).replace(address, &free);
    gateway.replace("tokenward.toml", &named("aiclk", &gateway.vendor));
    gateway.reloads().await;
    let mut caller = Caller::tcp(free.parse().expect("an address")).await;
    assert_eq!(call(&mut caller, GET).await.status(), 200);
    gateway.replace("tokenward.toml", &named("renamed", &other));
    gateway.reloads().await;
    assert_eq!(call(&mut caller, GET).await.status(), 200, "on the same connection");
    assert_eq!((gateway.vendor.calls().len(), other.calls().len()), (1, 1));
}

#[tokio::test]
async fn p30_without_a_file_there_is_nothing_to_read_again() {
    let stage = crate::support::Stage::plan().sandbox(|it| *it = Settings::default()).start().await;
    let mut caller = Caller::tcp(stage.gateway.addresses.admin).await;
    caller.send("POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    let answer = caller.answer().await;
    assert_eq!(answer.status(), 409, "{answer:?}");
}
