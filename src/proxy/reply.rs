//! Answers: the vendor's, handed on; and our own, from one table.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, Sleep};

use crate::body::peek::Peeked;
use crate::body::replay::ReplayBody;
use crate::causes::causes;
use crate::telemetry::metrics::{Held, RequestMetrics};
use crate::token::NoTokenKind;
use crate::upstream::pool::{Lease, SendError};
use crate::vendor::description::Envelope;

use super::error::ProxyError;

/// The body of every answer.
#[derive(Debug)]
pub enum ReplyBody {
    Own(Option<Bytes>),
    Vendor(VendorBody),
}

/// A vendor's body on its way to the caller. When it has ended its connection goes back to the
/// pool; when it is dropped before, the connection is closed.
#[derive(Debug)]
pub struct VendorBody {
    body: Peeked<Incoming>,
    lease: Option<Lease<ReplayBody<Incoming>>>,
    flight: Flight,
    idle: Idle,
}

/// A request from its head to the end of its answer's body.
#[derive(Debug)]
pub struct Flight {
    metrics: Arc<RequestMetrics>,
    began: Instant,
    _in_flight: Held,
}

/// Ends an answer in which nothing moves any more. The timer is made at the first pause: most
/// answers are there as a whole and never need one.
#[derive(Debug)]
struct Idle {
    longest: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error("the upstream's answer broke off")]
    Upstream(#[from] hyper::Error),
    #[error("the upstream's answer stood still for {}", humantime::format_duration(*.0))]
    StoodStill(Duration),
}

// === impl ReplyBody ===

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Vendor(vendor) => vendor.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Vendor(vendor) => vendor.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Vendor(vendor) => vendor.body.size_hint(),
        }
    }
}

// === impl VendorBody ===

impl VendorBody {
    pub fn new(
        body: Peeked<Incoming>,
        lease: Option<Lease<ReplayBody<Incoming>>>,
        flight: Flight,
        longest_pause: Duration,
    ) -> Self {
        let idle = Idle { longest: longest_pause, timer: None, waiting: false };
        let mut this = Self { body, lease, flight, idle };
        this.give_back_if_complete();
        this
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.idle.poll_over(cx));
                return Poll::Ready(Some(Err(ReplyError::StoodStill(self.idle.longest))));
            }
        };
        self.idle.waiting = false;
        match frame {
            Some(Err(error)) => {
                self.lease = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.flight.metrics.response_bytes.inc_by(data.len() as u64);
                }
                self.give_back_if_complete();
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                self.give_back();
                Poll::Ready(None)
            }
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
            lease.done();
        }
    }
}

// === impl Idle ===

impl Idle {
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = Instant::now() + self.longest;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx)
    }
}

// === impl Flight ===

impl Flight {
    pub fn new(metrics: Arc<RequestMetrics>, began: Instant) -> Self {
        let in_flight = Held::new(&metrics.in_flight);
        Self { metrics, began, _in_flight: in_flight }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.metrics.duration.observe(self.began.elapsed().as_secs_f64());
    }
}

/// The one table of our own answers: status, kind, title.
fn classify(error: &ProxyError) -> (StatusCode, &'static str, &'static str) {
    match error {
        ProxyError::NoRoute(_) => (StatusCode::NOT_FOUND, "no-route", "No such route"),
        ProxyError::Tunnel => (StatusCode::METHOD_NOT_ALLOWED, "tunnel", "No tunnels"),
        ProxyError::TargetTooLong => {
            (StatusCode::URI_TOO_LONG, "target-too-long", "Target too long")
        }
        ProxyError::Body => (StatusCode::BAD_REQUEST, "body-broken", "Request body broken"),
        ProxyError::Refused(refusal) => {
            (StatusCode::FORBIDDEN, refusal.kind(), "Refused by the gateway")
        }
        ProxyError::NoToken { source, .. } => {
            let kind = match source.kind {
                NoTokenKind::Unavailable => "no-token",
                NoTokenKind::Budget => "budget-spent",
                NoTokenKind::Slow => "refresh-slow",
            };
            (StatusCode::SERVICE_UNAVAILABLE, kind, "No token")
        }
        ProxyError::Upstream { source: SendError::Silent(_), .. } => {
            (StatusCode::GATEWAY_TIMEOUT, "upstream-silent", "Upstream silent")
        }
        ProxyError::Upstream { source: SendError::Connect(_), .. } => {
            (StatusCode::BAD_GATEWAY, "upstream-unreachable", "Upstream unreachable")
        }
        ProxyError::Upstream { source: SendError::Broken(_), .. } => {
            (StatusCode::BAD_GATEWAY, "upstream-broken", "Upstream broke off")
        }
    }
}

/// Our own answer to a request that got none from the vendor: a problem (RFC 9457) that also reads
/// like the vendor's failures, and a header that says it is ours.
pub fn problem(
    error: &ProxyError,
    envelope: Option<&Envelope>,
    request_id: &str,
) -> Response<ReplyBody> {
    let (status, kind, title) = classify(error);
    let detail = causes(error);
    let mut members = Map::new();
    if let Some(name) = envelope.and_then(|envelope| envelope.code.as_ref()) {
        members.insert(name.clone(), status.as_u16().into());
    }
    if let Some(name) = envelope.and_then(|envelope| envelope.message.as_ref()) {
        members.insert(name.clone(), Value::from(format!("tokenward: {detail}")));
    }
    let own = json!({
        "type": format!("urn:tokenward:error:{kind}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
        "request_id": request_id,
    });
    if let Value::Object(own) = own {
        members.extend(own);
    }
    let body = Bytes::from(Value::Object(members).to_string());
    let mut response = Response::new(ReplyBody::Own(Some(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(ERROR_HEADER, HeaderValue::from_static(kind));
    if let Some(after) = error.retry_after() {
        // Whole seconds, rounded up: coming back too early would be in vain.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// The kind of one of our own errors, for logs.
pub fn kind(error: &ProxyError) -> &'static str {
    classify(error).1
}

/// Says that an answer is ours, and of what kind.
const ERROR_HEADER: HeaderName = HeaderName::from_static("tokenward-error");

/// Says what became of a request whose token was called dead.
pub const RETRY_HEADER: HeaderName = HeaderName::from_static("tokenward-retry");
