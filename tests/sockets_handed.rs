//! Sockets that systemd opens and hands over (p29): they serve as if the gateway had bound them, and whoever
//! calls while there is no gateway waits and is answered by the next.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use tokenward::app::Address;

use crate::support::process::{Process, after, gateway};
use crate::support::systemd::with_sockets;
use crate::support::vendors::{Home, client, get_until, send};
use crate::support::{Answer, Caller, RawVendor, soon};

const CALL: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ANY: &str = "127.0.0.1:0";

/// Two upstreams of one vendor, which listen as is said.
fn config(vendor: &RawVendor, listen: [&str; 2]) -> String {
    let upstream = |name: &str, listen: &str| {
        format!(
            "[upstream.{name}]\nvendor = \"aiclk\"\nlisten = \"{listen}\"\nbase_url = \"http://{}\"\n\
             credentials = {{ client_id = \"{name}\", refresh_token = \"seed-of-{name}\" }}\n",
            vendor.address
        )
    };
    let head = "workers = 2\nadmin.listen = \"127.0.0.1:0\"\nstore.kind = \"memory\"\n";
    head.to_owned() + &upstream("one", listen[0]) + &upstream("two", listen[1])
}

/// What a systemd has open.
fn sockets(folder: &Path) -> (TcpListener, UnixListener) {
    let tcp = TcpListener::bind(ANY).expect("a free port");
    let unix = UnixListener::bind(folder.join("two.sock")).expect("a path");
    (tcp, unix)
}

fn address_of(tcp: &TcpListener) -> SocketAddr {
    tcp.local_addr().expect("an address")
}

fn again(tcp: &TcpListener) -> OwnedFd {
    tcp.try_clone().expect("once more").into()
}

async fn is_ready(process: &Process) {
    get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
}

#[tokio::test]
async fn p29_sockets_that_are_handed_over_serve_and_stay_when_the_gateway_goes() {
    let (vendor, home) = (RawVendor::start().await, Home::with(""));
    let (tcp, unix) = sockets(home.path());
    let path = home.path().join("two.sock");
    let address = address_of(&tcp);
    let listen = [&*address.to_string(), &format!("unix:{}", path.display())];
    home.put("tokenward.toml", &config(&vendor, listen));
    for round in 0..2 {
        vendor.will(Answer::json(200, "{}"));
        vendor.will(Answer::json(200, "{}"));
        // Who calls before there is a gateway waits.
        let mut waiting = Caller::tcp(address).await;
        waiting.send(CALL).await;
        let unix = unix.try_clone().expect("once more");
        let process = with_sockets(&home.config(), vec![again(&tcp), unix.into()]);
        is_ready(&process).await;
        assert_eq!(waiting.answer().await.status(), 200, "round {round}");
        let mut caller = Caller::to(&Address::Unix(path.clone())).await;
        caller.send(CALL).await;
        assert_eq!(caller.answer().await.status(), 200, "round {round}");
        process.signal("TERM").await;
        assert_eq!(process.ended().await.code, Some(0));
        assert!(path.exists(), "the file is systemd's");
    }
}

#[tokio::test]
async fn p29_the_admin_address_may_be_handed_over_too() {
    let (vendor, home) = (RawVendor::start().await, Home::with(""));
    let tcp = TcpListener::bind(ANY).expect("a free port");
    let address = address_of(&tcp);
    let text = config(&vendor, [ANY, ANY]).replacen(ANY, &address.to_string(), 1);
    home.put("tokenward.toml", &text);
    let process = with_sockets(&home.config(), vec![again(&tcp)]);
    assert_eq!(process.admin().await, format!("http://{address}"));
    is_ready(&process).await;
}

#[tokio::test]
async fn p29_a_socket_that_no_listener_wants_is_named_with_the_listeners_that_there_are() {
    let (vendor, home) = (RawVendor::start().await, Home::with(""));
    let (tcp, unix) = sockets(home.path());
    let address = address_of(&tcp).to_string();
    home.put("tokenward.toml", &config(&vendor, [&*address, ANY]));
    let ended = with_sockets(&home.config(), vec![again(&tcp), unix.into()]).ended().await;
    assert_eq!(ended.code, Some(1));
    let path = home.path().join("two.sock");
    let named =
        format!("\"two\" that was handed over (LISTEN_FDS) listens on unix:{}", path.display());
    assert!(ended.stderr.contains(&named), "{}", ended.stderr);
    let there = format!("upstream.one.listen = \"{address}\", upstream.two.listen = \"{ANY}\"");
    assert!(ended.stderr.contains(&there), "{}", ended.stderr);
    assert!(path.exists());
}

#[tokio::test]
async fn p29_what_is_no_listening_socket_is_refused() {
    let (vendor, home) = (RawVendor::start().await, Home::with(""));
    home.put("tokenward.toml", &config(&vendor, [ANY, ANY]));
    let tcp = TcpListener::bind(ANY).expect("a free port");
    let connection = TcpStream::connect(address_of(&tcp)).expect("a connection");
    let file = File::open(home.config()).expect("a file");
    let datagrams = UdpSocket::bind(ANY).expect("a free port");
    let wrong: [OwnedFd; 3] = [connection.into(), file.into(), datagrams.into()];
    for fd in wrong {
        let ended = with_sockets(&home.config(), vec![fd]).ended().await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("\"one\" that was handed over"), "{}", ended.stderr);
        assert!(ended.stderr.contains("Accept=no"), "{}", ended.stderr);
    }
}

/// The variables may come from a parent for which they were meant.
#[tokio::test]
async fn p29_sockets_for_another_process_are_left_alone() {
    let (vendor, home) = (RawVendor::start().await, Home::with(""));
    home.put("tokenward.toml", &config(&vendor, [ANY, ANY]));
    for variables in ["export LISTEN_FDS=7 LISTEN_PID=1;", "export LISTEN_FDS=7;"] {
        let process = Process::start(after(variables, &gateway(&home.config())));
        is_ready(&process).await;
        process.signal("TERM").await;
        assert_eq!(process.ended().await.code, Some(0), "{variables}");
    }
}

#[tokio::test]
async fn p29_a_socket_that_a_reload_gives_up_is_closed_and_bound_anew_when_it_comes_back() {
    let (vendor, home) = (RawVendor::start().await, Home::with(""));
    let tcp = TcpListener::bind(ANY).expect("a free port");
    let address = address_of(&tcp);
    let with = config(&vendor, [&*address.to_string(), ANY]);
    home.put("tokenward.toml", &with);
    let process = with_sockets(&home.config(), vec![tcp.into()]);
    is_ready(&process).await;
    answers(&vendor, address).await;
    reload(&process, &home, &with.replace("workers = 2", "workers = 2\nlimits.headers = 99")).await;
    answers(&vendor, address).await;
    reload(&process, &home, &config(&vendor, [ANY, ANY])).await;
    soon("nobody listens there", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {}
    })
    .await;
    reload(&process, &home, &with).await;
    answers(&vendor, address).await;
}

async fn answers(vendor: &RawVendor, address: SocketAddr) {
    vendor.will(Answer::json(200, "{}"));
    let mut caller = Caller::tcp(address).await;
    caller.send(CALL).await;
    assert_eq!(caller.answer().await.status(), 200);
}

async fn reload(process: &Process, home: &Home, text: &str) {
    let next = home.put("next", text);
    std::fs::rename(next, home.config()).expect("renamed");
    let answered = send(client().post(process.admin().await + "/-/reload")).await;
    let answered = answered.expect("an answer");
    assert_eq!(answered.status, 200, "{}", answered.body);
}
