//! Every socket is bound before anything serves.

mod file;

use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::path::PathBuf;

use tokio::net::TcpListener;
use tracing::info;

use crate::config::{Config, ListenConfig};
use crate::headers::is_address;
use crate::proxy::listener::Socket;
use crate::proxy::route::Entrance;
use crate::units::Listen;
use crate::worker::Listener;

pub(super) use file::SocketFile;

/// Where a gateway listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub admin: SocketAddr,
    pub gateway: Option<Address>,
    /// By the upstream's name.
    pub upstreams: Vec<(String, Address)>,
    /// Callers by TCP speak TLS.
    pub tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
pub(super) struct Bound {
    pub(super) addresses: Addresses,
    pub(super) admin: TcpListener,
    pub(super) listeners: Vec<Listener>,
    /// Those of the listeners that are files.
    pub(super) files: Vec<SocketFile>,
}

/// The hosts by which something of ours may be called.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    pub(super) names: Vec<String>,
    /// It is bound to all addresses of this machine, and an address cannot be rebound as a name can.
    pub(super) any_address: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key})")]
pub struct BindError {
    address: String,
    /// The key of the config.
    key: String,
    #[source]
    source: io::Error,
}

pub(super) fn bind(config: &Config) -> Result<Bound, BindError> {
    let error = |address: &dyn Display, key: String| {
        let address = address.to_string();
        move |source| BindError { address, key, source }
    };
    let admin_key = "admin.listen".to_owned();
    let admin = bind_admin(config.admin).map_err(error(&config.admin, admin_key.clone()))?;
    let admin_address = admin.local_addr().map_err(error(&config.admin, admin_key))?;

    let (mut listeners, mut files) = (Vec::new(), Vec::new());
    let mut gateway = None;
    if let Some(listen) = &config.gateway {
        let key = "gateway.listen".to_owned();
        let Opened { socket, address, file } = open(listen).map_err(error(&listen.address, key))?;
        listeners.push((socket, Entrance::Gateway));
        files.extend(file);
        gateway = Some(address);
    }
    let mut upstreams = Vec::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let Some(listen) = &upstream.listen else {
            continue;
        };
        let key = format!("upstream.{}.listen", upstream.name);
        let Opened { socket, address, file } = open(listen).map_err(error(&listen.address, key))?;
        listeners.push((socket, Entrance::Upstream(index)));
        files.extend(file);
        upstreams.push((upstream.name.clone(), address));
    }
    let tls = config.callers_tls.is_some();
    let addresses = Addresses { admin: admin_address, gateway, upstreams, tls };
    Ok(Bound { addresses, admin, listeners, files })
}

impl Addresses {
    pub fn upstream(&self, name: &str) -> Option<&Address> {
        self.upstreams.iter().find(|(known, _)| known == name).map(|(_, address)| address)
    }

    /// The hosts by which callers may name the listeners of one upstream.
    pub(super) fn hosts_of(&self, upstream: &str) -> Hosts {
        let own = self.upstream(upstream).into_iter().chain(&self.gateway);
        let tcp = own.filter_map(|address| match address {
            Address::Tcp(address) => Some(address),
            Address::Unix(_) => None,
        });
        Hosts::of(tcp)
    }

    /// Tells where to call, which with port 0 nobody knows otherwise.
    pub(super) fn log(&self) {
        info!(address = %format_args!("http://{}", self.admin), "the admin address listens");
        if let Some(address) = &self.gateway {
            let address = self.url(address);
            info!(address, "the gateway address listens");
        }
        for (upstream, address) in &self.upstreams {
            let address = self.url(address);
            info!(upstream, address, "the upstream's address listens");
        }
    }

    fn url(&self, address: &Address) -> String {
        match address {
            Address::Tcp(address) if self.tls => format!("https://{address}"),
            address => address.to_string(),
        }
    }
}

impl Hosts {
    /// Of what listens on these addresses, and of this machine.
    pub(super) fn of<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> Self {
        let names = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into();
        let mut hosts = Self { names, any_address: false };
        for address in addresses {
            let ip = address.ip();
            if ip.to_canonical().is_unspecified() {
                hosts.any_address = true;
            } else {
                // A caller of `[::ffff:192.0.2.1]` says as a rule that it calls 192.0.2.1.
                hosts.names.extend([host_of(ip), host_of(ip.to_canonical())]);
            }
        }
        hosts
    }

    /// Whether callers mean this machine by that host.
    pub(super) fn contain(&self, host: &str) -> bool {
        self.names.iter().any(|name| name == host) || (self.any_address && is_address(host))
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// On the runtime that starts the gateway; the others are taken over by the workers'.
fn bind_admin(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdTcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A socket that is bound.
struct Opened {
    socket: Socket,
    address: Address,
    file: Option<SocketFile>,
}

fn open(listen: &ListenConfig) -> io::Result<Opened> {
    match &listen.address {
        Listen::Tcp(address) => {
            let socket = StdTcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = Address::Tcp(socket.local_addr()?);
            Ok(Opened { socket: Socket::Tcp(socket), address, file: None })
        }
        Listen::Unix(path) => {
            let (socket, file) = file::bind(path, &listen.socket)?;
            socket.set_nonblocking(true)?;
            let address = Address::Unix(path.clone());
            Ok(Opened { socket: Socket::Unix(socket), address, file: Some(file) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(addresses: &[&str]) -> Hosts {
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|address| address.parse().expect("an address")).collect();
        Hosts::of(&addresses)
    }

    #[test]
    fn p22_what_listens_on_one_address_is_called_by_it() {
        let hosts = hosts(&["192.0.2.1:80", "[2001:db8::1]:80", "[::ffff:192.0.2.2]:80"]);
        for (host, ours) in [
            ("192.0.2.1", true),
            ("[2001:db8::1]", true),
            ("192.0.2.2", true),
            ("[::ffff:192.0.2.2]", true),
            ("localhost", true),
            ("127.0.0.1", true),
            ("192.0.2.3", false),
            ("0.0.0.0", false),
            ("gateway.internal", false),
        ] {
            assert_eq!(hosts.contain(host), ours, "{host}");
        }
    }

    /// Browsers take 0.0.0.0 for this machine, and pages may call it.
    #[test]
    fn p22_what_listens_on_all_addresses_is_called_by_any_but_the_unspecified() {
        for all in ["0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80"] {
            let hosts = hosts(&[all]);
            for (host, ours) in [
                ("192.0.2.3", true),
                ("[2001:db8::3]", true),
                ("[0:0::1]", true),
                ("localhost", true),
                ("0.0.0.0", false),
                ("[::]", false),
                ("[0:0:0:0:0:0:0:0]", false),
                ("[::ffff:0.0.0.0]", false),
                ("[::ffff:0:0]", false),
                ("gateway.internal", false),
                ("192.0.2.3.nip.io", false),
                ("3221225987", false),
                ("0300.0.2.3", false),
                ("[2001:db8::3", false),
                ("", false),
            ] {
                assert_eq!(hosts.contain(host), ours, "{all}: {host}");
            }
        }
    }
}
