//! A request as it arrived, read to its end: a bounded part of the body is kept, all is hashed.

use std::fmt;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header, request::Parts};
use http_body_util::BodyExt;
use hyper::{Request, body::Incoming};

/// One request, whole.
pub(super) struct Received {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: ReceivedBody,
}

/// A body, the first [`KEPT_BODY`] bytes of it kept.
pub(super) struct ReceivedBody {
    pub(super) kept: Bytes,
    pub(super) length: u64,
    pub(super) sha256: [u8; 32],
    pub(super) trailers: Option<HeaderMap>,
    /// The body came to its end; otherwise the connection broke.
    pub(super) complete: bool,
}

impl Received {
    pub(super) async fn read(request: Request<Incoming>) -> Self {
        let (Parts { method, uri, mut headers, .. }, body) = request.into_parts();
        hide_secrets(&mut headers);
        let body = ReceivedBody::read(body).await;
        Self { method, uri, headers, body }
    }

    /// Path and query, byte for byte.
    pub(super) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("", |target| target.as_str())
    }
}

impl ReceivedBody {
    async fn read(mut body: Incoming) -> Self {
        let mut kept = Vec::new();
        let mut length = 0;
        let mut hasher = digest::Context::new(&digest::SHA256);
        let mut trailers = None;
        let mut complete = true;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                complete = false;
                break;
            };
            match frame.into_data() {
                Ok(data) => {
                    hasher.update(&data);
                    length += data.len() as u64;
                    let room = KEPT_BODY - kept.len();
                    kept.extend_from_slice(&data[..data.len().min(room)]);
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hasher.finish().as_ref());
        Self { kept: kept.into(), length, sha256, trailers, complete }
    }

    /// The body, if all of it was kept.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        (self.complete && self.length == self.kept.len() as u64).then_some(&self.kept)
    }

    pub(super) fn sha256_hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Keeps what may be a secret out of any debug output of the headers.
fn hide_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        let name = name.as_str();
        if name.contains("token") || name == header::AUTHORIZATION || name == header::COOKIE {
            value.set_sensitive(true);
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .field("body_length", &self.body.length)
            .finish_non_exhaustive()
    }
}

/// Bytes of a body that are kept.
const KEPT_BODY: usize = 2 * 1024 * 1024;
