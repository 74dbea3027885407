//! The head of a request, judged line by line as it arrives, and the trailers after a body.

use std::ops::Range;

use super::Limits;
use super::decode::Most;
use super::fault::Fault;
use super::field::{Facts, Length, is_barred_from_trailers};
use super::line::{Lines, is_token, split_field, trim};
use super::target;

/// A head that has not ended yet. All places count from its first byte.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadScan {
    lines: Lines,
    blank_lines: usize,
    /// Once the request line is known.
    request: Option<RequestLine>,
    fields: usize,
    facts: Facts,
}

/// A head that is well-formed.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) end: usize,
    pub(super) length: Length,
    /// The request asks for an upgrade, and nothing of HTTP follows if it gets it.
    pub(super) upgrade: bool,
    pub(super) is_1_1: bool,
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    /// The target must be encoded.
    pub(super) encode: bool,
    pub(super) facts: Facts,
}

/// Where a field is; its value is without the blanks around it.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

#[derive(Clone, Debug)]
struct RequestLine {
    is_1_1: bool,
    method: Range<usize>,
    target: Range<usize>,
    encode: bool,
    /// Where the fields begin.
    end: usize,
}

impl HeadScan {
    /// Nothing of a head has come.
    pub(super) fn is_new(&self) -> bool {
        self.request.is_none() && self.blank_lines == 0 && self.lines.is_new()
    }

    /// Judges what has come since the last call; `bytes` begin with the head. `None`: it has not
    /// ended. Adds to `fields` where those of this call are.
    ///
    /// The verdict does not depend on how the bytes are split: every check looks at the text up to
    /// the same byte, whether it came at once or not.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        fields: &mut Vec<Field>,
    ) -> Result<Option<Head>, Fault> {
        loop {
            let start = self.lines.start;
            let end = self.lines.text_end(bytes);
            let text = &bytes[start..end];
            let Some(request) = &self.request else {
                let method = method_end(text, limits)?;
                if !self.lines.advance(bytes)? {
                    return Ok(None);
                }
                if text.is_empty() {
                    self.blank_lines += 1;
                    if self.blank_lines > MAX_BLANK_LINES {
                        return Err(Fault::RequestLine);
                    }
                    continue;
                }
                let method = method.ok_or(Fault::RequestLine)?;
                self.request = Some(request_line(text, method, start, self.lines.start, limits)?);
                continue;
            };
            if end - request.end > limits.header_bytes {
                return Err(Fault::HeaderBytes);
            }
            if !self.lines.advance(bytes)? {
                return Ok(None);
            }
            if text.is_empty() {
                let length = self.facts.length(request.is_1_1)?;
                let without_body = length == Length::Known(0);
                return Ok(Some(Head {
                    end: self.lines.start,
                    length,
                    upgrade: request.is_1_1 && without_body && self.facts.asks_for_upgrade(),
                    is_1_1: request.is_1_1,
                    method: request.method.clone(),
                    target: request.target.clone(),
                    encode: request.encode,
                    facts: self.facts,
                }));
            }
            self.fields += 1;
            if self.fields > limits.headers {
                return Err(Fault::HeaderCount);
            }
            let (name, value) = split_field(text).ok_or(Fault::Field)?;
            let name_end = start + name.len();
            let blanks = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let value_start = name_end + 1 + blanks;
            let value = trim(value);
            self.facts.learn(name, value)?;
            fields.push(Field {
                name: start..name_end,
                value: value_start..value_start + value.len(),
            });
        }
    }
}

/// The trailers of a chunked body, up to and with the empty line.
#[derive(Clone, Debug, Default)]
pub(super) struct TrailerScan {
    lines: Lines,
    fields: usize,
}

impl TrailerScan {
    /// As [`HeadScan::scan`]; returns where the trailers end. `allows_all`: of any name.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        most: Most,
        allows_all: bool,
    ) -> Result<Option<usize>, Fault> {
        loop {
            let start = self.lines.start;
            let end = self.lines.text_end(bytes);
            if end > most.bytes {
                return Err(Fault::HeaderBytes);
            }
            if !self.lines.advance(bytes)? {
                return Ok(None);
            }
            let text = &bytes[start..end];
            if text.is_empty() {
                return Ok(Some(self.lines.start));
            }
            self.fields += 1;
            if self.fields > most.fields {
                return Err(Fault::HeaderCount);
            }
            let (name, _) = split_field(text).ok_or(Fault::TrailerLine)?;
            if !allows_all && is_barred_from_trailers(name) {
                return Err(Fault::TrailerName);
            }
        }
    }
}

/// Where the method ends, in a request line that may not have ended itself. What cannot become a
/// request line is refused at once: a caller that speaks another protocol may wait for an answer.
fn method_end(text: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
    let end = text.iter().take(MAX_METHOD + 1).position(|&byte| !is_token(byte));
    match end {
        Some(end) if text[end] != b' ' || end == 0 => Err(Fault::RequestLine),
        None if text.len() > MAX_METHOD => Err(Fault::RequestLine),
        Some(end) if text.len() - end > limits.target_bytes.saturating_add(AROUND_TARGET) => {
            Err(Fault::TargetLength)
        }
        end => Ok(end),
    }
}

fn request_line(
    text: &[u8],
    method_end: usize,
    start: usize,
    end: usize,
    limits: &Limits,
) -> Result<RequestLine, Fault> {
    let (method, rest) = text.split_at(method_end);
    let rest = &rest[1..];
    let target_end = memchr::memchr(b' ', rest).filter(|&end| end > 0).ok_or(Fault::RequestLine)?;
    let target = &rest[..target_end];
    let is_1_1 = match &rest[target_end + 1..] {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        version => return Err(fault_of_version(version)),
    };
    let target_start = start + method_end + 1;
    let encode = target::look(method, target, limits.target_bytes)?;
    let target = target_start..target_start + target_end;
    Ok(RequestLine { is_1_1, method: start..start + method_end, target, encode, end })
}

#[cold]
fn fault_of_version(version: &[u8]) -> Fault {
    match version.strip_prefix(b"HTTP/") {
        Some([digit, rest @ ..])
            if digit.is_ascii_digit() && matches!(rest, [] | [b'.', b'0'..=b'9']) =>
        {
            Fault::Version
        }
        _ => Fault::RequestLine,
    }
}

/// Some callers end a body with an empty line too many.
const MAX_BLANK_LINES: usize = 4;
/// Longer than any method that is registered.
const MAX_METHOD: usize = 64;
/// What stands around a target in its line, after the method.
const AROUND_TARGET: usize = "  HTTP/1.1".len();
