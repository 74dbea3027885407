//! One worker's connections to one upstream.
//!
//! - The connection used last is used next (LIFO): it is the likeliest to be alive, and the ones
//!   not needed grow old and go.
//! - A connection comes back only when its answer's body has ended; one that is dropped earlier is
//!   closed, never reused half-read.
//! - A request of which not a byte could be sent on a connection that had been used before (it had
//!   closed meanwhile) goes to another. Nothing else is ever sent twice here.
//!
//! This is so of HTTP/1.1; `http2` has rules of its own.

mod http2;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use prometheus::IntGauge;
use tokio::time::{Instant, timeout};

use crate::telemetry::metrics::Held;

use super::connect::{ConnectError, Connector, Negotiated};
use super::http1::{Connection, Failed, Outgoing, Tunnel};
use super::{AnswerBody, BrokenOff, RequestHead};

pub use http2::{Http2, Pings};
use http2::{Sent, Stream};

#[derive(Clone, Debug)]
pub struct Config {
    /// From the last moment that the request moved on to the first byte of its answer.
    pub first_byte: Duration,
    /// How long a connection may lie unused. Shorter than the peer's own limit, or a request will
    /// meet the peer's goodbye.
    pub idle: Duration,
    /// How long a connection that has just been used is taken to be alive without another look at
    /// its socket.
    pub fresh: Duration,
    /// Connections kept for later.
    pub most_idle: usize,
    /// HTTP/2, where the peer chooses it.
    pub http2: Option<Http2>,
}

/// One worker's pool for one upstream.
#[derive(Debug)]
pub struct Upstream<B: 'static>(Rc<Inner<B>>);

#[derive(Debug)]
struct Inner<B: 'static> {
    connector: Connector,
    http2: Option<Rc<http2::Pool<B>>>,
    shelf: Rc<Shelf>,
}

/// The connections of HTTP/1 that nobody uses.
#[derive(Debug)]
struct Shelf {
    config: Config,
    /// How long a connection may lie unused: no time at all once others have taken this one's place.
    longest_idle: Cell<Duration>,
    idle: RefCell<Vec<Idle>>,
    active_gauge: IntGauge,
    idle_gauge: IntGauge,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
    _counted: Held,
}

/// What an answer is read from: a connection, or a stream of one. [`Lease::done`] gives it back;
/// dropping it ends at once whatever is still being sent or read.
#[derive(Debug)]
pub enum Lease<B: 'static> {
    Http1(Lent),
    Http2(Stream<B>),
}

/// A connection that carries one request.
#[derive(Debug)]
pub struct Lent {
    shelf: Rc<Shelf>,
    connection: Connection,
    _counted: Held,
}

/// The upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// One failure may be told to all who waited for the connection.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    #[error("the upstream closed the connection, or sent what is no HTTP")]
    Broken(#[source] BrokenOff),
    #[error("the upstream's answer is in a transfer coding that nobody had asked for")]
    Coding,
    /// The upstream says that it has read nothing of the request, which may be sent again.
    #[error("the upstream took no more requests on this connection")]
    Unread(#[source] BrokenOff),
    /// Nothing was sent, and the request may be sent again.
    #[error("the upstream closed each new connection at once, or changed its version of HTTP")]
    Changed,
    #[error("the upstream switched to another protocol, which nobody had asked for")]
    Switched,
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Silent(Duration),
}

// === impl Upstream ===

impl<B> Upstream<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    pub fn new(
        connector: Connector,
        config: Config,
        active_gauge: IntGauge,
        idle_gauge: IntGauge,
    ) -> Self {
        let http2 = config.http2.clone().map(|http2| {
            let gauges = (active_gauge.clone(), idle_gauge.clone());
            http2::Pool::new(connector.clone(), config.clone(), http2, gauges)
        });
        let (idle, longest_idle) = (RefCell::default(), Cell::new(config.idle));
        let shelf = Shelf { config, longest_idle, idle, active_gauge, idle_gauge };
        let shelf = Rc::new(shelf);
        Self(Rc::new(Inner { connector, http2, shelf }))
    }

    /// Sends a request, which is to be sent `now`, and waits for the head of its answer. `moved_at` tells when its body last
    /// moved on: a long upload is no silence of the upstream's.
    ///
    /// # Errors
    /// When there is no answer. The request is not sent again: the upstream may have acted on it,
    /// unless the error says otherwise.
    #[allow(clippy::manual_async_fn, reason = "an `async fn` would hold the request twice")]
    pub fn send(
        &self,
        head: RequestHead<'_>,
        mut body: B,
        mut now: Instant,
        moved_at: impl Fn() -> Option<Instant>,
    ) -> impl Future<Output = Result<(Response<AnswerBody>, Lease<B>), SendError>> {
        async move {
            let shelf = &self.0.shelf;
            let (mut lent, mut is_reused) = loop {
                if let Some(http2) = self.http2_for(&head) {
                    // In a box: the requests of other upstreams do not carry its weight.
                    match Box::pin(http2.send(head.with(body), &moved_at)).await? {
                        Sent::Answered(answer, stream) => {
                            return Ok((answer, Lease::Http2(stream)));
                        }
                        Sent::Http1(untouched) => {
                            let (request, connection) = *untouched;
                            body = request.into_body();
                            connection.into_iter().for_each(|it| shelf.give_back(it));
                        }
                    }
                }
                if let Some(lent) = shelf.checkout(now) {
                    break (lent, true);
                }
                // Rare and large: in a box, it does not weigh on every request's future.
                let connected = Box::pin(self.connect(head.upgrades)).await?;
                now = Instant::now();
                if let Some(connection) = connected {
                    break (shelf.lend(connection), false);
                }
            };
            let mut outgoing = Outgoing::new(head, body);
            loop {
                let first_byte = shelf.config.first_byte;
                let answered =
                    outgoing.answered(&lent.connection, is_reused, now, first_byte, &moved_at);
                match answered.await {
                    Ok(answer) => return Ok((answer.map(AnswerBody::Http1), Lease::Http1(lent))),
                    Err(Failed::Silent) => return Err(SendError::Silent(first_byte)),
                    Err(Failed::Broken(error)) => return Err(self.broken(error.into(), is_reused)),
                    Err(Failed::Unsent) => {
                        let other = shelf.checkout(now);
                        is_reused = other.is_some();
                        lent = match other {
                            Some(lent) => lent,
                            None => shelf.lend(Box::pin(self.0.connector.connect()).await?),
                        };
                        now = Instant::now();
                    }
                }
            }
        }
    }

    fn broken(&self, error: BrokenOff, is_reused: bool) -> SendError {
        let turned_down = if is_reused { None } else { self.0.connector.turned_down(&error) };
        turned_down.map_or(SendError::Broken(error), SendError::from)
    }

    /// Closes connections that have lain unused for too long. Called from time to time, so that an
    /// idle gateway holds no dead connections.
    pub fn sweep(&self) {
        self.0.shelf.sweep();
        self.0.http2.iter().for_each(|http2| http2.sweep());
    }

    /// Another pool has taken this one's place: what its requests are done with is closed.
    pub fn retire(&self) {
        self.0.shelf.longest_idle.set(Duration::ZERO);
        self.0.http2.iter().for_each(|http2| http2.retire());
        self.sweep();
    }

    /// The pool for this request, unless it must go over HTTP/1.1: it wants to change the protocol,
    /// or the peer has chosen so.
    fn http2_for(&self, head: &RequestHead<'_>) -> Option<&Rc<http2::Pool<B>>> {
        let http2 = self.0.http2.as_ref()?;
        (!http2.speaks_http1() && !head.upgrades).then_some(http2)
    }

    /// A new connection; `None`: the peer has now chosen HTTP/2.
    async fn connect(&self, upgrades: bool) -> Result<Option<Connection>, SendError> {
        let Inner { connector, http2, .. } = &*self.0;
        let Some(http2) = http2.as_ref().filter(|_| !upgrades) else {
            return Ok(Some(connector.connect().await?));
        };
        match connector.negotiate().await? {
            Negotiated::Http1(connection) => Ok(Some(connection)),
            Negotiated::Http2(io) => {
                http2.adopt(io).await;
                Ok(None)
            }
        }
    }
}

