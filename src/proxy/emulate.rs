//! Answers a call of the vendor's token endpoint in the vendor's place, for an SDK that insists on an
//! OAuth of its own.
//!
//! What it gets opens nothing. It sends that in the place of a token, where the gateway takes it out
//! and puts the real one in. Nothing of such a call reaches the vendor, and it causes no refresh.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;
use tracing::debug;

use crate::causes::network::is_timeout;
use crate::clock;
use crate::framing::CallerBody;
use crate::framing::Fault;
use crate::vendor::emulation::{Filling, TokenCall};

use super::error::ProxyError;
use super::reply::ReplyBody;
use super::vendor_body::Flight;

/// # Errors
/// When the request's body is too long, too slow or broken.
pub async fn answer(
    call: &TokenCall,
    flight: &Flight,
    body: CallerBody,
) -> Result<Response<ReplyBody>, ProxyError> {
    let settings = &flight.route.settings;
    let dropped = timeout(BODY_TIME, drop_body(body, flight)).await;
    dropped.unwrap_or(Err(ProxyError::BodyStoodStill))?;

    // A placeholder is good for ever; its end brings the SDK back here, and no more.
    let expires_in = settings.tokens.left().unwrap_or(call.default_life).max(SHORTEST_LIFE);
    let request_id = format!("{:016x}", fastrand::u64(..));
    let upstream = settings.name.as_str();
    debug!(upstream, request_id, "a token call was answered with a placeholder");
    settings.metrics.emulated.inc();
    let filling = Filling { expires_in, now: clock::wall(), request_id };
    let body = Bytes::from(call.answer.fill(&filling).to_string());
    let mut response = Response::new(ReplyBody::Own(Some(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // As for every answer that holds a token (RFC 6749, 5.1).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(EMULATED_HEADER, HeaderValue::from_static("token"));
    Ok(response)
}

/// Reads what the SDK takes for its credentials, and keeps none of it.
async fn drop_body(mut body: CallerBody, flight: &Flight) -> Result<(), ProxyError> {
    let Flight { route, entry, .. } = flight;
    let (longest, too_large) = match route.settings.body_limits.whole {
        whole if whole < LONGEST_BODY => (whole, ProxyError::BodyTooLarge(whole)),
        _ => (LONGEST_BODY, ProxyError::TokenCallTooLarge(LONGEST_BODY)),
    };
    if body.size_hint().lower() > longest {
        return Err(too_large);
    }
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match Fault::find(&error) {
            _ if is_timeout(&error) => ProxyError::BodyStoodStill,
            Some(fault) => ProxyError::BodyMalformed(fault),
            None => ProxyError::BodyBroken,
        })?;
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        route.metrics.request_bytes.inc_by(length);
        entry.iter().for_each(|entry| entry.took(length));
        read += length;
        if read > longest {
            return Err(too_large);
        }
    }
    Ok(())
}

/// Says that an answer stands for one of the vendor's, and which.
const EMULATED_HEADER: HeaderName = HeaderName::from_static("tokenward-emulated");
/// Far more than credentials take.
const LONGEST_BODY: u64 = 64 << 10;
const BODY_TIME: Duration = Duration::from_secs(5);
/// An SDK that renews a minute early would else ask before each of its calls.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
