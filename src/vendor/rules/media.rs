//! Which answers are looked into, by their media type.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The media type of an answer without its parameters, as it came.
pub(super) fn essence(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    // Nearly every answer, at a tenth of the instructions.
    if let Some([] | [b';', ..]) = value.strip_prefix(JSON.as_bytes()) {
        return Some(JSON);
    }
    str::from_utf8(value).ok().map(without_parameters)
}

pub(super) fn without_parameters(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Streams that must not be held up, and formats that are no JSON. All else is looked into, for
/// vendors send JSON as `text/html`, `text/plain` and worse; its first byte settles what is none.
pub(super) fn never_looked_into(essence: &str) -> bool {
    if essence == JSON {
        return false;
    }
    let Some((top, sub)) = essence.split_once('/') else {
        return false;
    };
    let sub = sub.strip_prefix("x-").unwrap_or(sub);
    let any_of = |list: &[&str], name: &str| list.iter().any(|one| name.eq_ignore_ascii_case(one));
    if top.eq_ignore_ascii_case("application") {
        any_of(&BINARY, sub)
    } else if top.eq_ignore_ascii_case("text") {
        sub.eq_ignore_ascii_case("event-stream")
    } else {
        any_of(&OPAQUE, top)
    }
}

const JSON: &str = "application/json";

/// Top-level types.
const OPAQUE: [&str; 5] = ["multipart", "image", "audio", "video", "font"];

/// Subtypes of `application`, with or without `x-`.
const BINARY: [&str; 20] = [
    "octet-stream",
    "ndjson",
    "jsonlines",
    "json-seq",
    "stream+json",
    "grpc",
    "grpc+proto",
    "protobuf",
    "msgpack",
    "cbor",
    "wasm",
    "pdf",
    "zip",
    "gzip",
    "tar",
    "bzip2",
    "7z-compressed",
    "rar-compressed",
    "zstd",
    "java-archive",
];
