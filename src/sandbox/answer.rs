//! An answer before it is sent: status, content type and body, and what a fault does to its look.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::{
    Vendor,
    answer_body::AnswerBody,
    fault::{Encoding, Rejection},
    recorded::{self, Recording},
};

/// An answer, not yet on the wire.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
    delivery: Delivery,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    Stream { chunk: Bytes, chunks: u64, pause: Duration },
}

/// How the bytes of a body leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Whole,
    Split,
    Cut,
}

impl Answer {
    /// A recorded answer with its placeholders filled in.
    pub(super) fn recorded(recording: &Recording, values: &[(&str, &str)]) -> Self {
        let status = StatusCode::from_u16(recording.status).unwrap_or(StatusCode::OK);
        Self::new(status, JSON, recording.fill(values))
    }

    /// Any other answer.
    pub(super) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        Self {
            status,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]),
            content: Content::Bytes(body.into()),
            delivery: Delivery::Whole,
        }
    }

    /// `chunks` times `chunk`, with a pause before each.
    pub(super) fn stream(
        content_type: &'static str,
        chunk: Bytes,
        chunks: u64,
        pause: Duration,
    ) -> Self {
        let content = Content::Stream { chunk, chunks, pause };
        Self { content, ..Self::new(StatusCode::OK, content_type, Bytes::new()) }
    }

    /// HTTP ends here.
    pub(super) fn switching(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        let headers = HeaderMap::from_iter(headers);
        Self { headers, ..Self::new(StatusCode::SWITCHING_PROTOCOLS, TEXT, Bytes::new()) }
    }

    /// The vendor's way to refuse a token, as a fault wants it told.
    ///
    /// `usual` names the recording that tells it when the fault leaves that open.
    pub(super) fn rejection(vendor: Vendor, usual: &'static str, wanted: &Rejection) -> Self {
        let recording = match &wanted.recording {
            Some(name) => recorded::find(vendor, name),
            None => None,
        };
        let mut answer = if wanted.code.is_some() || wanted.message.is_some() {
            let code = wanted.code.unwrap_or(401).to_string();
            let message = wanted.message.as_deref().unwrap_or("access_token expired");
            let values = [("code", &*code), ("message", &*recorded::json_text(message))];
            Self::recorded(recorded::get(vendor, "failure"), &values)
        } else {
            Self::recorded(recording.unwrap_or_else(|| recorded::get(vendor, usual)), &[])
        };
        if let Some(status) = wanted.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            answer.status = status;
        }
        answer
    }

    /// Names the mistake in a header, for a person who looks with `curl -i`.
    pub(super) fn naming_mistake(mut self, reason: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(reason) {
            self.headers.insert(HeaderName::from_static("sandbox-mistake"), value);
        }
        self
    }

    pub(super) fn claiming(&mut self, content_type: &str) {
        if let Ok(value) = HeaderValue::from_str(content_type) {
            self.headers.insert(header::CONTENT_TYPE, value);
        }
    }

    /// Puts a member of so many KiB before the first of the envelope.
    pub(super) fn pad(&mut self, kib: usize) {
        let Content::Bytes(body) = &mut self.content else {
            return;
        };
        let Some(rest) = body.strip_prefix(b"{") else {
            return;
        };
        let filler = "x".repeat(kib * 1024);
        let padded = [b"{\"padding\":\"", filler.as_bytes(), b"\",", rest].concat();
        *body = padded.into();
    }

    pub(super) fn encode(&mut self, encoding: Encoding) {
        let Content::Bytes(body) = &mut self.content else {
            return;
        };
        // Compressing into memory cannot fail.
        let Ok((name, encoded)) = compress(body, encoding) else {
            return;
        };
        *body = encoded.into();
        self.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }

    pub(super) fn split(&mut self) {
        self.delivery = Delivery::Split;
    }

    pub(super) fn cut(&mut self) {
        self.delivery = Delivery::Cut;
    }

    pub(super) fn into_response(self) -> Response<AnswerBody> {
        let body = match (self.content, self.delivery) {
            (Content::Bytes(bytes), Delivery::Whole) => AnswerBody::whole(bytes),
            (Content::Bytes(bytes), Delivery::Split) => AnswerBody::split(bytes),
            (Content::Bytes(bytes), Delivery::Cut) => AnswerBody::cut(bytes),
            (Content::Stream { chunk, chunks, pause }, delivery) => {
                AnswerBody::stream(chunk, chunks, pause, delivery == Delivery::Cut)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

fn compress(body: &[u8], encoding: Encoding) -> io::Result<(&'static str, Vec<u8>)> {
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body)?;
            Ok(("gzip", encoder.finish()?))
        }
        // What HTTP calls deflate is the zlib format.
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body)?;
            Ok(("deflate", encoder.finish()?))
        }
    }
}

pub(super) const JSON: &str = "application/json;charset=UTF-8";
pub(super) const HTML: &str = "text/html";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
