//! One worker's connections to one upstream.
//!
//! - The connection used last is used next (LIFO): it is the likeliest to be alive, and the ones
//!   not needed grow old and go.
//! - A connection comes back only when its answer's body has ended; one that is dropped earlier is
//!   closed, never reused half-read.
//! - A request that hyper hands back unsent (the connection had closed before a byte was written)
//!   goes to another connection. Nothing else is ever sent twice here.
//!
//! This is so of HTTP/1.1; `http2` has rules of its own.

mod http2;

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;

use http::{Request, Response};
use http_body::Body;
use prometheus::IntGauge;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use crate::telemetry::metrics::Held;

use super::AnswerBody;
use super::connect::{ConnectError, Connection, Connector, Negotiated};

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
    config: Config,
    http2: Option<Rc<http2::Pool<B>>>,
    idle: RefCell<Vec<Idle<B>>>,
    active_gauge: IntGauge,
    idle_gauge: IntGauge,
}

#[derive(Debug)]
struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
    _counted: Held,
}

/// What an answer is read from: a connection, or a stream of one. [`Lease::done`] gives it back;
/// dropping it ends at once whatever is still being sent or read.
#[derive(Debug)]
pub enum Lease<B: 'static> {
    Http1(Lent<B>),
    Http2(Stream<B>),
}

/// A connection that carries one request.
#[derive(Debug)]
pub struct Lent<B: 'static> {
    upstream: Rc<Inner<B>>,
    connection: Connection<B>,
    _counted: Held,
}

/// The upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// One failure may be told to all who waited for the connection.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    #[error("the upstream closed the connection, or sent what is no HTTP")]
    Broken(#[source] hyper::Error),
    #[error("the upstream's answer is in a transfer coding that nobody had asked for")]
    Coding,
    /// The upstream says that it has read nothing of the request, which may be sent again.
    #[error("the upstream took no more requests on this connection")]
    Unread(#[source] hyper::Error),
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
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
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
        let idle = RefCell::default();
        Self(Rc::new(Inner { connector, config, http2, idle, active_gauge, idle_gauge }))
    }

    /// Sends a request and waits for the head of its answer. `moved_at` tells when its body last
    /// moved on: a long upload is no silence of the upstream's.
    ///
    /// # Errors
    /// When there is no answer. The request is not sent again: the upstream may have acted on it,
    /// unless the error says otherwise.
    #[allow(clippy::manual_async_fn, reason = "an `async fn` would hold the request twice")]
    pub fn send(
        &self,
        mut request: Request<B>,
        moved_at: impl Fn() -> Option<Instant>,
    ) -> impl Future<Output = Result<(Response<AnswerBody>, Lease<B>), SendError>> {
        async move {
            loop {
                if let Some(http2) = self.http2_for(&request) {
                    // In a box: the requests of other upstreams do not carry its weight.
                    match Box::pin(http2.send(request, &moved_at)).await? {
                        Sent::Answered(answer, stream) => {
                            return Ok((answer, Lease::Http2(stream)));
                        }
                        Sent::Http1(untouched) => {
                            let connection;
                            (request, connection) = *untouched;
                            connection.into_iter().for_each(|it| Inner::give_back(&self.0, it));
                        }
                    }
                }
                self.look_at_sockets().await;
                let (mut lent, reused) = match self.checkout() {
                    Some(connection) => (self.lend(connection), true),
                    // Rare and large: in a box, it does not weigh on every request's future.
                    None => {
                        match Box::pin(self.connect(request.headers().contains_key(UPGRADE)))
                            .await?
                        {
                            Some(connection) => (self.lend(connection), false),
                            None => continue,
                        }
                    }
                };
                let mut answer = pin!(lent.connection.sender.try_send_request(request));
                match in_time(answer.as_mut(), self.0.config.first_byte, &moved_at).await? {
                    Ok(response) => return Ok((response, Lease::Http1(lent))),
                    Err(mut error) => match error.take_message() {
                        Some(unsent) if reused => request = unsent,
                        _ => return Err(self.broken(error.into_error(), reused)),
                    },
                }
            }
        }
    }

    fn broken(&self, error: hyper::Error, reused: bool) -> SendError {
        let turned_down = if reused { None } else { self.0.connector.turned_down(&error) };
        turned_down.map_or(SendError::Broken(error), SendError::from)
    }

    /// Closes connections that have lain unused for too long. Called from time to time, so that an
    /// idle gateway holds no dead connections.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.0.idle.borrow_mut().retain(|idle| idle.is_usable(now, self.0.config.idle));
        self.0.http2.iter().for_each(|http2| http2.sweep());
    }

    /// The pool for this request, unless it must go over HTTP/1.1: it wants to change the protocol,
    /// or the peer has chosen so.
    fn http2_for(&self, request: &Request<B>) -> Option<&Rc<http2::Pool<B>>> {
        let http2 = self.0.http2.as_ref()?;
        (!http2.speaks_http1() && !request.headers().contains_key(UPGRADE)).then_some(http2)
    }

    /// A new connection; `None`: the peer has now chosen HTTP/2.
    async fn connect(&self, upgrades: bool) -> Result<Option<Connection<B>>, SendError> {
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

    /// The peer may have closed a connection that has lain for a while, with its goodbye still in
    /// the socket. Two turns of the runtime bring it to the connection's task, so that no request is
    /// written into it. On a busy upstream the last connection is fresh, and this costs nothing.
    async fn look_at_sockets(&self) {
        let last_used = self.0.idle.borrow().last().map(|idle| idle.since);
        if last_used.is_some_and(|since| since.elapsed() >= self.0.config.fresh) {
            yield_now().await;
            yield_now().await;
        }
    }

    fn checkout(&self) -> Option<Connection<B>> {
        let now = Instant::now();
        let mut idle = self.0.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if candidate.is_usable(now, self.0.config.idle) {
                return Some(candidate.connection);
            }
        }
        None
    }

    fn lend(&self, mut connection: Connection<B>) -> Lent<B> {
        connection.driver.in_use = true;
        Lent { upstream: self.0.clone(), connection, _counted: Held::new(&self.0.active_gauge) }
    }
}

