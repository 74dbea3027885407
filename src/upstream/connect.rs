//! New connections: name, TCP, TLS, HTTP/1.1.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::hearing::Hearing;

/// Where an upstream is, and how it is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// For name, TCP and TLS together.
    pub timeout: Duration,
}

/// Makes connections to one upstream.
#[derive(Clone)]
pub struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

/// A connection and the task that drives it.
#[derive(Debug)]
pub struct Connection<B> {
    pub sender: SendRequest<B>,
    pub driver: Driver,
}

/// Dropped while it is idle, a connection ends in good order; dropped in use, at once, whatever is
/// under way: a peer that has stopped reading shall not hold it open.
#[derive(Debug)]
pub struct Driver {
    task: JoinHandle<()>,
    pub in_use: bool,
}

/// A connection could not be had; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the name {host} cannot be resolved")]
    Resolve {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("no connection to {host}:{port}")]
    Tcp {
        host: String,
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error("no TLS with {host}")]
    Tls {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("no connection to {host}:{port} within {}", humantime::format_duration(*.after))]
    Timeout { host: String, port: u16, after: Duration },
    #[error("the connection to {host} ended before a request could be sent")]
    Handshake {
        host: String,
        #[source]
        source: hyper::Error,
    },
}

impl ConnectError {
    /// Whether there was no answer in time.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout { .. } => true,
            Self::Tcp { source, .. } => source.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }
}

impl Connector {
    /// # Errors
    /// When the host is neither a name nor an address that TLS could verify.
    pub fn new(config: Config) -> Result<Self, rustls::pki_types::InvalidDnsNameError> {
        let tls = match config.tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(config.host.clone())?;
                Some((TlsConnector::from(tls), name))
            }
        };
        Ok(Self { host: config.host, port: config.port, tls, timeout: config.timeout })
    }

    /// A connection whose driver runs as a task of this worker.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect<B>(&self) -> Result<Connection<B>, ConnectError>
    where
        B: Body + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (host, port) = (&self.host, self.port);
        let whole = async {
            let tcp = Hearing::new(self.tcp().await?);
            match &self.tls {
                None => handshake(host, tcp).await,
                Some((connector, name)) => {
                    let tls = connector.connect(name.clone(), tcp).await;
                    let tls =
                        tls.map_err(|source| ConnectError::Tls { host: host.clone(), source })?;
                    handshake(host, tls).await
                }
            }
        };
        let late = |_| ConnectError::Timeout { host: host.clone(), port, after: self.timeout };
        timeout(self.timeout, whole).await.map_err(late)?
    }

    /// Tries the name's addresses in the resolver's order. Each has its share of the time: one that
    /// swallows packets (IPv6 that leads nowhere) must not use up that of the next.
    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        let resolve = |source| ConnectError::Resolve { host: self.host.clone(), source };
        let addresses = lookup_host((self.host.as_str(), self.port)).await.map_err(resolve)?;
        let addresses: Vec<_> = addresses.collect();
        let share = self.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Small requests must not wait for acknowledgements.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
            }
        }
        Err(ConnectError::Tcp { host: self.host.clone(), port: self.port, source: last })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.in_use {
            self.task.abort();
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, timeout, tls } = self;
        let tls = tls.is_some();
        write!(f, "Connector {{ {host}:{port}, tls: {tls}, timeout: {timeout:?} }}")
    }
}

async fn handshake<B, I>(host: &str, io: I) -> Result<Connection<B>, ConnectError>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|source| ConnectError::Handshake { host: host.to_owned(), source })?;
    let task = tokio::task::spawn_local(async move {
        // Whoever waits for an answer on it is told of its end, too.
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Ok(Connection { sender, driver: Driver { task, in_use: false } })
}

/// In an answer's head.
const MOST_HEADERS: usize = 256;
