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
use tokio_rustls::client::TlsStream;

use super::hearing::Hearing;

/// Where an upstream is, and how it is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Offers HTTP/2 where [`Connector::negotiate`] is asked.
    pub http2: bool,
    /// For name, TCP and TLS together.
    pub timeout: Duration,
}

/// Makes connections to one upstream.
#[derive(Clone)]
pub struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Offers HTTP/2 as well.
    either: Option<TlsConnector>,
    timeout: Duration,
}

/// What the peer has chosen of the two that were offered.
#[derive(Debug)]
pub enum Negotiated<B> {
    Http1(Connection<B>),
    Http2(Box<Tls>),
}

/// A TLS connection on which nothing has been said yet.
pub type Tls = TlsStream<TcpStream>;

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

impl Connector {
    /// # Errors
    /// When the host is neither a name nor an address that TLS could verify.
    pub fn new(config: Config) -> Result<Self, rustls::pki_types::InvalidDnsNameError> {
        let either =
            config.tls.as_ref().filter(|_| config.http2).map(|tls| offering(tls, &[H2, H1]));
        let tls = match config.tls {
            None => None,
            Some(tls) if config.http2 => {
                let name = ServerName::try_from(config.host.clone())?;
                Some((offering(&tls, &[H1]), name))
            }
            Some(tls) => {
                let name = ServerName::try_from(config.host.clone())?;
                Some((TlsConnector::from(tls), name))
            }
        };
        Ok(Self { host: config.host, port: config.port, tls, either, timeout: config.timeout })
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

    /// A connection of whichever version the peer chooses.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn negotiate<B>(&self) -> Result<Negotiated<B>, ConnectError>
    where
        B: Body + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (Some(either), Some((_, name))) = (&self.either, &self.tls) else {
            return self.connect().await.map(Negotiated::Http1);
        };
        let (host, port) = (&self.host, self.port);
        let whole = async {
            let tls = either.connect(name.clone(), self.tcp().await?).await;
            let tls = tls.map_err(|source| ConnectError::Tls { host: host.clone(), source })?;
            match tls.get_ref().1.alpn_protocol() {
                Some(H2) => Ok(Negotiated::Http2(Box::new(tls))),
                _ => handshake(host, tls).await.map(Negotiated::Http1),
            }
        };
        let late = |_| ConnectError::Timeout { host: host.clone(), port, after: self.timeout };
        timeout(self.timeout, whole).await.map_err(late)?
    }

    /// What to say when a connection ended before it could be used.
    pub fn broken_handshake(&self, source: hyper::Error) -> ConnectError {
        ConnectError::Handshake { host: self.host.clone(), source }
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
        let Self { host, port, timeout, tls, either } = self;
        let (tls, http2) = (tls.is_some(), either.is_some());
        write!(f, "Connector {{ {host}:{port}, tls: {tls}, http2: {http2}, timeout: {timeout:?} }}")
    }
}

/// The same, with these protocols offered (ALPN).
fn offering(tls: &Arc<rustls::ClientConfig>, protocols: &[&[u8]]) -> TlsConnector {
    let mut tls = rustls::ClientConfig::clone(tls);
    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(tls))
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

/// As ALPN names them.
const H1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";

/// In an answer's head.
const MOST_HEADERS: usize = 256;
