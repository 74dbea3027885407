//! What every attempt at a request has in common.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request};
use http_body::Body;

use crate::body::replay::{Replay, ReplayBody};
use crate::framing::CallerBody;
use crate::token::cache::Live;

use super::error::ProxyError;
use super::kinds::Kinds;
use super::route::Route;
use super::tunnel::UpgradeRequest;
use super::{inject, proceed};

#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    headers: HeaderMap,
    /// The caller sends its body when it is told to.
    pub(super) expects: bool,
    pub(super) upgrade: Option<Box<UpgradeRequest>>,
}

impl Head {
    pub(super) fn new(
        route: &Route,
        mut parts: Parts,
        target: PathAndQuery,
        body: &CallerBody,
    ) -> Self {
        let settings = &route.settings;
        let kinds = Kinds::of(&parts.headers);
        let upgrade = kinds.of_this_hop.then(|| UpgradeRequest::of(&mut parts, body)).flatten();
        let upgrade = upgrade.map(Box::new);
        let Parts { method, mut headers, version, .. } = parts;
        let trailers = kinds.of_this_hop && crate::headers::takes_trailers(&headers);
        settings.strip.headers_of(kinds, &mut headers);
        headers.insert(HOST, settings.authority.clone());
        let expects = kinds.expect && proceed::is_expected(version, &mut headers, body);
        if !body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) {
            // Left to itself, hyper drops such a body of a GET.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if let Some(upgrade) = &upgrade {
            upgrade.set_fields(&mut headers);
        } else if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        let target = settings.strip.target(&target).unwrap_or(target);
        Self { method, target, headers, expects, upgrade }
    }

    /// Method, path and fields, as the vendor gets them.
    pub(super) fn as_sent(&self) -> (&Method, &str, &HeaderMap) {
        (&self.method, self.target.path(), &self.headers)
    }

    pub(super) fn request(
        &self,
        replay: &Replay<CallerBody>,
        token: &Live,
    ) -> Result<Request<ReplayBody<CallerBody>>, ProxyError> {
        let mut request = Request::new(replay.attempt());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() =
            inject::target(&self.target, &token.injection).ok_or(ProxyError::TargetTooLong)?;
        *request.headers_mut() = self.headers.clone();
        inject::headers(request.headers_mut(), &token.injection);
        Ok(request)
    }
}
