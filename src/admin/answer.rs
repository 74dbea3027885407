//! What the admin address answers with: a few bytes at once, or frames as they come.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};

use super::live::Frames;

pub(super) type Answer = Response<Either<Full<Bytes>, Frames>>;

pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    whole(status, "application/json", format!("{body:#}\n").into_bytes())
}

pub(super) fn text(status: StatusCode, body: &str) -> Answer {
    whole(status, "text/plain; charset=utf-8", body.as_bytes().to_vec())
}

pub(super) fn allow(methods: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {methods} here\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

pub(super) fn whole(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    with(status, content_type, Either::Left(Full::new(Bytes::from(body))))
}

pub(super) fn frames(frames: Frames) -> Answer {
    with(StatusCode::OK, "text/event-stream", Either::Right(frames))
}

fn with(
    status: StatusCode,
    content_type: &'static str,
    body: Either<Full<Bytes>, Frames>,
) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What a vendor said may stand in any of them: no browser shall take it for a page or a script.
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
