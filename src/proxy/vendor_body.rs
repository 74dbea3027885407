//! A vendor's body on its way to the caller, and what ends with it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::body::peek::Peeked;
use crate::body::replay::{Replay, ReplayBody};
use crate::framing::CallerBody;
use crate::headers::connection_options;
use crate::telemetry::metrics::{Held, Limit, WorkerMetrics};
use crate::upstream::pool::Lease;
use crate::upstream::{AnswerBody, BrokenOff};

use super::access::Entry;
use super::route::Route;

/// When it has ended its connection goes back to the pool; when it is dropped before, the
/// connection is closed.
#[derive(Debug)]
pub struct VendorBody {
    body: Peeked<AnswerBody>,
    lease: Option<Lease<ReplayBody<CallerBody>>>,
    flight: Flight,
    clock: Clock,
}

/// A request from its head to the end of its answer's body.
#[derive(Debug)]
pub struct Flight {
    pub(super) route: Rc<Route>,
    began: Instant,
    /// The caller's body, for as long as anybody may want it; none until its head is admitted.
    pub replay: Replay<CallerBody>,
    is_last: bool,
    /// In the access log.
    pub entry: Option<Entry>,
    _in_flight: Held,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Between two of its pieces.
    pub idle: Duration,
    /// From the request's head to its last byte.
    pub total: Option<Duration>,
}

/// Ends an answer in which nothing moves any more, or that goes on for too long. The timer is made
/// at the first pause: most answers are there as a whole and never need one.
#[derive(Debug)]
struct Clock {
    times: Times,
    /// When the whole must have ended.
    end: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error("the upstream's answer broke off")]
    Upstream(#[from] BrokenOff),
    #[error("the upstream gave its answer up")]
    BrokenOff,
    #[error("the upstream's answer stood still for {}", humantime::format_duration(*.0))]
    StoodStill(Duration),
    #[error("the answer had not ended after {}", humantime::format_duration(*.0))]
    TookTooLong(Duration),
}

// === impl VendorBody ===

impl VendorBody {
    pub fn new(
        body: Peeked<AnswerBody>,
        lease: Option<Lease<ReplayBody<CallerBody>>>,
        flight: Flight,
        times: Times,
    ) -> Self {
        let end = times.total.map(|total| flight.began + total);
        let clock = Clock { times, end, timer: None, waiting: false };
        let mut this = Self { body, lease, flight, clock };
        this.give_back_if_complete();
        this.note_passed(0);
        this
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if let Err(over) = self.clock.check() {
            return Poll::Ready(Some(Err(self.end(over))));
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let over = ready!(self.clock.poll_over(cx));
                return Poll::Ready(Some(Err(self.end(over))));
            }
        };
        self.clock.waiting = false;
        match frame {
            Some(Err(error)) => Poll::Ready(Some(Err(self.cut(error.into())))),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.flight.route.metrics.response_bytes.inc_by(data.len() as u64);
                }
                self.note_passed(frame.data_ref().map_or(0, Bytes::len));
                self.give_back_if_complete();
                Poll::Ready(Some(Ok(frame)))
            }
            None if self.body.has_broken_off() => {
                Poll::Ready(Some(Err(self.cut(ReplyError::BrokenOff))))
            }
            None => {
                self.flight.entry.iter().for_each(|entry| entry.passed(0, true));
                self.give_back();
                Poll::Ready(None)
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn end(&mut self, over: Limit) -> ReplyError {
        self.flight.route.settings.metrics.limits.reached(over);
        self.cut(match (over, self.clock.times.total) {
            (Limit::Total, Some(total)) => ReplyError::TookTooLong(total),
            _ => ReplyError::StoodStill(self.clock.times.idle),
        })
    }

    fn cut(&mut self, why: ReplyError) -> ReplyError {
        self.lease = None;
        self.flight.entry.iter().for_each(Entry::cut);
        why
    }

    /// So many bytes are on their way to the caller.
    fn note_passed(&self, bytes: usize) {
        if let Some(entry) = &self.flight.entry {
            entry.passed(bytes, self.body.is_end_stream());
        }
    }

    /// The last byte has come from the network, though perhaps not gone to the caller yet.
    fn give_back_if_complete(&mut self) {
        if self.body.is_complete() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.flight.give_back(lease, self.clock.times.idle);
        }
    }
}

// === impl Clock ===

impl Clock {
    fn check(&self) -> Result<(), Limit> {
        match self.end {
            Some(end) if Instant::now() >= end => Err(Limit::Total),
            _ => Ok(()),
        }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Limit> {
        let idle = Instant::now() + self.times.idle;
        let deadline = self.end.map_or(idle, |end| end.min(idle));
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(self.check().err().unwrap_or(Limit::AnswerIdle))
    }
}

// === impl Flight ===

impl Flight {
    pub fn new(route: Rc<Route>, began: Instant, entry: Option<Entry>) -> Self {
        let in_flight = Held::new(&route.settings.metrics.in_flight);
        Self { route, began, replay: Replay::Empty, is_last: false, entry, _in_flight: in_flight }
    }

    /// Notes from an answer's head whether its sender takes no more of the request after it.
    pub fn note_end(&mut self, headers: &HeaderMap) {
        self.is_last = !self.replay.has_ended()
            && connection_options(headers).any(|option| option.eq_ignore_ascii_case(b"close"));
    }

    /// The answer is complete. A request that is still being sent then goes on, unless the answer
    /// said that this is the end (RFC 9112, 9.6), or nothing of it moves any more: a caller that
    /// reads only after it has sent everything must not wait for a vendor that reads no more.
    fn give_back(&mut self, lease: Lease<ReplayBody<CallerBody>>, idle: Duration) {
        if self.replay.has_ended() {
            lease.done();
        } else if !self.is_last {
            self.note_taken();
            let replay = std::mem::replace(&mut self.replay, Replay::Empty);
            tokio::task::spawn_local(async move {
                if replay.ends_without_pausing_for(idle.min(LONGEST_UPLOAD_PAUSE)).await {
                    lease.done();
                }
            });
        }
    }

    fn note_taken(&self) {
        self.entry.iter().for_each(|entry| entry.took(self.replay.taken()));
    }

    pub fn metrics(&self) -> &WorkerMetrics {
        &self.route.metrics
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.note_taken();
        self.route.metrics.duration.observe(self.began.elapsed().as_secs_f64());
    }
}

/// How long the rest of a request may stand still when its answer has been given.
const LONGEST_UPLOAD_PAUSE: Duration = Duration::from_secs(5);
