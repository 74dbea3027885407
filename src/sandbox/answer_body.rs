//! The body of an answer: whole, byte by byte, broken off, or a slow stream.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

/// A response body that can misbehave on purpose.
#[derive(Debug)]
pub(super) struct AnswerBody {
    rest: Rest,
    /// Announced as the length; `None` leaves the body chunked.
    announced: Option<u64>,
    /// The body breaks off where it would end.
    cut: bool,
    /// Every frame goes out before the next: hyper gathers frames until the body has to wait.
    flush_each: bool,
    unflushed: bool,
}

#[derive(Debug)]
enum Rest {
    Whole(Bytes),
    Bytewise(Bytes),
    Stream { chunk: Bytes, left: u64, pause: Duration, next: Pin<Box<Sleep>> },
}

/// The sandbox breaks the connection off, as it was told to.
#[derive(Debug, Error)]
#[error("cut on purpose")]
pub(super) struct CutOnPurpose;

impl AnswerBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        let announced = Some(bytes.len() as u64);
        Self { announced, ..Self::chunked(Rest::Whole(bytes)) }
    }

    /// Each byte is a chunk of its own, so that a client's parser meets every boundary even
    /// where the kernel gathers the segments.
    pub(super) fn split(bytes: Bytes) -> Self {
        Self { flush_each: true, ..Self::chunked(Rest::Bytewise(bytes)) }
    }

    /// Announces all, sends half.
    pub(super) fn cut(bytes: Bytes) -> Self {
        let announced = Some(bytes.len() as u64);
        let half = Rest::Whole(bytes.slice(..bytes.len() / 2));
        Self { announced, cut: true, flush_each: true, ..Self::chunked(half) }
    }

    /// With `cut` half of the chunks, and no end.
    pub(super) fn stream(chunk: Bytes, chunks: u64, pause: Duration, cut: bool) -> Self {
        let left = if cut { chunks / 2 } else { chunks };
        let next = Box::pin(sleep(pause));
        let rest = Rest::Stream { chunk, left, pause, next };
        Self { cut, flush_each: cut, ..Self::chunked(rest) }
    }

    fn chunked(rest: Rest) -> Self {
        Self { rest, announced: None, cut: false, flush_each: false, unflushed: false }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOnPurpose;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOnPurpose>>> {
        if self.unflushed {
            self.unflushed = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = match &mut self.rest {
            Rest::Whole(bytes) => (!bytes.is_empty()).then(|| std::mem::take(bytes)),
            Rest::Bytewise(bytes) => (!bytes.is_empty()).then(|| bytes.split_to(1)),
            Rest::Stream { left: 0, .. } => None,
            Rest::Stream { chunk, left, pause, next } => {
                if !pause.is_zero() {
                    std::task::ready!(next.as_mut().poll(cx));
                    next.as_mut().reset(Instant::now() + *pause);
                }
                *left -= 1;
                Some(chunk.clone())
            }
        };
        self.unflushed = self.flush_each && next.is_some();
        match next {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if self.cut => Poll::Ready(Some(Err(CutOnPurpose))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        // An empty body that is cut has nothing to break off.
        self.announced == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map(SizeHint::with_exact).unwrap_or_default()
    }
}
