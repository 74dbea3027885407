//! One worker's connections to one upstream.
//!
//! - The connection used last is used next (LIFO): it is the likeliest to be alive, and the ones
//!   not needed grow old and go.
//! - A connection comes back only when its answer's body has ended; one that is dropped earlier is
//!   closed, never reused half-read.
//! - A request that hyper hands back unsent (the connection had closed before a byte was written)
//!   goes to another connection. Nothing else is ever sent twice here.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use prometheus::IntGauge;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use crate::telemetry::metrics::Held;

use super::connect::{ConnectError, Connection, Connector};

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
}

/// One worker's pool for one upstream.
#[derive(Debug)]
pub struct Upstream<B>(Rc<Inner<B>>);

#[derive(Debug)]
struct Inner<B> {
    connector: Connector,
    config: Config,
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

/// A connection while an answer is read from it. [`Lease::done`] gives it back; dropping it closes
/// it at once, whatever is still being sent or read.
#[derive(Debug)]
pub struct Lease<B> {
    upstream: Rc<Inner<B>>,
    connection: Connection<B>,
    _counted: Held,
}

/// The upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the upstream closed the connection, or sent what is no HTTP")]
    Broken(#[source] hyper::Error),
    #[error("the upstream's answer is in a transfer coding that nobody had asked for")]
    Coding,
    #[error("the upstream switched to another protocol, which nobody had asked for")]
    Switched,
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Silent(Duration),
}

// === impl Upstream ===

impl<B> Upstream<B>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub fn new(
        connector: Connector,
        config: Config,
        active_gauge: IntGauge,
        idle_gauge: IntGauge,
    ) -> Self {
        let idle = RefCell::default();
        Self(Rc::new(Inner { connector, config, idle, active_gauge, idle_gauge }))
    }

    /// Sends a request and waits for the head of its answer. `moved_at` tells when its body last
    /// moved on: a long upload is no silence of the upstream's.
    ///
    /// # Errors
    /// When there is no answer. The request is not sent again: the upstream may have acted on it.
    pub async fn send(
        &self,
        mut request: Request<B>,
        moved_at: impl Fn() -> Option<Instant>,
    ) -> Result<(Response<Incoming>, Lease<B>), SendError> {
        loop {
            self.look_at_sockets().await;
            let (mut lease, reused) = match self.checkout() {
                Some(connection) => (self.lease(connection), true),
                // Rare and large: in a box, it does not weigh on every request's future.
                None => (self.lease(Box::pin(self.0.connector.connect()).await?), false),
            };
            let first_byte = self.0.config.first_byte;
            let mut answer = pin!(lease.connection.sender.try_send_request(request));
            let mut deadline = Instant::now() + first_byte;
            let answered = loop {
                match (timeout_at(deadline, answer.as_mut()).await, moved_at()) {
                    (Ok(answered), _) => break answered,
                    (Err(_), Some(moved)) if moved + first_byte > deadline => {
                        deadline = moved + first_byte;
                    }
                    (Err(_), _) => return Err(SendError::Silent(first_byte)),
                }
            };
            match answered {
                Ok(response) => return Ok((response, lease)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(self.broken(error.into_error(), reused)),
                },
            }
        }
    }

    fn broken(&self, error: hyper::Error, reused: bool) -> SendError {
        let turned_down = if reused { None } else { self.0.connector.turned_down(&error) };
        turned_down.map_or(SendError::Broken(error), SendError::Connect)
    }

    /// Closes connections that have lain unused for too long. Called from time to time, so that an
    /// idle gateway holds no dead connections.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.0.idle.borrow_mut().retain(|idle| idle.is_usable(now, self.0.config.idle));
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

    fn lease(&self, mut connection: Connection<B>) -> Lease<B> {
        connection.driver.in_use = true;
        Lease { upstream: self.0.clone(), connection, _counted: Held::new(&self.0.active_gauge) }
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

/// For the end of a request whose answer is complete.
const LAST_BYTES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
