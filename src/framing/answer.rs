//! An answer as it is written: its head, and how its body is framed.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use hyper::ext::ReasonPhrase;

use super::encode;
use super::field::number;
use super::line::trim;
use super::output::Output;
use super::request::Asked;

/// How an answer goes on after its head.
#[derive(Debug)]
pub(super) struct Framing {
    form: Form,
    /// Trailers that are sent if they come; `None` where nobody takes any.
    trailers: Vec<HeaderName>,
    /// The connection ends with the answer.
    pub(super) is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    UntilClose,
    Ended,
}

/// An answer that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("the answer has a status that no answer can have")]
    Status,
    #[error("the answer has a length that is no number")]
    Length,
    #[error("the answer is shorter than it was to be")]
    Short,
}

/// Writes the head of an answer. `keeps`: the connection may serve another request.
pub(super) fn write_head<B: Body>(
    output: &mut Output,
    answer: &Response<B>,
    asked: &Asked,
    keeps: bool,
) -> Result<Framing, Unfit> {
    let (status, headers) = (answer.status(), answer.headers());
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    if status.is_informational() && !switches {
        return Err(Unfit::Status);
    }
    let has_body = !asked.is_head
        && !switches
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let announced = match content_length(headers) {
        Err(_) if !has_body => None,
        announced => announced?,
    };
    let form = match (announced, answer.body()) {
        _ if !has_body => Form::Ended,
        (Some(length), _) => Form::of_length(length),
        (None, body) if body.is_end_stream() => Form::Ended,
        (None, body) => match body.size_hint().exact() {
            Some(length) => Form::of_length(length),
            None if asked.is_1_1 => Form::Chunked,
            None => {
                output.ends_with_close = true;
                Form::UntilClose
            }
        },
    };

    let out = output.small();
    status_line(out, answer, asked.is_1_1);
    let may_announce = asked.is_1_1 && has_body;
    let mut tells_length = has_body || asked.is_head || status == StatusCode::NOT_MODIFIED;
    let mut has_connection = false;
    for (name, value) in headers {
        match *name {
            header::CONNECTION => has_connection = true,
            header::CONTENT_LENGTH if !std::mem::take(&mut tells_length) => {}
            header::TRANSFER_ENCODING => {}
            header::TRAILER if !may_announce => {}
            _ => field(out, name.as_str().as_bytes(), value.as_bytes()),
        }
    }
    match form {
        _ if announced.is_some() || !has_body => {}
        Form::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Form::Length(length) => length_field(out, length),
        Form::Ended => length_field(out, 0),
        Form::UntilClose => {}
    }
    let closes = has_connection && has_option(headers, b"close");
    let is_last = !keeps || closes || switches || form == Form::UntilClose;
    let also = match asked.is_1_1 {
        true if !keeps && !closes && !switches => "close",
        false if is_last || has_connection && has_option(headers, b"keep-alive") => "",
        false => "keep-alive",
        true => "",
    };
    if has_connection || !also.is_empty() {
        connection(out, headers, also);
    }
    out.extend_from_slice(b"\r\n");
    let trailers = if form == Form::Chunked && asked.trailers {
        encode::announced_trailers(headers)
    } else {
        Vec::new()
    };
    Ok(Framing { form, trailers, is_last })
}

fn status_line<B>(out: &mut Vec<u8>, answer: &Response<B>, is_1_1: bool) {
    let phrase = answer.extensions().get::<ReasonPhrase>();
    let status = answer.status();
    if is_1_1 && status == StatusCode::OK && phrase.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(if is_1_1 { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    let known = || status.canonical_reason().unwrap_or("<none>").as_bytes();
    out.extend_from_slice(phrase.map_or_else(known, ReasonPhrase::as_bytes));
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn length_field(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    encode::decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

fn connection(out: &mut Vec<u8>, headers: &HeaderMap, also: &str) {
    let options = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    let mut separator: &[u8] = b"connection: ";
    for option in options.chain([also.as_bytes()]).filter(|option| !option.is_empty()) {
        out.extend_from_slice(separator);
        out.extend_from_slice(option);
        separator = b", ";
    }
    out.extend_from_slice(b"\r\n");
}

fn has_option(headers: &HeaderMap, known: &[u8]) -> bool {
    crate::headers::connection_options(headers).any(|option| option.eq_ignore_ascii_case(known))
}

/// The length that an answer announces, in the first such field.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Unfit> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    number(trim(value.as_bytes())).map(Some).ok_or(Unfit::Length)
}

impl Form {
    fn of_length(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Length(length) }
    }
}

impl Framing {
    pub(super) fn is_ended(&self) -> bool {
        self.form == Form::Ended
    }

    /// The next frame of the body, and whether it is known to be the last.
    pub(super) fn write(
        &mut self,
        output: &mut Output,
        frame: Frame<Bytes>,
        is_end: bool,
    ) -> Result<(), Unfit> {
        match frame.into_data() {
            Ok(data) => self.write_data(output, data, is_end),
            Err(frame) => {
                if let (Form::Chunked, Ok(fields)) = (self.form, frame.into_trailers()) {
                    encode::end_with_trailers(output.small(), &self.trailers, &fields);
                    self.form = Form::Ended;
                    return Ok(());
                }
                self.write_end(output)
            }
        }
    }

    fn write_data(
        &mut self,
        output: &mut Output,
        mut data: Bytes,
        is_end: bool,
    ) -> Result<(), Unfit> {
        match &mut self.form {
            Form::Ended => {}
            Form::Length(left) => {
                let fits = usize::try_from(*left).unwrap_or(usize::MAX);
                data.truncate(fits);
                *left -= data.len() as u64;
                let is_whole = *left == 0;
                output.data(data, b"");
                if is_whole {
                    self.form = Form::Ended;
                } else if is_end {
                    return Err(Unfit::Short);
                }
            }
            Form::UntilClose => {
                output.data(data, b"");
                if is_end {
                    self.form = Form::Ended;
                }
            }
            Form::Chunked if data.is_empty() && is_end => return self.write_end(output),
            Form::Chunked if data.is_empty() => {}
            Form::Chunked => {
                encode::chunk_size(output.small(), data.len());
                let after: &[u8] =
                    if is_end { encode::END_OF_LAST_CHUNK } else { encode::CHUNK_END };
                output.data(data, after);
                if is_end {
                    self.form = Form::Ended;
                }
            }
        }
        Ok(())
    }

    /// There is no more of the body.
    pub(super) fn write_end(&mut self, output: &mut Output) -> Result<(), Unfit> {
        match self.form {
            Form::Length(_) => return Err(Unfit::Short),
            Form::Chunked => output.small().extend_from_slice(encode::LAST_CHUNK),
            Form::UntilClose | Form::Ended => {}
        }
        self.form = Form::Ended;
        Ok(())
    }
}