impl<B> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// === impl Shelf ===

impl Shelf {
    /// The connection that was used last, if the peer has not left it. The peer's goodbye may lie in
    /// the socket of one that has lain for a while: that one is asked. On a busy upstream the last
    /// connection is fresh, and what the runtime knows is enough.
    fn checkout(self: &Rc<Self>, now: Instant) -> Option<Lent> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, since, .. }) = idle.pop() {
            let rested = now - since;
            if rested < self.longest_idle.get() && connection.is_quiet(rested >= self.config.fresh)
            {
                return Some(self.lend(connection));
            }
            connection.part();
        }
        None
    }

    fn lend(self: &Rc<Self>, connection: Connection) -> Lent {
        Lent { shelf: self.clone(), connection, _counted: Held::new(&self.active_gauge) }
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.config.most_idle && !self.longest_idle.get().is_zero() {
            let counted = Held::new(&self.idle_gauge);
            idle.push(Idle { connection, since: Instant::now(), _counted: counted });
        } else {
            connection.part();
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let has_gone = |idle: &mut Idle| {
            now - idle.since >= self.longest_idle.get() || !idle.connection.is_quiet(false)
        };
        let gone = self.idle.borrow_mut().extract_if(.., has_gone).collect::<Vec<_>>();
        gone.into_iter().for_each(|idle| idle.connection.part());
    }
}

// === impl Lease ===

impl<B: 'static> Lease<B> {
    /// The answer's body has ended, and the request's: the connection may serve another request.
    pub fn done(self) {
        match self {
            Self::Http1(lent) => lent.done(),
            Self::Http2(stream) => stream.done(),
        }
    }

    /// The connection, when the peer has switched to another protocol on it.
    pub fn tunnel(&self) -> Option<Tunnel> {
        match self {
            Self::Http1(lent) => Some(lent.connection.tunnel()),
            Self::Http2(_) => None,
        }
    }

    /// Whether an answer's body knows of itself when it has ended.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

impl Lent {
    fn done(self) {
        let Self { shelf, connection, _counted } = self;
        if connection.is_reusable() {
            shelf.give_back(connection);
        } else if connection.is_sending() {
            // The end of the request is on its way.
            tokio::task::spawn_local(async move {
                let sent = timeout(LAST_BYTES, connection.has_sent()).await;
                if sent.is_ok() && connection.is_reusable() {
                    shelf.give_back(connection);
                }
            });
        }
    }
}

// === impl SendError ===

impl SendError {
    /// Nothing of the request was read: it may be sent again.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Unread(_) | Self::Changed)
    }
}

impl From<ConnectError> for SendError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(Arc::new(error))
    }
}

/// For the end of a request whose answer is complete.
const LAST_BYTES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