impl<B> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// === impl Idle ===

impl<B> Idle<B> {
    fn is_usable(&self, now: Instant, longest: Duration) -> bool {
        self.connection.sender.is_ready() && now - self.since < longest
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

    /// Whether an answer's body knows of itself when it has ended.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

impl<B: 'static> Lent<B> {
    fn done(self) {
        let Self { upstream, mut connection, _counted } = self;
        if connection.sender.is_ready() {
            Inner::give_back(&upstream, connection);
        } else if !connection.sender.is_closed() {
            // The driver has not come round yet, or the end of the request is on its way.
            tokio::task::spawn_local(async move {
                if let Ok(Ok(())) = timeout(LAST_BYTES, connection.sender.ready()).await {
                    Inner::give_back(&upstream, connection);
                }
            });
        }
    }
}

// === impl Inner ===

impl<B> Inner<B> {
    fn give_back(this: &Rc<Self>, mut connection: Connection<B>) {
        connection.driver.in_use = false;
        let mut idle = this.idle.borrow_mut();
        if idle.len() < this.config.most_idle {
            let counted = Held::new(&this.idle_gauge);
            idle.push(Idle { connection, since: Instant::now(), _counted: counted });
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

/// Waits for an answer for `first_byte` from the last moment that the request moved on.
async fn in_time<F: Future>(
    mut answer: Pin<&mut F>,
    first_byte: Duration,
    moved_at: &impl Fn() -> Option<Instant>,
) -> Result<F::Output, SendError> {
    let mut deadline = Instant::now() + first_byte;
    loop {
        match (timeout_at(deadline, answer.as_mut()).await, moved_at()) {
            (Ok(answered), _) => return Ok(answered),
            (Err(_), Some(moved)) if moved + first_byte > deadline => {
                deadline = moved + first_byte;
            }
            (Err(_), _) => return Err(SendError::Silent(first_byte)),
        }
    }
}

/// For the end of a request whose answer is complete.
const LAST_BYTES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
