//! A request body that can be sent a second time.
//!
//! The first attempt streams the caller's body and keeps what it has passed on, up to a limit. The
//! second attempt sends what was kept and then streams on: a vendor that rejects a request before
//! it has read the body costs nothing extra. Beyond the limit nothing is kept, and there is no
//! second attempt.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use prometheus::IntCounter;
use tokio::time::Instant;

/// The body of one attempt, over the caller's body `B`.
#[derive(Debug)]
pub enum ReplayBody<B> {
    /// Requests without a body share nothing and allocate nothing.
    Empty,
    Tee(Attempt<B>),
}

/// One attempt's view of the shared body.
#[derive(Debug)]
pub struct Attempt<B> {
    shared: Rc<RefCell<Shared<B>>>,
    /// Which attempt this is; only the latest may read on.
    number: u32,
    /// How much of what was kept this attempt has sent.
    sent: Sent,
}

/// Stays with the request while its attempts come and go.
#[derive(Debug)]
pub enum Replay<B> {
    Empty,
    Tee(Rc<RefCell<Shared<B>>>),
}

/// Why there is no second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReplay {
    /// More than the limit has passed.
    TooLarge,
    /// The caller's own body failed.
    Broken,
}

#[derive(Debug)]
pub struct Shared<B> {
    body: B,
    /// Counts the bytes that the caller has sent.
    read: IntCounter,
    limit: usize,
    kept: Kept,
    attempt: u32,
    broken: bool,
    ended: bool,
    /// While a newer token is awaited nothing more is read: what is kept must still be all that
    /// was read when the next attempt begins.
    paused: bool,
    /// When the caller's body last moved on.
    moved_at: Instant,
    /// The attempt that waits for more of the body, to be told when it is superseded.
    waiting: Option<Waker>,
}

/// What has passed, while it is within the limit.
#[derive(Debug)]
enum Kept {
    Frames {
        /// Most bodies come in one piece, which is kept as it is.
        first: Bytes,
        rest: BytesMut,
        trailers: Option<http::HeaderMap>,
    },
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    First,
    /// Everything that was kept when this attempt began.
    Kept,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    #[error("the caller's body broke off")]
    Caller(#[source] E),
    #[error("a later attempt has taken the body over")]
    Superseded,
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, ReplayError<E>>>>;

// === impl Replay ===

impl<B: Body<Data = Bytes> + Unpin> Replay<B> {
    /// `limit` is in bytes; `read` counts those that the caller sends. A body whose announced length is beyond it is not kept at all.
    pub fn new(body: B, limit: usize, read: IntCounter) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let kept = if body.size_hint().lower() > limit as u64 {
            Kept::TooLarge
        } else {
            Kept::Frames { first: Bytes::new(), rest: BytesMut::new(), trailers: None }
        };
        Self::Tee(Rc::new(RefCell::new(Shared {
            body,
            read,
            limit,
            kept,
            attempt: 0,
            broken: false,
            ended: false,
            paused: false,
            moved_at: Instant::now(),
            waiting: None,
        })))
    }

    /// The body of the next attempt. An earlier attempt that is still being sent breaks off.
    pub fn attempt(&self) -> ReplayBody<B> {
        let Self::Tee(shared) = self else {
            return ReplayBody::Empty;
        };
        let mut state = shared.borrow_mut();
        state.attempt += 1;
        state.paused = false;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
        let sent = Sent::Nothing;
        ReplayBody::Tee(Attempt { shared: shared.clone(), number: state.attempt, sent })
    }

    /// Completes with `meanwhile`; until then the attempt under way reads no more of the body.
    pub async fn paused<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        let Self::Tee(shared) = self else { return meanwhile.await };
        shared.borrow_mut().paused = true;
        let result = meanwhile.await;
        let mut state = shared.borrow_mut();
        state.paused = false;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
        result
    }

    /// When the body last moved on; `None` without a body.
    pub fn moved_at(&self) -> Option<Instant> {
        match self {
            Self::Empty => None,
            Self::Tee(shared) => Some(shared.borrow().moved_at),
        }
    }

