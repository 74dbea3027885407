//! New connections: name, TCP, TLS, and which version of HTTP was chosen.

mod error;
mod names;
mod race;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::causes::network::Peer;
use crate::causes::tls;

use super::hearing::Hearing;
use super::http1::Connection;

pub use error::ConnectError;
use names::Names;
use race::{interleave, race};

/// Where an upstream is, and how it is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// The vendor's name: what its certificate bears. Often the host's.
    pub name: String,
    /// Where connections go: a name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Offers HTTP/2 where `Connector::negotiate` is asked.
    pub http2: bool,
    /// For name, TCP and TLS together.
    pub timeout: Duration,
}

/// Makes connections to one upstream.
#[derive(Clone)]
pub struct Connector {
    peer: Arc<Peer>,
    names: Arc<Names>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Offers HTTP/2 as well.
    either: Option<TlsConnector>,
    timeout: Duration,
}

/// What the peer has chosen of the two versions that were offered.
#[derive(Debug)]
pub(super) enum Negotiated {
    Http1(Connection),
    Http2(Box<Tls>),
}

/// A connection on which no HTTP has been said yet.
pub(super) type Tls = TlsStream<Hearing<TcpStream>>;

impl Connector {
    /// # Errors
    /// When the name is none that a certificate could have.
    pub fn new(config: Config) -> Result<Self, rustls::pki_types::InvalidDnsNameError> {
        let Config { name, host, port, tls, http2, timeout } = config;
        let either = tls.as_ref().filter(|_| http2).map(|tls| offering(tls, &[H2, H1]));
        let tls = match tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(name.clone())?;
                let tls = if http2 { offering(&tls, &[H1]) } else { TlsConnector::from(tls) };
                Some((tls, name))
            }
        };
        let name = if name.contains(':') { format!("[{name}]") } else { name };
        let peer = Arc::new(Peer { name, host, port });
        Ok(Self { peer, names: Arc::default(), tls, either, timeout })
    }

    /// A connection of HTTP/1.1.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + self.timeout;
        match &self.tls {
            None => Ok(Connection::plain(self.heard(deadline).await?)),
            Some((tls, name)) => self.tls(tls, name, deadline).await.map(Connection::tls),
        }
    }

    /// A connection of whichever version the peer chooses.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub(super) async fn negotiate(&self) -> Result<Negotiated, ConnectError> {
        let (Some(either), Some((_, name))) = (&self.either, &self.tls) else {
            return self.connect().await.map(Negotiated::Http1);
        };
        let tls = self.tls(either, name, Instant::now() + self.timeout).await?;
        match tls.get_ref().1.alpn_protocol() {
            Some(H2) => Ok(Negotiated::Http2(Box::new(tls))),
            _ => Ok(Negotiated::Http1(Connection::tls(tls))),
        }
    }

    /// What to say when a connection ended before it could be used.
    pub fn unusable(&self, source: hyper::Error) -> ConnectError {
        ConnectError::Handshake { peer: self.peer.clone(), source }
    }

    /// In TLS 1.3 a peer that turns down our certificate says so only when the handshake is over
    /// for us: the first answer on a new connection fails with that.
    pub fn turned_down(&self, error: &(dyn Error + 'static)) -> Option<ConnectError> {
        tls::turned_down(error).then(|| ConnectError::tls(&self.peer, error))
    }

    async fn resolve(&self, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
        let Peer { host, port, .. } = &*self.peer;
        match timeout_at(deadline, self.names.look_up(host, *port)).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(source)) => Err(ConnectError::Resolve { host: host.clone(), source }),
            Err(_) => Err(ConnectError::ResolveTimeout { host: host.clone(), after: self.timeout }),
        }
    }

    async fn tls(
        &self,
        connector: &TlsConnector,
        name: &ServerName<'static>,
        deadline: Instant,
    ) -> Result<Tls, ConnectError> {
        let (peer, after) = (&self.peer, self.timeout);
        let tls = connector.connect(name.clone(), self.heard(deadline).await?);
        let tls = timeout_at(deadline, tls).await;
        let tls = tls.map_err(|_| ConnectError::TlsTimeout { peer: peer.clone(), after })?;
        tls.map_err(|error| ConnectError::tls(peer, &error))
    }

    async fn heard(&self, deadline: Instant) -> Result<Hearing<TcpStream>, ConnectError> {
        Ok(Hearing::new(self.tcp(self.resolve(deadline).await?, deadline).await?))
    }

    async fn tcp(
        &self,
        addresses: Vec<SocketAddr>,
        deadline: Instant,
    ) -> Result<TcpStream, ConnectError> {
        let (peer, after) = (self.peer.clone(), self.timeout);
        let tcp = race(interleave(addresses), deadline, TcpStream::connect)
            .await
            .map_err(|found| ConnectError::Tcp { peer, after, found: Box::new(found) })?;
        // Small requests must not wait for acknowledgements.
        let _ = tcp.set_nodelay(true);
        Ok(tcp)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, timeout, tls, either, .. } = self;
        let (tls, http2) = (tls.is_some(), either.is_some());
        write!(f, "Connector {{ {peer}, tls: {tls}, http2: {http2}, timeout: {timeout:?} }}")
    }
}

/// The same, with these protocols offered (ALPN).
fn offering(tls: &Arc<rustls::ClientConfig>, protocols: &[&[u8]]) -> TlsConnector {
    let mut tls = rustls::ClientConfig::clone(tls);
    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(tls))
}

/// As ALPN names them.
const H1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";

#[cfg(test)]
mod tests;
