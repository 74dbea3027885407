//! The list of clients changes while the gateway runs, and who may act from another machine (p21).

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::symlink;
use std::{fs, io};

use crate::support::clients::{BILLING, Gated, LIST, REPORTS, ask};
use crate::support::{Caller, Message, RawVendor, Stage, logs};

const GET: &str = "GET /openapi/v1/x";
const NEXT: &str = "billing-key-of-next-month-77";

fn key(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

async fn reloaded(stage: &Stage, outcome: &str, times: f64) {
    let labels = [("outcome", outcome)];
    stage.metric_becomes("tokenward_clients_reloads_total", &labels, times).await;
}

#[tokio::test]
async fn p21_a_key_is_changed_without_a_restart() {
    let gated = Gated::start().await;
    let mut caller = gated.stage.caller("aiclk").await;
    assert_eq!(ask(&mut caller, GET, &[&key(BILLING)]).await.status(), 200);
    assert_eq!(ask(&mut caller, GET, &[&key(NEXT)]).await.status(), 403);

    // Both for a while.
    let both = LIST.replace(&format!("'{BILLING}'"), &format!("['{BILLING}', '{NEXT}']"));
    gated.replace("clients.toml", &both);
    reloaded(&gated.stage, "ok", 1.0).await;
    for good in [BILLING, NEXT, REPORTS] {
        assert_eq!(ask(&mut caller, GET, &[&key(good)]).await.status(), 200);
    }

    // The old one no more: at once, and on a connection that has been open all the time.
    gated.replace("clients.toml", &LIST.replace(BILLING, NEXT));
    reloaded(&gated.stage, "ok", 2.0).await;
    let answer = ask(&mut caller, GET, &[&key(BILLING)]).await;
    assert_eq!(answer.one("tokenward-error"), Some("client-refused"));
    for good in [NEXT, REPORTS] {
        assert_eq!(ask(&mut caller, GET, &[&key(good)]).await.status(), 200);
    }
    let counted = [("client", "billing"), ("status", "2xx")];
    assert_eq!(gated.stage.metric("tokenward_client_requests_total", &counted).await, 4.0);
}

#[tokio::test]
async fn p21_a_file_with_a_key_is_followed_too() {
    let gated = Gated::start().await;
    gated.replace("reports.key", NEXT);
    reloaded(&gated.stage, "ok", 1.0).await;
    assert_eq!(gated.call(GET, &[&key(REPORTS)]).await.status(), 403);
    assert_eq!(gated.call(GET, &[&key(NEXT)]).await.status(), 200);
}

#[tokio::test]
async fn p21_a_bad_list_changes_nothing_and_is_told() {
    logs::capture();
    let gated = Gated::start().await;
    // Its first half would shut somebody out, and let somebody in.
    let bad = format!("[new]\nkey = '{NEXT}'\n[reports]\nkey = 'too-short'\n");
    gated.replace("clients.toml", &bad);
    reloaded(&gated.stage, "refused", 1.0).await;
    for (shown, status) in [(BILLING, 200), (REPORTS, 200), (NEXT, 403)] {
        assert_eq!(gated.call(GET, &[&key(shown)]).await.status(), status, "{shown}");
    }
    let log = logs::captured();
    let place = "clients.toml:4:7: error: a key has at least 24 bytes";
    assert!(log.contains(place) && !log.contains("too-short") && !log.contains(NEXT), "{log}");

    // Neither does one that is gone.
    fs::remove_file(gated.path("clients.toml")).expect("removed");
    reloaded(&gated.stage, "refused", 2.0).await;
    assert_eq!(gated.call(GET, &[&key(BILLING)]).await.status(), 200);

    // An empty one is a list: of nobody.
    gated.replace("clients.toml", "");
    reloaded(&gated.stage, "ok", 1.0).await;
    assert_eq!(gated.call(GET, &[&key(BILLING)]).await.status(), 403);
}

/// A mounted Secret: `clients.toml` leads to `..data/clients.toml`, and `..data` to a folder that
/// another takes the place of.
#[tokio::test]
async fn p21_a_mounted_secret_is_followed_through_its_links() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let publish = |version: &str, billing: &str| -> io::Result<()> {
        fs::create_dir(at(version))?;
        let list = LIST.replace(&format!("'{BILLING}'"), "{ file = 'billing.key' }");
        fs::write(at(version).join("clients.toml"), list)?;
        fs::write(at(version).join("billing.key"), billing)?;
        fs::write(at(version).join("reports.key"), REPORTS)?;
        symlink(version, at("..data_tmp"))?;
        fs::rename(at("..data_tmp"), at("..data"))
    };
    publish("..2026_01", BILLING).expect("published");
    for name in ["clients.toml", "billing.key", "reports.key"] {
        symlink(format!("..data/{name}"), at(name)).expect("a link");
    }
    let vendor = RawVendor::start().await;
    let config = format!("clients.file = '{}'", at("clients.toml").display());
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let mut caller = stage.caller("aiclk").await;
    assert_eq!(ask(&mut caller, GET, &[&key(BILLING)]).await.status(), 200);
    publish("..2026_02", NEXT).expect("published");
    fs::remove_dir_all(at("..2026_01")).expect("removed");
    reloaded(&stage, "ok", 1.0).await;
    assert_eq!(ask(&mut caller, GET, &[&key(BILLING)]).await.status(), 403);
    assert_eq!(ask(&mut caller, GET, &[&key(NEXT)]).await.status(), 200);
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

async fn admin(stage: &Stage, line: &str, fields: &[&str]) -> Message {
    let address = stage.gateway.addresses.admin;
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let mut caller = Caller::tcp(address).await;
    caller.send(format!("{line} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n")).await;
    caller.answer().await
}

#[tokio::test]
async fn p21_from_another_machine_only_an_admin_acts() {
    let Some(own) = own_address() else {
        eprintln!("this machine has no address beside loopback");
        return;
    };
    let remote = format!("admin.listen = '{own}:0'\nadmin.allow_remote = true");
    let list = LIST.replace(
        "[reports]\n",
        "[ops]\nkey = 'ops-key-0123456789abcdef'\nadmin = true\n[reports]\n",
    );
    let gated = Gated::with(&list, &remote).await;
    let ops = key("ops-key-0123456789abcdef");
    let before = gated.stage.generation("aiclk");
    let length = "Content-Length: 0";
    let twice = format!("{ops}\r\n{ops}");
    let ours = format!("Proxy-{ops}");
    for fields in [
        vec![length],
        vec![length, &key(BILLING)],
        vec![length, &key("wrong-key-wrong-key-wrong-key")],
        vec![length, &twice],
        vec![length, &ours],
    ] {
        for line in ["POST /-/refresh/aiclk", "POST /-/refresh/none", "DELETE /"] {
            let answer = admin(&gated.stage, line, &fields).await;
            assert_eq!(answer.status(), 403, "{line} {fields:?}: {answer:?}");
            assert!(!answer.text().contains("aiclk"), "{answer:?}");
        }
    }
    assert_eq!(gated.stage.generation("aiclk"), before);
    assert_eq!(admin(&gated.stage, "GET /readyz", &[]).await.status(), 200);
    let answer = admin(&gated.stage, "POST /-/refresh/aiclk", &[length, &ops]).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(gated.stage.generation("aiclk"), before + 1);
    // Web pages still may not, whatever they hold.
    let fields = [length, &*ops, "Origin: http://evil.example"];
    assert_eq!(admin(&gated.stage, "POST /-/refresh/aiclk", &fields).await.status(), 403);
}

#[tokio::test]
async fn p21_without_clients_nobody_acts_from_another_machine() {
    let Some(own) = own_address() else {
        eprintln!("this machine has no address beside loopback");
        return;
    };
    let remote = format!("admin.listen = '{own}:0'\nadmin.allow_remote = true");
    let stage = Stage::plan().config(&remote).start().await;
    let fields = ["Content-Length: 0"];
    assert_eq!(admin(&stage, "POST /-/refresh/aiclk", &fields).await.status(), 403);
    assert_eq!(admin(&stage, "GET /status", &[]).await.status(), 200);
}
