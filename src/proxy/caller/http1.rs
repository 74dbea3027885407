//! HTTP/1.0 and 1.1 with a caller, behind the strict reader.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::framing::{Framed, Open, Watch};
use crate::proxy::peer::Peer;
use crate::proxy::reply::ReplyBody;
use crate::proxy::vendor_body::ReplyError;

use super::Context;

pub(super) async fn serve<I>(
    (stream, watch): (Framed<I>, Arc<Watch>),
    peer: &Peer,
    context: &Context,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Context { entrance, proxy, limits, drain, .. } = context;
    let service = service_fn(|request: Request<Incoming>| {
        let ((open, fault), watch) = (watch.begin(), &watch);
        async move {
            let answer = match fault {
                Some(fault) => proxy.refuse(*entrance, fault),
                None => proxy.handle(*entrance, peer, request).await,
            };
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                watch.tunnel();
            }
            Ok::<_, Infallible>(answer.map(|body| Answered { body, _open: open }))
        }
    });
    let mut builder = http1::Builder::new();
    // The vendor's answer is handed on with the fields that it has, and no others.
    builder.auto_date_header(false);
    if limits.request.headers > USUAL_HEADERS {
        builder.max_headers(limits.request.headers);
    }
    let head = limits.request.target_bytes + limits.request.header_bytes;
    builder.max_buf_size(USUAL_BUFFER.max(2 * head));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection.with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.stopped() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = drain.ended() => Ok(()),
            }
        }
    }
}

/// An answer's body; the pause before the next request begins when it has ended.
#[derive(Debug)]
struct Answered {
    body: ReplyBody,
    _open: Open,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// hyper has room for as many without a word.
const USUAL_HEADERS: usize = 100;
/// What hyper reads ahead at the most.
const USUAL_BUFFER: usize = 400 << 10;
