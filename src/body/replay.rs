//! A request body that can be sent a second time.
//!
//! The first attempt streams the caller's body and keeps what it has passed on, up to a limit. A
//! later attempt sends what was kept and then streams and keeps on: a vendor that rejects a request
//! before it has read the body costs nothing extra. Beyond the limit nothing is kept, and there is
//! no other attempt.

mod failure;
mod kept;

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus::IntCounter;
use tokio::time::{Instant, timeout_at};

use failure::stood_still;
use kept::Kept;

pub use failure::{NoReplay, ReplayError};
pub use kept::Limits;

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
    /// Pieces that were kept when it began, and how many of them it has sent.
    pieces: usize,
    sent: usize,
    /// It has passed the whole body on.
    is_over: bool,
}

/// Stays with the request while its attempts come and go.
#[derive(Debug)]
pub enum Replay<B> {
    Empty,
    Tee(Rc<RefCell<Shared<B>>>),
}

#[derive(Debug)]
pub struct Shared<B> {
    body: B,
    limits: Limits,
    kept: Kept,
    attempt: u32,
    failure: Option<NoReplay>,
    ended: bool,
    /// Nothing is read now: while a newer token is awaited, so that what is kept is still all that
    /// was read when the next attempt begins; and while the vendor has not said that it wants the
    /// body.
    paused: bool,
    /// Bytes taken.
    taken: u64,
    /// When the caller's body last moved on.
    moved_at: Instant,
    passed: IntCounter,
    /// The attempt that waits for more of the body, to be told when it is superseded.
    waiting: Option<Waker>,
    /// The latest attempt is no longer being sent.
    dropped: bool,
    /// Whoever waits for the end of the body.
    end_awaited: Option<Waker>,
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, ReplayError<E>>>>;

// === impl Replay ===

impl<B: Body<Data = Bytes, Error: Error + 'static> + Unpin> Replay<B> {
    /// A body whose announced length is beyond what may be kept is not kept at all. `passed` counts
    /// the bytes that come from the caller, once each.
    pub fn new(body: B, limits: Limits, passed: &IntCounter) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let kept = if body.size_hint().lower() > limits.kept as u64 {
            Kept::TooLarge
        } else {
            Kept::nothing()
        };
        Self::Tee(Rc::new(RefCell::new(Shared {
            body,
            limits,
            kept,
            attempt: 0,
            failure: None,
            ended: false,
            paused: false,
            taken: 0,
            moved_at: Instant::now(),
            passed: passed.clone(),
            waiting: None,
            dropped: false,
            end_awaited: None,
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
        state.dropped = false;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
        let (number, pieces) = (state.attempt, state.kept.begin());
        let shared = shared.clone();
        ReplayBody::Tee(Attempt { shared, number, pieces, sent: 0, is_over: false })
    }

    /// Completes with `meanwhile`; until then the attempt under way reads no more of the body.
    pub async fn paused<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        let Self::Tee(shared) = self else { return meanwhile.await };
        let before = std::mem::replace(&mut shared.borrow_mut().paused, true);
        let result = meanwhile.await;
        if !before {
            self.go_on();
        }
        result
    }

    /// The attempt under way reads no more of the body until it may go on.
    pub fn pause(&self) {
        let Self::Tee(shared) = self else { return };
        shared.borrow_mut().paused = true;
    }

    pub fn go_on(&self) {
        let Self::Tee(shared) = self else { return };
        let mut state = shared.borrow_mut();
        state.paused = false;
        // The time until now was not the caller's.
        state.moved_at = Instant::now();
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
    }

    /// Whether the caller's body has been read to its end.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Tee(shared) => shared.borrow().ended,
        }
    }

    /// Waits for the end of the body; `false` when it will not be read to there: it has stood still
    /// for `longest`, or failed, or nobody reads it.
    pub async fn ends_without_pausing_for(&self, longest: Duration) -> bool {
        let Self::Tee(shared) = self else { return true };
        loop {
            let moved_at = shared.borrow().moved_at;
            let over = poll_fn(|cx| shared.borrow_mut().poll_over(cx));
            match timeout_at(moved_at + longest, over).await {
                Ok(has_ended) => return has_ended,
                Err(_) if shared.borrow().moved_at == moved_at => return false,
                Err(_) => {}
            }
        }
    }

