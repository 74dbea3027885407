//! Addresses that other machines reach: who may call there, and by which names (p21, p22).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use tempfile::TempDir;
use tokenward::app::Address;

use crate::support::{Caller, Message, RawVendor, Stage};

use super::{CLIENTS, KEY};

/// An address of this machine that is not loopback. Nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.200:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

struct Remote {
    _folder: TempDir,
    vendor: RawVendor,
    stage: Stage,
}

impl Remote {
    async fn at(ip: IpAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clients = folder.path().join("clients.toml");
        std::fs::write(&clients, CLIENTS).expect("written");
        let address = SocketAddr::new(ip, 0);
        let config = format!(
            "clients.file = '{}'\n\
             gateway = {{ listen = '{address}', allow_remote = true }}\n\
             [upstream.aiclk]\nlisten = '{address}'\nallow_remote = true\n\
             guard.allowed_hosts = ['Gateway.internal']",
            clients.display()
        );
        let vendor = RawVendor::start().await;
        let stage = Stage::plan().before(vendor.address).config(&config).start().await;
        Self { _folder: folder, vendor, stage }
    }

    fn port(&self) -> u16 {
        match self.stage.address("aiclk") {
            Address::Tcp(address) => address.port(),
            Address::Unix(path) => panic!("{}", path.display()),
        }
    }

    async fn get(&self, ip: IpAddr, host: &str, more: &str) -> Message {
        let mut caller = Caller::tcp((ip, self.port()).into()).await;
        caller.send(format!("GET /openapi/x HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).await;
        caller.answer().await
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn p21_another_address_of_this_machine_serves_those_who_have_a_key() {
    let Some(ip) = own_address() else {
        return eprintln!("this machine has no address but loopback");
    };
    let remote = Remote::at(ip).await;
    let key = format!("{KEY}\r\n");
    for host in [ip.to_string(), format!("{ip}:{}", remote.port()), "gateway.internal".to_owned()] {
        assert_eq!(remote.get(ip, &host, &key).await.status(), 200, "{host}");
        let refused = remote.get(ip, &host, "").await;
        assert_eq!(refused.one("tokenward-error"), Some("client-refused"), "{host}: {refused:?}");
    }
    let refused = remote.get(ip, "evil.example", &key).await;
    assert_eq!(refused.one("tokenward-error"), Some("host-refused"), "{refused:?}");
    assert_eq!(remote.vendor.calls().len(), 3);
}

#[tokio::test]
async fn p22_on_all_addresses_any_address_is_ours_but_the_unspecified() {
    for all in ["0.0.0.0", "::"] {
        let remote = Remote::at(all.parse().expect("an address")).await;
        let key = format!("{KEY}\r\n");
        for host in
            ["127.0.0.1", "localhost:1", "192.0.2.9:80", "[2001:db8::9]", "gateway.internal"]
        {
            let answer = remote.get(LOOPBACK, host, &key).await;
            assert_eq!(answer.status(), 200, "{all}, {host}: {answer:?}");
        }
        for host in [
            "0.0.0.0",
            "0.0.0.0:80",
            "[::]",
            "[0:0:0:0:0:0:0:0]:80",
            "[::ffff:0.0.0.0]",
            "evil.example",
            "192.0.2.9.nip.io",
            "3221226505",
            "0xc0.0.2.9",
        ] {
            let refused = remote.get(LOOPBACK, host, &key).await;
            assert_eq!(refused.status(), 403, "{all}, {host}: {refused:?}");
            assert_eq!(refused.one("tokenward-error"), Some("host-refused"), "{all}, {host}");
        }
    }
}

#[tokio::test]
async fn p22_the_admin_address_has_its_names_too() {
    let listen = "admin = { listen = '0.0.0.0:0', allow_remote = true, \
                  allowed_hosts = ['Metrics.internal'] }";
    let stage = Stage::plan().config(listen).start().await;
    let address = SocketAddr::new(LOOPBACK, stage.gateway.addresses.admin.port());
    for (host, status) in [
        ("127.0.0.1", 200),
        ("192.0.2.9:9464", 200),
        ("localhost", 200),
        ("metrics.internal:9464", 200),
        ("0.0.0.0:9464", 403),
        ("[::]", 403),
        ("evil.example", 403),
    ] {
        let mut caller = Caller::tcp(address).await;
        caller.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(caller.answer().await.status(), status, "{host}");
    }
}
