//! A request to a vendor, as whoever sends it keeps it: it may be sent again.

use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use tokio::sync::Notify;

/// Everything before the body. It is written from where it is, and copied for HTTP/2 alone.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub method: &'a Method,
    pub target: &'a PathAndQuery,
    pub headers: &'a HeaderMap,
    /// Fields that come behind those, of other names.
    pub injected: &'a [(HeaderName, HeaderValue)],
    /// It asks for another protocol.
    pub upgrades: bool,
    /// The body waits for it: told when the vendor says `100 Continue`.
    pub on_continue: Option<&'a Arc<Notify>>,
}

impl<'a> RequestHead<'a> {
    /// Of a request into which nothing is injected. `None`: it has no target.
    pub fn of(parts: &'a Parts) -> Option<Self> {
        Some(Self {
            method: &parts.method,
            target: parts.uri.path_and_query()?,
            headers: &parts.headers,
            injected: &[],
            upgrades: false,
            on_continue: None,
        })
    }

    pub(super) fn with<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.clone());
        let headers = request.headers_mut();
        headers.clone_from(self.headers);
        for (name, value) in self.injected {
            headers.insert(name.clone(), value.clone());
        }
        request
    }
}
