//! Every socket is bound before anything serves by it, and kept for as long as the config names it.

mod file;
mod handed;

use std::fmt::{self, Display};
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::path::PathBuf;

use tokio::net::TcpListener;
use tracing::info;

use crate::browsers::Hosts;
use crate::config::{Config, ListenConfig};
use crate::proxy::listener::Socket;
use crate::units::Listen;
use crate::worker::{Listener, Opened};

use file::SocketFile;
pub use handed::{Handed, HandedError};

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

/// The sockets that callers come in by.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: Vec<Open>,
    /// How many there were ever.
    count: u64,
}

/// One that workers serve.
#[derive(Debug)]
pub(super) struct Open {
    listener: Listener,
    config: ListenConfig,
    address: Address,
    /// It is a file, too, of our own.
    _file: Option<SocketFile>,
}

/// The sockets that another config wants: those that are to stay, and those that are bound for it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) addresses: Addresses,
    pub(super) listeners: Vec<Listener>,
    new: Vec<Open>,
    /// For each worker.
    pub(super) opened: Vec<Vec<Opened>>,
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

impl Sockets {
    /// Takes or binds what `config` wants and is not open yet, for so many workers. Nothing is closed.
    pub(super) fn want(
        &self,
        config: &Config,
        admin: SocketAddr,
        workers: usize,
        handed: &mut Handed,
    ) -> Result<Wanted, BindError> {
        let mut wanted = Wanted {
            addresses: Addresses {
                admin,
                gateway: None,
                upstreams: Vec::new(),
                tls: config.callers_tls.is_some(),
            },
            listeners: Vec::new(),
            new: Vec::new(),
            opened: (0..workers).map(|_| Vec::new()).collect(),
        };
        if let Some(listen) = &config.gateway {
            let address = self.want_one(&mut wanted, None, listen, handed);
            let address = address.map_err(|source| BindError::of("gateway", listen, source))?;
            wanted.addresses.gateway = Some(address);
        }
        for upstream in &config.upstreams {
            let Some(listen) = &upstream.listen else {
                continue;
            };
            let name = upstream.name.clone();
            let table = format!("upstream.{name}");
            let address = self.want_one(&mut wanted, Some(name.clone()), listen, handed);
            let address = address.map_err(|source| BindError::of(&table, listen, source))?;
            wanted.addresses.upstreams.push((name, address));
        }
        Ok(wanted)
    }

    fn want_one(
        &self,
        wanted: &mut Wanted,
        upstream: Option<String>,
        listen: &ListenConfig,
        handed: &mut Handed,
    ) -> io::Result<Address> {
        let of_same =
            self.open.iter().find(|it| it.listener.upstream == upstream && it.config == *listen);
        // What leads elsewhere now is the same socket, unless any would do.
        let open = of_same.or_else(|| {
            let same = self.open.iter().find(|it| it.config.address == listen.address);
            same.filter(|_| !listen.address.is_any_port())
        });
        if let Some(open) = open {
            if open.config != *listen {
                return Err(io::Error::other(NEEDS_RESTART));
            }
            wanted.listeners.push(Listener { number: open.listener.number, upstream });
            return Ok(open.address.clone());
        }
        let Bound { socket, address, file } = match handed.take(&listen.address) {
            Some(socket) => Bound::handed(socket, &listen.address)?,
            None => bind(listen)?,
        };
        let number = self.count + wanted.new.len() as u64;
        for opened in &mut wanted.opened {
            opened.push((number, socket.share()?));
        }
        let listener = Listener { number, upstream };
        wanted.listeners.push(listener.clone());
        let (config, known) = (listen.clone(), address.clone());
        wanted.new.push(Open { listener, config, address: known, _file: file });
        Ok(address)
    }

    /// From now on these are the sockets. What is not among them goes, when the workers have let it go.
    pub(super) fn replace(&mut self, listeners: &[Listener], new: Vec<Open>) {
        self.count += new.len() as u64;
        self.open.extend(new);
        self.open.retain_mut(|open| {
            let kept = listeners.iter().find(|it| it.number == open.listener.number);
            kept.iter().for_each(|listener| open.listener.upstream.clone_from(&listener.upstream));
            kept.is_some()
        });
    }

    /// Nobody finds them any more.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

impl Wanted {
    pub(super) fn take_new(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.new)
    }
}

impl BindError {
    fn of(table: &str, listen: &ListenConfig, source: io::Error) -> Self {
        Self { address: listen.address.to_string(), key: format!("{table}.listen"), source }
    }

    /// Where the config names the address.
    pub(super) fn path(&self) -> Vec<&str> {
        self.key.split('.').collect()
    }
}

/// On the runtime that starts the gateway; the others are taken over by the workers'.
pub(super) fn bind_admin(
    address: SocketAddr,
    handed: &mut Handed,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let mut bound = || {
        let listener = match handed.take(&Listen::Tcp(address)) {
            Some(Socket::Tcp(listener)) => listener,
            _ => StdTcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let key = "admin.listen".to_owned();
    bound().map_err(|source| BindError { address: address.to_string(), key, source })
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

    /// Tells where to call, which with port 0 nobody knows otherwise; of those that were known `before`
    /// nothing more.
    pub(super) fn log(&self, before: Option<&Self>) {
        if before.is_none() {
            info!(address = %format_args!("http://{}", self.admin), "the admin address listens");
        }
        let of_gateway = |addresses: &Self| addresses.gateway.as_ref().map(|it| addresses.url(it));
        let known = before.and_then(of_gateway);
        if let Some(address) = of_gateway(self).filter(|it| known.as_ref() != Some(it)) {
            info!(address, "the gateway address listens");
        }
        for (upstream, address) in &self.upstreams {
            let address = self.url(address);
            let known = before.and_then(|before| Some(before.url(before.upstream(upstream)?)));
            if known.as_ref() != Some(&address) {
                info!(upstream, address, "the upstream's address listens");
            }
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

/// A socket that is bound.
struct Bound {
    socket: Socket,
    address: Address,
    file: Option<SocketFile>,
}

impl Bound {
    /// Its file, if it has one, belongs to whoever has opened it.
    fn handed(socket: Socket, listen: &Listen) -> io::Result<Self> {
        let address = match (&socket, listen) {
            (Socket::Tcp(socket), _) => Address::Tcp(socket.local_addr()?),
            (Socket::Unix(_), Listen::Unix(path)) => Address::Unix(path.clone()),
            (Socket::Unix(_), Listen::Tcp(_)) => unreachable!("it was found by its address"),
        };
        Ok(Self { socket, address, file: None })
    }
}

fn bind(listen: &ListenConfig) -> io::Result<Bound> {
    match &listen.address {
        Listen::Tcp(address) => {
            let socket = StdTcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = Address::Tcp(socket.local_addr()?);
            Ok(Bound { socket: Socket::Tcp(socket), address, file: None })
        }
        Listen::Unix(path) => {
            let (socket, file) = file::bind(path, &listen.socket)?;
            socket.set_nonblocking(true)?;
            let address = Address::Unix(path.clone());
            Ok(Bound { socket: Socket::Unix(socket), address, file: Some(file) })
        }
    }
}

const NEEDS_RESTART: &str = "the mode, owner and group of a socket need a restart to change";
