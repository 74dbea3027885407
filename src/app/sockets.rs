//! Every socket is bound before anything serves.

mod file;

use std::fmt::{self, Display};
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::path::PathBuf;

use tokio::net::TcpListener;
use tracing::info;

use crate::browsers::Hosts;
use crate::config::{Config, ListenConfig};
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

    /// By which callers may name the listeners of one upstream.
    pub(super) fn hosts_of(&self, upstream: &str) -> Hosts {
        let own = self.upstream(upstream).into_iter().chain(&self.gateway);
        let tcp = own.filter_map(|address| match address {
            Address::Tcp(address) => Some(Hosts::of(*address)),
            Address::Unix(_) => None,
        });
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        tcp.fold(Hosts::of(loopback), Hosts::and)
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

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
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
