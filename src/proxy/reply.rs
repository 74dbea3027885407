//! Answers: the vendor's, handed on; and our own, from one table.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::{Map, Value, json};

use crate::causes::causes;
use crate::framing::Fault;
use crate::token::NoTokenKind;
use crate::upstream::pool::SendError;
use crate::vendor::description::Envelope;

use super::error::ProxyError;
use super::vendor_body::{ReplyError, VendorBody};

/// The body of every answer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every answer is a vendor's")]
pub enum ReplyBody {
    Own(Option<Bytes>),
    Vendor(VendorBody),
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
            Self::Vendor(vendor) => vendor.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Vendor(vendor) => vendor.size_hint(),
        }
    }
}

/// The one table of our own answers: status, kind, title.
fn classify(error: &ProxyError) -> (StatusCode, &'static str, &'static str) {
    match error {
        ProxyError::Malformed(fault) => malformed(*fault),
        ProxyError::NoRoute(_) => (StatusCode::NOT_FOUND, "no-route", "No such route"),
        ProxyError::Tunnel => (StatusCode::METHOD_NOT_ALLOWED, "tunnel", "No tunnels"),
        ProxyError::TargetTooLong => {
            (StatusCode::URI_TOO_LONG, "target-too-long", "Target too long")
        }
        ProxyError::BodyBroken | ProxyError::BodyMalformed(_) => {
            (StatusCode::BAD_REQUEST, "body-broken", "Request body broken")
        }
        ProxyError::BodyStoodStill => {
            (StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request not in time")
        }
        ProxyError::BodyTooLarge(_) | ProxyError::TokenCallTooLarge(_) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Request body too large")
        }
        ProxyError::TooManyRequests { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests at one time")
        }
        ProxyError::Refused(refusal) => {
            (StatusCode::FORBIDDEN, refusal.kind(), "Refused by the gateway")
        }
        ProxyError::Client(refusal) => {
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
        ProxyError::Upstream { .. } => {
            (StatusCode::BAD_GATEWAY, "upstream-broken", "Upstream broke off")
        }
        ProxyError::TookTooLong { .. } => {
            (StatusCode::GATEWAY_TIMEOUT, "took-too-long", "Upstream took too long")
        }
    }
}

fn malformed(fault: Fault) -> (StatusCode, &'static str, &'static str) {
    match fault {
        Fault::TargetLength => (StatusCode::URI_TOO_LONG, "target-too-long", "Target too long"),
        Fault::HeaderBytes => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers-too-large",
            "Header fields too large",
        ),
        Fault::HeaderCount => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too-many-headers",
            "Too many header fields",
        ),
        Fault::HeadTime | Fault::BodyTime => {
            (StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request not in time")
        }
        Fault::Connections => {
            (StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", "Too many connections")
        }
        Fault::Version => {
            (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "http-version", "HTTP version not supported")
        }
        Fault::UnknownCoding => (
            StatusCode::NOT_IMPLEMENTED,
            "unknown-transfer-coding",
            "Transfer coding not supported",
        ),
        Fault::NoTls => (StatusCode::BAD_REQUEST, "no-tls", "TLS is spoken here"),
        _ => (StatusCode::BAD_REQUEST, "malformed-request", "Malformed request"),
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
    if matches!(error, ProxyError::Tunnel) {
        // What follows was meant for the tunnel, and may be somebody else's words.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
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
