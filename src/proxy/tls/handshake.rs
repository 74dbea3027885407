//! A caller's handshake: within its time, and in its turn.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rustls::server::{Acceptor, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;
use webpki::EndEntityCert;

use crate::causes::{causes, find};
use crate::framing::Prefixed;
use crate::proxy::peer::Peer;
use crate::telemetry::metrics::{Handshake, HandshakeMetrics};

use super::Shared;

/// One worker's end of callers' TLS.
#[derive(Debug)]
pub struct Terminator {
    shared: Shared,
    turns: Semaphore,
    metrics: HandshakeMetrics,
}

/// What was agreed on in the handshake (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Protocol {
    Http2,
    Http1,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(in crate::proxy) struct Accepted<I> {
    pub(in crate::proxy) stream: TlsStream<Prefixed<I>>,
    pub(in crate::proxy) peer: Peer,
    /// `None`: the caller has said nothing about it.
    pub(in crate::proxy) protocol: Option<Protocol>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(in crate::proxy) enum Refused<I> {
    /// What came does not begin like TLS.
    Plain(I),
    /// Not within the time for it.
    Late,
    Failed,
}

// === impl Terminator ===

impl Terminator {
    pub fn new(shared: Shared, metrics: HandshakeMetrics) -> Self {
        Self { shared, turns: Semaphore::new(AT_ONCE), metrics }
    }

    /// Makes the handshake, counts how it went, and logs a failure.
    pub(in crate::proxy) async fn accept<I>(
        &self,
        stream: I,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<Accepted<I>, Refused<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = timeout(limit, self.shake(stream)).await;
        let (outcome, error, result) = match shaken {
            Ok(Ok(stream)) => {
                let (_, connection) = stream.get_ref();
                let protocol = Protocol::of(connection);
                let peer = match names(connection) {
                    Some(names) => Peer::Certified(address, names),
                    None => Peer::Tcp(address),
                };
                (Handshake::Ok, None, Ok(Accepted { stream, peer, protocol }))
            }
            Ok(Err(Broken::Plain(stream))) => (Handshake::Plain, None, Err(Refused::Plain(stream))),
            Ok(Err(Broken::Io(error))) => (outcome(&error), Some(error), Err(Refused::Failed)),
            Err(_) => (Handshake::Late, None, Err(Refused::Late)),
        };
        self.metrics.ended(outcome);
        if result.is_err() {
            let (outcome, error) = (outcome.name(), error.map(|error| causes(&error)));
            debug!(caller = %address, outcome, error, "a caller's TLS handshake failed");
        }
        result
    }

    async fn shake<I>(&self, mut stream: I) -> Result<TlsStream<Prefixed<I>>, Broken<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let mut first = [0];
        if stream.read(&mut first).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if first[0] != HANDSHAKE_RECORD {
            return Err(Broken::Plain(stream));
        }
        let stream = Prefixed::new(Bytes::copy_from_slice(&first), stream);
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        Ok(in_turn(&self.turns, hello.into_stream(self.shared.load())).await?)
    }
}

/// A step of a handshake keeps the worker busy for as long as many requests do. So only one is made, of
/// all handshakes that share these turns, before whatever else is ready has its turn.
async fn in_turn<F: Future + Unpin>(turns: &Semaphore, mut steps: F) -> F::Output {
    loop {
        let turn = turns.acquire().await;
        yield_now().await;
        let step = poll_fn(|cx| Poll::Ready(Pin::new(&mut steps).poll(cx))).await;
        drop(turn);
        if let Poll::Ready(made) = step {
            return made;
        }
        let mut is_woken = false;
        poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

/// Why there is no TLS.
enum Broken<I> {
    Plain(I),
    Io(io::Error),
}

impl<I> From<io::Error> for Broken<I> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

// === impl Protocol ===

impl Protocol {
    /// By their names in ALPN; the one that is liked best comes first.
    const NAMES: [(&[u8], Self); 3] =
        [(b"h2", Self::Http2), (b"http/1.1", Self::Http1), (b"http/1.0", Self::Http1)];

    pub(super) fn names() -> Vec<Vec<u8>> {
        Self::NAMES.iter().map(|(name, _)| name.to_vec()).collect()
    }

    fn of(connection: &ServerConnection) -> Option<Self> {
        let agreed = connection.alpn_protocol()?;
        let known = Self::NAMES.iter().find(|(name, _)| *name == agreed);
        known.map(|(_, protocol)| *protocol)
    }
}

/// The DNS names and URIs of the caller's certificate; `None`: it has shown none. Its common name says
/// nothing (RFC 9525, 2), and `*` names nobody.
fn names(connection: &ServerConnection) -> Option<Arc<[String]>> {
    let shown = connection.peer_certificates()?.first()?;
    let Ok(certificate) = EndEntityCert::try_from(shown) else { return Some(Arc::default()) };
    let dns = certificate.valid_dns_names().filter(|name| !name.contains('*'));
    // Without its scheme, a URI could pass for the name of a host.
    let uris = certificate.valid_uri_names().filter(|uri| uri.contains(':'));
    Some(dns.map(str::to_ascii_lowercase).chain(uris.map(str::to_owned)).collect())
}

fn outcome(error: &io::Error) -> Handshake {
    match find::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Handshake::Certificate
        }
        Some(rustls::Error::AlertReceived(_)) => Handshake::Declined,
        Some(_) => Handshake::Failed,
        None => Handshake::Gone,
    }
}

/// The type of the record that every handshake begins with (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Handshakes of one worker that compute before others have their turn.
const AT_ONCE: usize = 1;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// However many handshakes there are, what is ready beside them has its turn after each step.
    #[tokio::test]
    async fn p27_handshakes_take_turns_with_requests() {
        let made = Rc::new(RefCell::new(Vec::new()));
        let turns = Rc::new(Semaphore::new(AT_ONCE));
        let local = LocalSet::new();
        local
            .run_until(async {
                let handshake = |number: usize| {
                    let (made, turns) = (made.clone(), turns.clone());
                    spawn_local(async move {
                        let steps = Box::pin(async {
                            for _ in 0..3 {
                                made.borrow_mut().push(Some(number));
                                yield_now().await;
                            }
                        });
                        in_turn(&turns, steps).await;
                    })
                };
                let handshakes: Vec<_> = (0..20).map(handshake).collect();
                let requests = made.clone();
                let request = spawn_local(async move {
                    loop {
                        requests.borrow_mut().push(None);
                        yield_now().await;
                    }
                });
                for handshake in handshakes {
                    handshake.await.expect("no panic");
                }
                request.abort();
            })
            .await;
        let made = made.borrow();
        let first = made.iter().position(Option::is_none).expect("a request");
        let run = made[first..].split(Option::is_none).map(<[_]>::len).max();
        assert!(run <= Some(2), "{made:?}");
        assert_eq!(made.iter().flatten().count(), 60);
    }
}
