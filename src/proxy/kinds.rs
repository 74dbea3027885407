//! What kinds of fields a request may hold, found with one pass over its header: nearly all requests
//! hold none of them, and need no search for any.

use http::HeaderMap;

/// Kinds of which there may be a field. Told by the length of its name and the first letter alone: who
/// needs to know looks at the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    /// Of this hop alone, `TE`, `Upgrade` and `Connection` among them.
    pub(super) of_this_hop: bool,
    /// `Trailer`.
    pub(super) trailer: bool,
    /// `Expect`.
    pub(super) expect: bool,
}

impl Kinds {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut kinds = Self::default();
        for name in headers.keys() {
            let name = name.as_str().as_bytes();
            match (name.len(), name.first()) {
                (2, Some(b't')) | (10, Some(b'c' | b'k')) => kinds.of_this_hop = true,
                (16 | 18 | 19, Some(b'p')) | (17, Some(b't')) => kinds.of_this_hop = true,
                (7, Some(b'u')) => kinds.of_this_hop = true,
                (7, Some(b't')) => kinds.trailer = true,
                (6, Some(b'e')) => kinds.expect = true,
                _ => {}
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::headers::remove_hop_by_hop;

    #[test]
    fn p01_every_field_of_one_hop_is_noticed() {
        for name in [
            "te",
            "upgrade",
            "connection",
            "keep-alive",
            "keep_alive",
            "proxy-connection",
            "transfer-encoding",
            "proxy-authenticate",
            "proxy-authorization",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            assert!(Kinds::of(&headers).of_this_hop, "{name}");
            remove_hop_by_hop(&mut headers);
            assert!(headers.is_empty(), "{name} is one");
        }
        let mut headers = HeaderMap::new();
        for name in ["host", "accept", "user-agent", "content-type", "content-length", "cookie"] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        assert_eq!(Kinds::of(&headers), Kinds::default());
        headers.insert("trailer", HeaderValue::from_static("x"));
        headers.insert("expect", HeaderValue::from_static("x"));
        assert_eq!(Kinds::of(&headers), Kinds { of_this_hop: false, trailer: true, expect: true });
    }
}
