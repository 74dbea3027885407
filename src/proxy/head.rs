//! What every attempt at a request has in common.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body::Body;

use crate::framing::CallerBody;
use crate::token::cache::Live;
use crate::upstream::RequestHead;

use super::kinds::Kinds;
use super::proceed;
use super::route::Route;
use super::tunnel::UpgradeRequest;

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
        parts: Parts,
        target: PathAndQuery,
        body: &CallerBody,
    ) -> Self {
        let settings = &route.settings;
        let kinds = Kinds::of(&parts.headers);
        let upgrade = kinds.of_this_hop.then(|| UpgradeRequest::of(&parts, body)).flatten();
        let upgrade = upgrade.map(Box::new);
        let Parts { method, mut headers, version, .. } = parts;
        let trailers = kinds.of_this_hop && crate::headers::takes_trailers(&headers);
        settings.strip.headers_of(kinds, &mut headers);
        headers.insert(HOST, route.authority.clone());
        let expects = kinds.expect && proceed::is_expected(version, &mut headers, body);
        if !body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) {
            // Something has to say where the body ends.
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

    pub(super) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Method, path and fields, as the vendor gets them.
    pub(super) fn as_sent(&self) -> (&Method, &str, &HeaderMap) {
        (&self.method, self.target.path(), &self.headers)
    }

    /// The head with this token; `target` is this one, with what is injected into it.
    pub(super) fn with<'a>(&'a self, target: &'a PathAndQuery, token: &'a Live) -> RequestHead<'a> {
        RequestHead {
            method: &self.method,
            target,
            headers: &self.headers,
            injected: &token.injection.headers,
            upgrades: self.upgrade.is_some(),
            on_continue: None,
        }
    }
}
