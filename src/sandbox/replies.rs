//! The answers to requests that are carried out: recordings with what belongs in their places.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use url::form_urlencoded;

use super::{
    Vendor,
    answer::Answer,
    received::Received,
    recorded::{self, Recording},
    tokens::Issued,
};

/// A recorded answer that has nothing of the request's in it.
pub(super) fn recorded(vendor: Vendor, name: &'static str) -> Answer {
    Answer::recorded(recorded::get(vendor, name), &[])
}

/// Any recorded answer, with something in every place that is to be filled.
pub(super) fn of_any_name(recording: &Recording) -> Answer {
    Answer::recorded(recording, PLACEHOLDERS)
}

/// The tokens that were handed out, as the vendor tells them.
pub(super) fn tokens(vendor: Vendor, issued: &Issued, rotated: bool) -> Answer {
    let name = match vendor {
        Vendor::Aiclk if rotated => "token_success_rotated",
        _ => "token_success",
    };
    // A vendor that counts in seconds never says that a living token has none left.
    let expires_in = issued.life.as_secs().max(1).to_string();
    let values = [
        ("access_token", &*issued.access_token),
        ("refresh_token", &*issued.refresh_token),
        ("expires_in", &*expires_in),
    ];
    Answer::recorded(recorded::get(vendor, name), &values)
}

/// The recording of this name; `echo` tells what arrived.
pub(super) fn business(vendor: Vendor, name: &'static str, received: &Received) -> Answer {
    // The vendor's general failure, the one that a rule for rejections must not take for its own.
    let name = if name == "charge" && received.body.length == 0 { "charge_refused" } else { name };
    let path = recorded::json_text(received.uri.path());
    let query: Cow<'_, str> = match received.uri.query() {
        Some(query) => format!("\"{}\"", recorded::json_text(query)).into(),
        None => "null".into(),
    };
    let values = [
        ("method", received.method.as_str()),
        ("path", &path),
        ("query", &query),
        ("body_length", &received.body.length.to_string()),
        ("body_sha256", &received.body.sha256_hex()),
    ];
    Answer::recorded(recorded::get(vendor, name), &values)
}

/// `?chunks=N&delay_ms=N&size=N`: server-sent events, or with `size` chunks of so many bytes.
pub(super) fn stream(received: &Received) -> Answer {
    let query = received.uri.query().unwrap_or_default();
    let number = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let chunks = number("chunks").unwrap_or(10);
    let pause = Duration::from_millis(number("delay_ms").unwrap_or(0));
    match number("size") {
        Some(size) => {
            let size = usize::try_from(size).unwrap_or(LARGEST_CHUNK).min(LARGEST_CHUNK);
            Answer::stream("application/octet-stream", vec![b'x'; size].into(), chunks, pause)
        }
        None => {
            let event = Bytes::from_static(b"data: sandbox\n\n");
            Answer::stream("text/event-stream", event, chunks, pause)
        }
    }
}

/// For a recording that a fault names although it has places to fill.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("access_token", "sandbox-placeholder"),
    ("refresh_token", "sandbox-placeholder"),
    ("expires_in", "1"),
    ("code", "1"),
    ("message", "placeholder"),
    ("method", "GET"),
    ("path", "/"),
    ("query", "null"),
    ("body_length", "0"),
    ("body_sha256", ""),
];

const LARGEST_CHUNK: usize = 1024 * 1024;
