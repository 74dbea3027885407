//! The form that a request has in HTTP/2, and how to tell that one was not read.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Parts, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Request, Version};

use crate::causes::find;
use crate::headers::retain;

/// Scheme and authority stand beside the target, and what frames a body in HTTP/1.1 is gone. The
/// target stays as it is.
pub(super) fn shape<B>(request: &mut Request<B>, authority: &Authority) {
    let target = request.uri().path_and_query().cloned();
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    // All three parts are there, which is all that is asked of them.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    strip(request.headers_mut());
}

/// What hop-by-hop fields there are now are our own, for HTTP/1.1.
fn strip(headers: &mut HeaderMap) {
    let gone = [HOST, CONNECTION, TRANSFER_ENCODING];
    retain(headers, |name| !gone.contains(name));
}

/// A length that is said more than once is said once (RFC 9110, 8.6), for not every caller takes the
/// repeats. The library has seen to it that they are the same.
pub(super) fn say_length_once(headers: &mut HeaderMap) {
    let is_any_repeated = headers.len() > headers.keys_len();
    if is_any_repeated && let Some(length) = headers.get(CONTENT_LENGTH).cloned() {
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// How a peer says that it has read nothing of a request (RFC 9113, 8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// GOAWAY, with a last stream before this one.
    GoneAway,
    Refused,
}

pub(super) fn unread(error: &hyper::Error) -> Option<Unread> {
    let error = find::<h2::Error>(error).filter(|error| error.is_remote())?;
    // h2 fails streams with the peer's GOAWAY only when they are beyond the last one that it names;
    // the others go on, and fail with whatever ends the connection.
    if error.is_go_away() {
        return Some(Unread::GoneAway);
    }
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    refused.then_some(Unread::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p01_a_target_stays_as_it_is() {
        let authority = Authority::from_static("api.test:8443");
        for target in ["/a//b/../c?x=%2f&&=", "/a?", "/", "*", "/?", "/;a=b/%e4%bd%a0?q={}"] {
            let mut request = Request::new(());
            *request.uri_mut() = Uri::from(target.parse::<PathAndQuery>().expect("a target"));
            shape(&mut request, &authority);
            let uri = request.uri();
            assert_eq!(uri.path_and_query().map(PathAndQuery::as_str), Some(target));
            assert_eq!(uri.authority(), Some(&authority));
            assert_eq!(uri.scheme_str(), Some("https"));
        }
    }

    #[test]
    fn p01_fields_of_one_connection_stay_behind_and_the_others_keep_their_order() {
        let mut request = Request::new(());
        let headers = request.headers_mut();
        for (name, value) in [("host", "h"), ("a", "1"), ("connection", "te"), ("te", "trailers")] {
            headers.append(name, value.parse().expect("a value"));
        }
        headers.append("transfer-encoding", "chunked".parse().expect("a value"));
        headers.append("b", "2".parse().expect("a value"));
        shape(&mut request, &Authority::from_static("api.test"));
        let left: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["a", "te", "b"]);
    }
}
