//! One caller's connection: which protocol it speaks, and how its requests become answers.

mod http1;
mod http2;
mod prefixed;

use std::io;
use std::net::SocketAddr;
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
use super::tls::{Accepted, Protocol, Refused, Terminator};

pub(super) use prefixed::Prefixed;

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
    pub drain: Drain,
}

/// Serves a connection to its end.
pub async fn serve<I>(stream: I, peer: Peer, context: Context)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _hold = context.drain.hold();
    match context.limits.count() {
        Some(counted) => http(stream, peer, None, counted, &context).await,
        None => refuse(stream, Fault::Connections, &peer, &context).await,
    }
}

/// The same over TLS.
pub async fn serve_tls<I>(stream: I, address: SocketAddr, tls: &Terminator, context: Context)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _hold = context.drain.hold();
    let Some(counted) = context.limits.count() else {
        // To be told so it would need the handshake, which costs more than most requests.
        return context.reached(Limit::Connections);
    };
    // In a box: a connection shall not carry the weight of its handshake.
    let handshake = Box::pin(tls.accept(stream, address, context.limits.request.head));
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        () = context.drain.stopped() => return,
    };
    match accepted {
        Ok(Accepted { stream, peer, protocol }) => {
            http(stream, peer, protocol, counted, &context).await;
        }
        Err(Refused::Plain(stream)) => {
            refuse(stream, Fault::NoTls, &Peer::Tcp(address), &context).await;
        }
        Err(Refused::Late) => context.reached(Limit::Head),
        Err(Refused::Failed) => {}
    }
}

/// Answers whatever comes with this fault.
async fn refuse<I>(stream: I, fault: Fault, peer: &Peer, context: &Context)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = http1::serve(Framed::refusing(stream, fault), peer, context).await;
    context.note_end(ended);
}

/// Speaks HTTP, in the version that was agreed on or that shows itself.
async fn http<I>(
    mut stream: I,
    peer: Peer,
    agreed: Option<Protocol>,
    counted: Held,
    context: &Context,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = context.limits.request;
    let began = match agreed {
        Some(Protocol::Http1) => Some(Beginning::Http1(Bytes::new())),
        Some(Protocol::Http2) => Some(Beginning::Http2(Bytes::new())),
        None => tokio::select! {
            began = beginning(&mut stream, limits) => began,
            () = context.drain.stopped() => return,
        },
    };
    let ended = match began {
        Some(Beginning::Http1(read)) => {
            let (framed, watch) = Framed::new(stream, read, limits);
            http1::serve((framed.counted(counted), watch), &peer, context).await
        }
        Some(Beginning::Late) => {
            http1::serve(Framed::refusing(stream, Fault::HeadTime), &peer, context).await
        }
        Some(Beginning::Http2(read)) => http2::serve(stream, read, &peer, context).await,
        None => return,
    };
    context.note_end(ended);
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

impl Limits {
    /// `None`: there are too many. Only those who are served count, or callers that come again and
    /// again while they are refused would keep each other out for ever.
    fn count(&self) -> Option<Held> {
        let counted = Held::new(&self.gauge);
        (self.gauge.get() <= self.connections as i64).then_some(counted)
    }
}

impl Context {
    fn note_end(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        // Its caller did not take the answer.
        if is_timeout(&error) {
            self.reached(Limit::Idle);
        }
        debug!(error = causes(&error), "a caller's connection ended badly");
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
