//! Which answers are looked into, by their media type.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The media type of an answer without its parameters, as it came.
pub(super) fn essence(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(without_parameters)
}

pub(super) fn without_parameters(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Streams that must not be held up, and formats that are no JSON. All else is looked into, for
/// vendors send JSON as `text/html`, `text/plain` and worse; its first byte settles what is none.
pub(super) fn never_looked_into(essence: &str) -> bool {
    let Some((top, sub)) = essence.split_once('/') else {
        return false;
    };
    let sub = sub.strip_prefix("x-").unwrap_or(sub);
    if top.eq_ignore_ascii_case("application") {
        // The usual answer first.
        !sub.eq_ignore_ascii_case("json") && BINARY.iter().any(|one| sub.eq_ignore_ascii_case(one))
    } else if top.eq_ignore_ascii_case("text") {
        sub.eq_ignore_ascii_case("event-stream")
    } else {
        OPAQUE.iter().any(|one| top.eq_ignore_ascii_case(one))
    }
}

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
