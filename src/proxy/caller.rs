//! One caller's connection: which protocol it speaks, and how its requests become answers.

mod http1;
mod http2;
mod prefixed;

use std::io;

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
use super::route::Entrance;

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
    pub drain: Drain,
}

/// Serves a connection to its end.
pub async fn serve<I>(mut stream: I, context: Context)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _hold = context.drain.hold();
    let counted = Held::new(&context.limits.gauge);
    let limits = context.limits.request;
    let ended = if context.limits.gauge.get() > context.limits.connections as i64 {
        // Saying so takes a while, in which it shall not keep others out.
        drop(counted);
        http1::serve(Framed::refusing(stream, Fault::Connections), &context).await
    } else {
        let began = tokio::select! {
            began = beginning(&mut stream, limits) => began,
            () = context.drain.stopped() => return,
        };
        match began {
            Some(Beginning::Http1(read)) => {
                http1::serve(Framed::new(stream, read, limits), &context).await
            }
            Some(Beginning::Http2(read)) => http2::serve(stream, read, &context).await,
            None => return,
        }
    };
    if let Err(error) = ended {
        // Its caller did not take the answer.
        if is_timeout(&error) {
            context.proxy.unread(context.entrance);
        }
        debug!(error = causes(&error), "a caller's connection ended badly");
    }
}

/// What a connection begins with, as far as it has been read.
#[derive(Debug)]
enum Beginning {
    Http1(Bytes),
    Http2(Bytes),
}

/// Reads until it is clear which protocol this is. `None`: the caller went, or said nothing.
async fn beginning(
    stream: &mut (impl AsyncRead + Unpin),
    limits: framing::Limits,
) -> Option<Beginning> {
    let mut read = BytesMut::with_capacity(FIRST_READ);
    let mut patience = limits.keep_alive;
    loop {
        let more: Result<io::Result<usize>, _> =
            timeout(patience, stream.read_buf(&mut read)).await;
        // What has begun and not gone on in time is for the strict reader to refuse.
        let is_over = more.map_or(Ok(true), |more| more.map(|amount| amount == 0)).ok()?;
        let known = read.len().min(PREFACE.len());
        if is_over || read[..known] != PREFACE[..known] {
            return (!read.is_empty()).then(|| Beginning::Http1(read.freeze()));
        }
        if known == PREFACE.len() {
            return Some(Beginning::Http2(read.freeze()));
        }
        patience = limits.head;
    }
}

impl Proxy {
    /// Counts a caller that did not read its answer.
    fn unread(&self, entrance: Entrance) {
        let route = self.routes.at(entrance);
        let limits = route.map_or(self.metrics.unrouted_limits(), |r| &r.settings.metrics.limits);
        limits.reached(Limit::Idle);
    }
}

/// Most heads fit.
const FIRST_READ: usize = 1024;
/// What HTTP/2 begins with where no TLS has agreed on it (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