    /// Whether the next attempt would send the same body to the byte.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), NoReplay> {
        let Self::Tee(shared) = self else {
            return Ok(());
        };
        let state = shared.borrow();
        match &state.kept {
            _ if state.broken => Err(NoReplay::Broken),
            Kept::TooLarge => Err(NoReplay::TooLarge),
            Kept::Frames { .. } => Ok(()),
        }
    }
}

// === impl ReplayBody ===

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = ReplayError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Tee(attempt) => attempt.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Tee(attempt) => attempt.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Tee(attempt) => attempt.size_hint(),
        }
    }
}

// === impl Attempt ===

impl<B: Body<Data = Bytes> + Unpin> Attempt<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled<B::Error> {
        let mut state = self.shared.borrow_mut();
        if state.attempt != self.number {
            return Poll::Ready(Some(Err(ReplayError::Superseded)));
        }
        if state.paused {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // The first attempt passes on what it reads; only later ones begin with what was kept.
        if self.number > 1
            && let Some(bytes) = state.kept.next(&mut self.sent)
        {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.number > 1 && state.ended {
            // Trailers that have passed once are passed again.
            let Kept::Frames { trailers, .. } = &mut state.kept else {
                return Poll::Ready(None);
            };
            return Poll::Ready(trailers.take().map(|map| Ok(Frame::trailers(map))));
        }
        state.poll_live(cx)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.borrow();
        self.number == 1 && (state.ended || state.body.is_end_stream())
    }

    /// The caller's hint is of what is still to come: before the first frame that is all of it.
    fn size_hint(&self) -> SizeHint {
        let state = self.shared.borrow();
        let hint = state.body.size_hint();
        let kept = if self.number > 1 { state.kept.remaining(self.sent) } else { 0 };
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(kept));
        }
        whole.set_lower(hint.lower().saturating_add(kept));
        whole
    }
}

// === impl Shared ===

impl<B: Body<Data = Bytes> + Unpin> Shared<B> {
    fn poll_live(&mut self, cx: &mut Context<'_>) -> Polled<B::Error> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.broken = true;
                Poll::Ready(Some(Err(ReplayError::Caller(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.moved_at = Instant::now();
                self.read.inc_by(frame.data_ref().map_or(0, |data| data.len() as u64));
                // A second attempt has no third: what it reads anew need not be kept.
                if self.attempt == 1 {
                    self.kept.keep(&frame, self.limit);
                }
                self.ended |= frame.is_trailers() || self.body.is_end_stream();
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

// === impl Kept ===

impl Kept {
    fn keep(&mut self, frame: &Frame<Bytes>, limit: usize) {
        let Self::Frames { first, rest, trailers } = self else {
            return;
        };
        let Some(data) = frame.data_ref() else {
            *trailers = frame.trailers_ref().cloned();
            return;
        };
        if first.len() + rest.len() + data.len() > limit {
            *self = Self::TooLarge;
        } else if first.is_empty() {
            *first = data.clone();
        } else {
            // Copied into one buffer: a caller that sends single bytes must not cost a buffer each.
            rest.extend_from_slice(data);
        }
    }

    /// The next piece for a later attempt.
    fn next(&mut self, sent: &mut Sent) -> Option<Bytes> {
        let Self::Frames { first, rest, .. } = self else {
            return None;
        };
        if *sent == Sent::Nothing {
            *sent = Sent::First;
            if !first.is_empty() {
                return Some(first.clone());
            }
        }
        if *sent == Sent::First {
            *sent = Sent::Kept;
            if !rest.is_empty() {
                return Some(std::mem::take(rest).freeze());
            }
        }
        None
    }

    fn remaining(&self, sent: Sent) -> u64 {
        let Self::Frames { first, rest, .. } = self else {
            return 0;
        };
        let bytes = match sent {
            Sent::Nothing => first.len() + rest.len(),
            Sent::First => rest.len(),
            Sent::Kept => 0,
        };
        bytes as u64
    }
}

#[cfg(test)]
mod tests;
