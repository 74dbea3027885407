//! One caller's connection: which protocol it speaks, and how its requests become answers.

mod http1;
mod http2;
mod seats;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;

use prometheus::IntGauge;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::causes::causes;
use crate::causes::network::is_timeout;
use crate::drain::{Drain, Hold};
use crate::framing::{self, Broken, CallerStream, Connection, Fault, LiveLimits, Tunnel};
use crate::telemetry::metrics::{Held, Limit};

use super::Proxy;
use super::peer::Peer;
use super::route::Entrance;
use super::tls::{Accepted, Protocol, Refused, Terminator};

use seats::Seat;
pub use seats::Seats;

/// What all callers may do together, and each of them.
#[derive(Debug)]
pub struct Limits {
    /// Connections at one time, to all workers.
    pub connections: Cell<usize>,
    pub request: LiveLimits,
    /// Counts the connections.
    pub gauge: IntGauge,
}

/// What the connections of one socket have in common.
#[derive(Debug)]
pub struct Context {
    /// Where their next requests go: another place after a reload.
    pub entrance: Cell<Entrance>,
    pub proxy: Proxy,
    pub limits: Rc<Limits>,
    /// Spoken by those that come by TCP from now on.
    pub tls: Rc<RefCell<Option<Rc<Terminator>>>>,
    /// Of all connections of the worker.
    pub seats: Rc<Seats>,
    /// The socket, as the seats of its connections name it.
    pub socket: u64,
    /// The socket is given up, and so are its connections when what they asked for is answered.
    pub closed: CancellationToken,
    pub drain: Drain,
}

/// Who is at the other end of one connection, and what it takes up here.
#[derive(Debug)]
struct Caller {
    peer: Peer,
    seat: Seat,
    context: Rc<Context>,
    /// The drain waits for it.
    _hold: Hold,
}

/// Serves a connection to its end, in a task of its own.
pub fn serve(stream: CallerStream, peer: Peer, context: Rc<Context>) {
    let counted = context.enter();
    let caller = Caller::new(peer, context);
    match counted {
        Some(counted) => {
            let connection = caller.connection(stream, counted).undecided();
            spawn_local(async move { caller.http(connection).await });
        }
        None => {
            spawn_local(async move { caller.refuse(refused(stream), Fault::Connections).await });
        }
    }
}

/// The same over TLS.
pub fn serve_tls(
    stream: TcpStream,
    address: SocketAddr,
    tls: Rc<Terminator>,
    context: Rc<Context>,
) {
    let Some(counted) = context.enter() else {
        // To be told so it would need the handshake, which costs more than most requests.
        return context.reached(Limit::Connections);
    };
    let mut caller = Caller::new(Peer::Tcp(address), context);
    spawn_local(async move {
        // In a box: a connection shall not carry the weight of its handshake.
        match Box::pin(caller.shake(stream, tls, counted)).await {
            Some((connection, Some(Protocol::Http1))) => caller.http(connection).await,
            Some((connection, Some(Protocol::Http2))) => caller.http2(connection.take()).await,
            Some((connection, None)) => caller.http(connection.undecided()).await,
            None => {}
        }
    });
}

/// A connection whose caller is refused, whatever it sends.
fn refused(stream: CallerStream) -> Connection {
    Connection::new(stream, framing::Limits::of_refusal().into(), None)
}

impl Caller {
    fn new(peer: Peer, context: Rc<Context>) -> Self {
        Self {
            peer,
            seat: context.seats.take(context.socket),
            _hold: context.drain.hold(),
            context,
        }
    }

    fn connection(&self, stream: CallerStream, counted: Held) -> Connection {
        let limits = self.context.limits.request.clone();
        Connection::new(stream, limits, Some(counted))
    }

    /// The connection after its handshake. `None`: it had no good one, and has been told so.
    async fn shake(
        &mut self,
        stream: TcpStream,
        tls: Rc<Terminator>,
        counted: Held,
    ) -> Option<(Connection, Option<Protocol>)> {
        let Context { drain, limits, .. } = &*self.context;
        let Peer::Tcp(address) = self.peer else { return None };
        let accepted = tokio::select! {
            accepted = tls.accept(stream, address, limits.request.get().head) => accepted,
            () = drain.stopped() => return None,
            () = self.seat.must_leave() => return None,
        };
        match accepted {
            Ok(Accepted { stream, peer, protocol }) => {
                self.peer = peer;
                Some((self.connection(CallerStream::other(stream), counted), protocol))
            }
            Err(Refused::Plain(stream)) => {
                self.refuse(refused(CallerStream::Tcp(stream)), Fault::NoTls).await;
                None
            }
            Err(Refused::Late) => {
                self.context.reached(Limit::Head);
                None
            }
            Err(Refused::Failed) => None,
        }
    }

    /// Speaks HTTP/1, or whatever the connection begins with.
    #[expect(clippy::manual_async_fn, reason = "it would have its arguments twice")]
    fn http(&self, connection: Connection) -> impl Future<Output = ()> {
        async move {
            let http2 = connection.serve(self).await.unwrap_or_else(|error| {
                self.note_end(&error);
                None
            });
            if let Some(http2) = http2 {
                self.http2(*http2).await;
            }
        }
    }

    /// In a box: other connections shall not carry its weight.
    async fn http2(&self, connection: Tunnel) {
        if let Err(error) = Box::pin(http2::serve(connection, self)).await {
            self.context.note_broken(is_timeout(&error), &error);
        }
    }

    async fn refuse(&self, connection: Connection, fault: Fault) {
        // It has no place that another could have by sending it away.
        let _busy = self.seat.busy();
        let refuse = async {
            connection.refuse(self, fault).await?;
            connection.end().await
        };
        if let Err(error) = Box::pin(refuse).await {
            self.note_end(&error);
        }
    }

    fn note_end(&self, error: &Broken) {
        let is_late = matches!(error, Broken::Caller(error) if is_timeout(error));
        self.context.note_broken(is_late, error);
    }
}

impl Context {
    pub(super) fn terminator(&self) -> Option<Rc<Terminator>> {
        self.tls.borrow().clone()
    }

    /// Gives up the socket. What it has accepted is answered.
    pub fn close(&self) {
        self.closed.cancel();
        self.seats.close_those_by(self.socket);
    }

    /// A place for one more connection. `None`: all are taken, and nobody can make room. Only those who
    /// are served count, or callers that come again and again while they are refused would keep each
    /// other out for ever.
    fn enter(&self) -> Option<Held> {
        let Limits { connections, gauge, .. } = &*self.limits;
        let counted = Held::new(gauge);
        let over = usize::try_from(gauge.get() - connections.get() as i64).unwrap_or(0);
        if over > 0 {
            if !self.seats.make_room(over) {
                return None;
            }
            self.reached(Limit::Connections);
        }
        Some(counted)
    }

    /// `is_late`: its caller did not take the answer.
    fn note_broken(&self, is_late: bool, error: &(dyn Error + 'static)) {
        if is_late {
            self.reached(Limit::Idle);
        }
        debug!(error = causes(error), "a caller's connection ended badly");
    }

    /// Counts a caller that met a limit without a request.
    fn reached(&self, limit: Limit) {
        self.proxy.reached(self.entrance.get(), limit);
    }
}
