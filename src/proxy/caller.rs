//! One caller's connection: which protocol it speaks, and how its requests become answers.

mod http1;
mod http2;
mod seats;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;
use prometheus::IntGauge;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::causes::causes;
use crate::causes::network::is_timeout;
use crate::drain::Drain;
use crate::framing::{self, Broken, CallerStream, Connection, Fault};
use crate::telemetry::metrics::{Held, Limit};

use super::Proxy;
use super::peer::Peer;
use super::route::Entrance;
use super::tls::{Accepted, Protocol, Refused, Terminator};

use seats::Seat;
pub use seats::Seats;

/// What all callers may do together, and each of them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time, to all workers.
    pub connections: usize,
    pub request: framing::Limits,
    /// Counts the connections.
    pub gauge: IntGauge,
}

/// What the connections of one socket have in common.
#[derive(Clone, Debug)]
pub struct Context {
    pub entrance: Entrance,
    pub proxy: Proxy,
    pub limits: Limits,
    /// Spoken by those that come by TCP.
    pub tls: Option<Rc<Terminator>>,
    /// Of all connections of the worker.
    pub seats: Rc<Seats>,
    pub drain: Drain,
}

/// Serves a connection to its end.
pub async fn serve(stream: CallerStream, peer: Peer, context: Rc<Context>) {
    let _hold = context.drain.hold();
    match context.enter() {
        Some(place) => http(stream, peer, None, place, &context).await,
        None => refuse(stream, Fault::Connections, &peer, &context).await,
    }
}

/// The same over TLS.
pub async fn serve_tls(
    stream: TcpStream,
    address: SocketAddr,
    tls: &Terminator,
    context: Rc<Context>,
) {
    let _hold = context.drain.hold();
    let Some((counted, seat)) = context.enter() else {
        // To be told so it would need the handshake, which costs more than most requests.
        return context.reached(Limit::Connections);
    };
    // In a box: a connection shall not carry the weight of its handshake.
    let handshake = Box::pin(tls.accept(stream, address, context.limits.request.head));
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        () = context.drain.stopped() => return,
        () = seat.must_leave() => return,
    };
    match accepted {
        Ok(Accepted { stream, peer, protocol }) => {
            let stream = CallerStream::other(stream);
            http(stream, peer, protocol, (counted, seat), &context).await;
        }
        Err(Refused::Plain(stream)) => {
            refuse(CallerStream::Tcp(stream), Fault::NoTls, &Peer::Tcp(address), &context).await;
        }
        Err(Refused::Late) => context.reached(Limit::Head),
        Err(Refused::Failed) => {}
    }
}

/// Answers whatever comes with this fault.
async fn refuse(stream: CallerStream, fault: Fault, peer: &Peer, context: &Context) {
    let seat = context.seats.take();
    // It has no place that another could have by sending it away.
    let _busy = seat.busy();
    context.note_end(Box::pin(http1::refuse(stream, fault, peer, &seat, context)).await);
}

/// Speaks HTTP, in the version that was agreed on or that shows itself.
async fn http(
    mut stream: CallerStream,
    peer: Peer,
    agreed: Option<Protocol>,
    (counted, seat): (Held, Seat),
    context: &Context,
) {
    let limits = context.limits.request;
    let began = match agreed {
        Some(Protocol::Http1) => Some(Beginning::Http1(BytesMut::new())),
        Some(Protocol::Http2) => Some(Beginning::Http2(BytesMut::new())),
        None => tokio::select! {
            // In a box: a connection shall not carry the weight of its beginning.
            began = Box::pin(beginning(&mut stream, limits)) => began,
            () = context.drain.stopped() => return,
            () = seat.must_leave() => return,
        },
    };
    // In boxes: a connection that says nothing does not carry their weight.
    match began {
        Some(Beginning::Http1(read)) => {
            let connection = Connection::new(stream, read, limits, Some(counted));
            context.note_end(Box::pin(http1::serve(connection, &peer, &seat, context)).await);
        }
        Some(Beginning::Late) => {
            let refused = http1::refuse(stream, Fault::HeadTime, &peer, &seat, context);
            context.note_end(Box::pin(refused).await);
        }
        Some(Beginning::Http2(read)) => {
            let served = http2::serve(stream, read.freeze(), &peer, &seat, context);
            if let Err(error) = Box::pin(served).await {
                context.note_broken(is_timeout(&error), &error);
            }
        }
        None => {}
    }
}

/// What a connection begins with, as far as it has been read.
#[derive(Debug)]
enum Beginning {
    Http1(BytesMut),
    Http2(BytesMut),
    /// It took too long to become clear.
    Late,
}

/// Reads until it is clear which protocol this is. `None`: the caller went, or said nothing.
async fn beginning(stream: &mut CallerStream, limits: framing::Limits) -> Option<Beginning> {
    let first = async {
        // A connection that says nothing takes up no room for it.
        stream.readable().await?;
        let mut read = BytesMut::with_capacity(FIRST_READ);
        stream.read_buf(&mut read).await?;
        io::Result::Ok(read)
    };
    let mut read = timeout(limits.keep_alive, first).await.ok()?.ok()?;
    if read.is_empty() {
        return None;
    }
    let Ok(is_http2) = timeout(limits.head, begins_as_http2(stream, &mut read)).await else {
        return Some(Beginning::Late);
    };
    Some(match is_http2.ok()? {
        true => Beginning::Http2(read),
        false => Beginning::Http1(read),
    })
}

async fn begins_as_http2(stream: &mut CallerStream, read: &mut BytesMut) -> io::Result<bool> {
    loop {
        let known = read.len().min(PREFACE.len());
        if read[..known] != PREFACE[..known] {
            return Ok(false);
        }
        if known == PREFACE.len() {
            return Ok(true);
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(false);
        }
    }
}

impl Context {
    /// A place for one more connection. `None`: all are taken, and nobody can make room. Only those who
    /// are served count, or callers that come again and again while they are refused would keep each
    /// other out for ever.
    fn enter(&self) -> Option<(Held, Seat)> {
        let Limits { connections, gauge, .. } = &self.limits;
        let counted = Held::new(gauge);
        let over = usize::try_from(gauge.get() - *connections as i64).unwrap_or(0);
        if over > 0 {
            if !self.seats.make_room(over) {
                return None;
            }
            self.reached(Limit::Connections);
        }
        Some((counted, self.seats.take()))
    }

    fn note_end(&self, ended: Result<(), Broken>) {
        let Err(error) = ended else { return };
        let is_late = matches!(&error, Broken::Caller(error) if is_timeout(error));
        self.note_broken(is_late, &error);
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
        let Proxy { routes, metrics, .. } = &self.proxy;
        let route = routes.at(self.entrance);
        let limits = route.map_or(metrics.unrouted_limits(), |r| &r.settings.metrics.limits);
        limits.reached(limit);
    }
}

/// Most heads fit.
const FIRST_READ: usize = 1024;
/// What HTTP/2 begins with where no TLS has agreed on it (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