    /// Bytes that have come from the caller.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Tee(shared) => shared.borrow().taken,
        }
    }

    /// When the body last moved on; `None` without a body.
    pub fn moved_at(&self) -> Option<Instant> {
        match self {
            Self::Empty => None,
            Self::Tee(shared) => Some(shared.borrow().moved_at),
        }
    }

    /// Whether the body cannot go on because its caller has sent no more of it.
    pub fn awaits_caller(&self) -> bool {
        let Self::Tee(shared) = self else { return false };
        let state = shared.borrow();
        state.waiting.is_some() && !state.paused
    }

    /// Whether the next attempt would send the same body to the byte.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), NoReplay> {
        let Self::Tee(shared) = self else { return Ok(()) };
        let state = shared.borrow();
        match (&state.kept, state.failure) {
            (_, Some(failure)) => Err(failure),
            (Kept::TooLarge, None) => Err(NoReplay::TooLarge),
            (Kept::Frames { .. }, None) => Ok(()),
        }
    }
}

/// The request is over: an attempt that is still being sent breaks off.
impl<B> Drop for Replay<B> {
    fn drop(&mut self) {
        let Self::Tee(shared) = self else { return };
        let mut state = shared.borrow_mut();
        state.attempt = u32::MAX;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
    }
}

// === impl ReplayBody ===

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
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

impl<B: Body<Data = Bytes, Error: Error + 'static> + Unpin> Attempt<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled<B::Error> {
        let mut state = self.shared.borrow_mut();
        if state.attempt != self.number {
            let reason = h2::Error::from(h2::Reason::CANCEL);
            return Poll::Ready(Some(Err(ReplayError::Superseded(reason))));
        }
        if state.paused {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        if !self.has_caught_up()
            && let Some(bytes) = state.kept.piece(self.sent)
        {
            self.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(bytes.clone()))));
        }
        if state.ended {
            // Trailers that have passed once are passed again.
            self.is_over = true;
            let trailers = state.kept.trailers().cloned();
            return Poll::Ready(trailers.map(|map| Ok(Frame::trailers(map))));
        }
        let frame = ready!(state.poll_live(cx));
        self.is_over = state.ended;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.borrow();
        let no_more = match state.ended {
            true => state.kept.trailers().is_none(),
            false => state.body.is_end_stream(),
        };
        self.is_over || self.has_caught_up() && no_more
    }

    /// All that earlier attempts had read has been sent.
    fn has_caught_up(&self) -> bool {
        self.sent == self.pieces
    }

    /// The caller's hint is of what is still to come: before the first frame that is all of it.
    fn size_hint(&self) -> SizeHint {
        let state = self.shared.borrow();
        let hint = state.body.size_hint();
        let kept = if self.has_caught_up() { 0 } else { state.kept.remaining(self.sent) };
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(kept));
        }
        whole.set_lower(hint.lower().saturating_add(kept));
        whole
    }
}

impl<B> Drop for Attempt<B> {
    fn drop(&mut self) {
        let mut state = self.shared.borrow_mut();
        if state.attempt == self.number {
            state.dropped = true;
            state.tell_end();
        }
    }
}

// === impl Shared ===

impl<B> Shared<B> {
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.ended || self.dropped || self.paused || self.failure.is_some() {
            return Poll::Ready(self.ended);
        }
        self.end_awaited = Some(cx.waker().clone());
        Poll::Pending
    }

    fn tell_end(&mut self) {
        if let Some(waiting) = self.end_awaited.take() {
            waiting.wake();
        }
    }
}

impl<B: Body<Data = Bytes, Error: Error + 'static> + Unpin> Shared<B> {
    fn poll_live(&mut self, cx: &mut Context<'_>) -> Polled<B::Error> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.waiting = None;
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.ended = true;
                self.tell_end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let stood_still = stood_still(&error);
                let why = if stood_still { NoReplay::StoodStill } else { NoReplay::Broken };
                self.failure = Some(why);
                Poll::Ready(Some(Err(ReplayError::Caller(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.moved_at = Instant::now();
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.passed.inc_by(length);
                self.taken += length;
                if self.taken > self.limits.whole {
                    self.failure = Some(NoReplay::BeyondAll);
                    return Poll::Ready(Some(Err(ReplayError::BeyondAll)));
                }
                self.kept.keep(&frame, self.limits.kept);
                self.ended |= frame.is_trailers() || self.body.is_end_stream();
                if self.ended {
                    self.tell_end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
