//! One caller's connection: which protocol it speaks, and how its requests become answers.

mod http1;
mod http2;
mod prefixed;
mod seats;

use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;
use tracing::debug;

use crate::causes::causes;
use crate::causes::network::is_timeout;
use crate::drain::Drain;
use crate::framing::{self, Fault, Framed};
use crate::telemetry::metrics::{Held, Limit};

use super::Proxy;
use super::peer::Peer;
use super::route::Entrance;

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
    /// Of all connections of the worker.
    pub seats: Rc<Seats>,
    pub drain: Drain,
}

/// Serves a connection to its end.
pub async fn serve<I>(mut stream: I, peer: Peer, context: Context)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _hold = context.drain.hold();
    let counted = Held::new(&context.limits.gauge);
    let limits = context.limits.request;
    let room = context.room();
    if matches!(room, Room::Made) {
        context.proxy.reached(context.entrance, Limit::Connections);
    }
    let seat = context.seats.take();
    let ended = if matches!(room, Room::None) {
        // Nobody has its place by sending it away.
        let _busy = seat.busy();
        // Only those who are served count, or callers that come again and again while they are
        // refused would keep each other out for ever.
        drop(counted);
        let refusing = Framed::refusing(stream, Fault::Connections);
        Box::pin(http1::serve(refusing, &peer, &seat, &context)).await
    } else {
        let began = tokio::select! {
            began = beginning(&mut stream, limits) => began,
            () = context.drain.stopped() => return,
            () = seat.must_leave() => return,
        };
        // In boxes: a connection that says nothing does not carry their weight.
        match began {
            Some(Beginning::Http1(read)) => {
                let (framed, watch) = Framed::new(stream, read, limits);
                let reader = (framed.counted(counted), watch);
                Box::pin(http1::serve(reader, &peer, &seat, &context)).await
            }
            Some(Beginning::Late) => {
                let refusing = Framed::refusing(stream, Fault::HeadTime);
                Box::pin(http1::serve(refusing, &peer, &seat, &context)).await
            }
            Some(Beginning::Http2(read)) => {
                Box::pin(http2::serve(stream, read, &peer, &seat, &context)).await
            }
            None => return,
        }
    };
    if let Err(error) = ended {
        // Its caller did not take the answer.
        if is_timeout(&error) {
            context.proxy.reached(context.entrance, Limit::Idle);
        }
        debug!(error = causes(&error), "a caller's connection ended badly");
    }
}

/// Whether there is a place for one more connection.
enum Room {
    Free,
    /// Others leave for it.
    Made,
    None,
}

impl Context {
    /// For a connection that is counted already.
    fn room(&self) -> Room {
        let Limits { connections, gauge, .. } = &self.limits;
        match usize::try_from(gauge.get() - *connections as i64) {
            Err(_) | Ok(0) => Room::Free,
            Ok(over) if self.seats.make_room(over) => Room::Made,
            Ok(_) => Room::None,
        }
    }
}

/// What a connection begins with, as far as it has been read.
#[derive(Debug)]
enum Beginning {
    Http1(Bytes),
    Http2(Bytes),
    /// It took too long to become clear.
    Late,
}

/// Reads until it is clear which protocol this is. `None`: the caller went, or said nothing.
async fn beginning(
    stream: &mut (impl AsyncRead + Unpin),
    limits: framing::Limits,
) -> Option<Beginning> {
    let mut read = BytesMut::with_capacity(FIRST_READ);
    let first = timeout(limits.keep_alive, stream.read_buf(&mut read)).await.ok()?;
    if first.ok()? == 0 {
        return None;
    }
    let Ok(is_http2) = timeout(limits.head, begins_as_http2(stream, &mut read)).await else {
        return Some(Beginning::Late);
    };
    Some(match is_http2.ok()? {
        true => Beginning::Http2(read.freeze()),
        false => Beginning::Http1(read.freeze()),
    })
}

async fn begins_as_http2(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut BytesMut,
) -> io::Result<bool> {
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

impl Proxy {
    /// Counts what a connection has met: with [`Limit::Idle`], that its caller did not read its answer.
    fn reached(&self, entrance: Entrance, limit: Limit) {
        let route = self.routes.at(entrance);
        let limits = route.map_or(self.metrics.unrouted_limits(), |r| &r.settings.metrics.limits);
        limits.reached(limit);
    }
}

/// Most heads fit.
const FIRST_READ: usize = 1024;
/// What HTTP/2 begins with where no TLS has agreed on it (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
