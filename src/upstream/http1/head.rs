//! The head of an answer, and what it says about the body and the connection.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Response, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use crate::framing::number;

use super::Error;

/// A whole head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    /// In bytes.
    pub(super) length: usize,
    /// `None`: a final answer is still to come.
    pub(super) body: Option<Framing>,
    /// The connection may carry another request.
    pub(super) stays: bool,
}

/// How the body of an answer is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunks,
    UntilClose,
    /// What follows is no HTTP any more.
    Tunnel,
}

/// What the fields say that frame an answer.
#[derive(Debug, Default)]
struct Facts {
    length: Option<u64>,
    /// There are lengths, and they are not one number.
    bad_length: bool,
    /// They are one number, said more than once.
    is_repeated: bool,
    /// The last coding is `chunked`.
    chunked: Option<bool>,
    /// The first of so many fields of codings says that and no more.
    is_spent: bool,
    codings: usize,
    close: bool,
    keep_alive: bool,
}

/// The head at the beginning of these bytes. `None`: it has not ended.
pub(super) fn parse(bytes: &Bytes, method: &Method) -> Result<Option<Head>, Error> {
    let mut room = [const { MaybeUninit::uninit() }; FEW_HEADERS];
    match parse_with(bytes, method, &mut room) {
        Err(Error::Head(httparse::Error::TooManyHeaders)) => {
            let mut room = [const { MaybeUninit::uninit() }; MOST_HEADERS];
            parse_with(bytes, method, &mut room)
        }
        parsed => parsed,
    }
}

fn parse_with<'bytes>(
    bytes: &'bytes Bytes,
    method: &Method,
    room: &mut [MaybeUninit<Header<'bytes>>],
) -> Result<Option<Head>, Error> {
    let mut parsed = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, room)? {
        Status::Complete(length) => length,
        Status::Partial => return Ok(None),
    };
    let code = parsed.code.ok_or(Error::Status)?;
    let status = StatusCode::from_u16(code).map_err(|_| Error::Status)?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    let is_1_1 = parsed.version == Some(1);
    if !is_1_1 {
        *response.version_mut() = Version::HTTP_10;
    }
    if let Some(reason) = parsed.reason
        && Some(reason) != status.canonical_reason()
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    let mut facts = Facts::default();
    let headers = response.headers_mut();
    headers.reserve(parsed.headers.len());
    for field in &*parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BAD_NAME)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        let value = value.map_err(|_| BAD_VALUE)?;
        if !facts.learn(&name, &value) || status.is_informational() {
            headers.try_append(name, value).map_err(|_| httparse::Error::TooManyHeaders)?;
        }
    }
    match facts.codings {
        // It overrides the length (RFC 9112, 6.3).
        1 if facts.is_spent => drop(headers.remove(CONTENT_LENGTH)),
        2.. if facts.is_spent => drop(headers.append(TRANSFER_ENCODING, CHUNKED)),
        // Once is enough (RFC 9110, 8.6), and not every caller takes a list.
        0 if facts.is_repeated => {
            headers.insert(CONTENT_LENGTH, facts.length.unwrap_or_default().into());
        }
        _ => {}
    }
    let body = facts.framing(status, method, is_1_1)?;
    let goes_on = !matches!(body, Some(Framing::UntilClose | Framing::Tunnel));
    let stays = goes_on && !facts.close && (is_1_1 || facts.keep_alive);
    Ok(Some(Head { response, length, body, stays }))
}

impl Facts {
    /// Whether that is all that there is to it: it ends at this hop, and says what is usual. So most
    /// answers have no such field left.
    fn learn(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        if name == CONTENT_LENGTH {
            for one in value.as_bytes().split(|&byte| byte == b',') {
                match (number(one.trim_ascii()), self.length) {
                    (Some(length), None) => self.length = Some(length),
                    (Some(length), Some(known)) if length == known => self.is_repeated = true,
                    _ => self.bad_length = true,
                }
            }
        } else if name == TRANSFER_ENCODING {
            let last = value.as_bytes().rsplit(|&byte| byte == b',').next();
            let is_chunked = |last: &[u8]| last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            self.chunked = Some(last.is_some_and(is_chunked));
            self.codings += 1;
            let is_spent = self.codings == 1 && is_chunked(value.as_bytes());
            self.is_spent |= is_spent;
            return is_spent;
        } else if name == CONNECTION {
            for option in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
            return value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
        }
        name == KEEP_ALIVE
    }

    /// As RFC 9112, 6.3, has it.
    fn framing(
        &self,
        status: StatusCode,
        method: &Method,
        is_1_1: bool,
    ) -> Result<Option<Framing>, Error> {
        Ok(Some(match (status.as_u16(), self.chunked, self.length) {
            (101, ..) => Framing::Tunnel,
            (100..=199, ..) => return Ok(None),
            (204, ..) => Framing::Length(0),
            // Without a body, too: it would go on to the caller.
            (_, None, _) if self.bad_length => return Err(Error::Length),
            (304, ..) => Framing::Length(0),
            _ if method == Method::HEAD => Framing::Length(0),
            (_, Some(_), _) if !is_1_1 => return Err(Error::Coding),
            (_, Some(true), _) => Framing::Chunks,
            (_, None, Some(length)) => Framing::Length(length),
            (_, Some(false), _) | (_, None, None) => Framing::UntilClose,
        }))
    }
}

/// Whether an empty line may be among the bytes from this place on: before that, a head that had
/// not ended has not ended yet.
pub(super) fn may_have_ended(bytes: &[u8], from: usize) -> bool {
    let new = &bytes[from.saturating_sub(3).min(bytes.len())..];
    memchr::memchr_iter(b'\n', new).any(|at| {
        let rest = &new[at + 1..];
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}

/// What most heads have room in. It costs nothing until it is filled.
const FEW_HEADERS: usize = 64;

/// In an answer's head. Fewer would cost whole answers.
const MOST_HEADERS: usize = 256;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const BAD_NAME: httparse::Error = httparse::Error::HeaderName;
const BAD_VALUE: httparse::Error = httparse::Error::HeaderValue;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, method: &Method) -> Result<Option<Head>, Error> {
        parse(&Bytes::copy_from_slice(text.as_bytes()), method)
    }

    fn framing(fields: &str) -> Result<(Option<Framing>, bool), Error> {
        let head = parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET)?;
        Ok(head.map(|head| (head.body, head.stays)).expect("a whole head"))
    }

    #[test]
    fn p25_a_body_is_delimited_in_one_way() {
        use Framing::{Chunks, Length, UntilClose};
        for (fields, body, stays) in [
            ("Content-Length: 5\r\n", Length(5), true),
            ("Content-Length: 5\r\nContent-Length: 5, 5\r\n", Length(5), true),
            ("Content-Length: 5\r\nConnection: x, Close\r\n", Length(5), false),
            (
                "Connection: close\r\nConnection: keep-alive\r\nContent-Length: 5\r\n",
                Length(5),
                false,
            ),
            ("Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n", Chunks, true),
            ("Transfer-Encoding: chunked, gzip\r\n", UntilClose, false),
            ("", UntilClose, false),
        ] {
            assert_eq!(framing(fields).expect(fields), (Some(body), stays), "{fields}");
        }
        for length in [
            "5\r\nContent-Length: 6",
            "5, 6",
            "",
            "+5",
            "-5",
            "5 5",
            "0x5",
            "5,",
            "18446744073709551614",
            "18446744073709551616",
        ] {
            let fault = framing(&format!("Content-Length: {length}\r\n"));
            assert!(matches!(fault, Err(Error::Length)), "{length}: {fault:?}");
            for (status, method) in [("200 OK", Method::HEAD), ("304 Not Modified", Method::GET)] {
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
                let fault = parsed(&head, &method);
                assert!(matches!(fault, Err(Error::Length)), "{status}, {length}: {fault:?}");
            }
        }
    }

    #[test]
    fn p01_what_ends_here_and_is_usual_is_taken_out_at_once() {
        for (fields, left) in [
            (
                "Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 1\r\n",
                "content-length: 1\n",
            ),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\nA: b\r\n", "a: b\n"),
            ("Content-Length: 1, 01\r\nA: b\r\n", "content-length: 1\na: b\n"),
            ("Content-Length: 1\r\nA: b\r\nContent-Length: 1\r\n", "content-length: 1\na: b\n"),
            ("Connection: close\r\nA: b\r\n", "connection: close\na: b\n"),
            ("Connection: keep-alive, X-A\r\n", "connection: keep-alive, X-A\n"),
            ("Transfer-Encoding: gzip, chunked\r\n", "transfer-encoding: gzip, chunked\n"),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "transfer-encoding: chunked\ntransfer-encoding: chunked\n",
            ),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let head = parsed(&text, &Method::GET).expect(fields).expect("a whole head");
            let mut found = Vec::new();
            crate::framing::encode::fields(&mut found, head.response.headers());
            let found = String::from_utf8(found).expect("text").replace("\r\n", "\n");
            assert_eq!(found, left, "{fields}");
        }
    }

    #[test]
    fn p04_some_answers_have_no_body_whatever_they_say() {
        let head = |line: &str, method| {
            let text = format!("HTTP/1.1 {line}\r\nContent-Length: 5\r\n\r\n");
            parsed(&text, &method).expect("a head").expect("a whole head").body
        };
        assert_eq!(head("200 OK", Method::HEAD), Some(Framing::Length(0)));
        assert_eq!(head("204 No Content", Method::GET), Some(Framing::Length(0)));
        assert_eq!(head("304 Not Modified", Method::GET), Some(Framing::Length(0)));
        assert_eq!(head("103 Early Hints", Method::GET), None);
        assert_eq!(head("101 Switching Protocols", Method::GET), Some(Framing::Tunnel));
    }

    #[test]
    fn p04_http_1_0_closes_unless_it_says_otherwise_and_knows_no_chunks() {
        let head = |fields: &str| parsed(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n"), &Method::GET);
        let stays = |fields| head(fields).expect("a head").expect("a whole head").stays;
        assert!(!stays("Content-Length: 5\r\n"));
        assert!(stays("Content-Length: 5\r\nConnection: Keep-Alive\r\n"));
        assert!(matches!(head("Transfer-Encoding: chunked\r\n"), Err(Error::Coding)));
    }

    #[test]
    fn p06_a_reason_of_the_vendors_own_is_kept() {
        let reason = |line: &str| {
            let text = format!("HTTP/1.1 {line}\r\n\r\n");
            let head = parsed(&text, &Method::GET).expect("a head").expect("a whole head");
            let reason = head.response.extensions().get::<ReasonPhrase>();
            reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned())
        };
        assert_eq!(reason("200 OK"), None);
        assert_eq!(reason("200 Fine"), Some("Fine".to_owned()));
        assert_eq!(reason("200 "), Some(String::new()));
    }

    #[test]
    fn p27_many_fields_are_taken_and_more_are_not() {
        let text = |fields| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: 1\r\n".repeat(fields));
        for fields in [1, 64, 65, 256] {
            let head = parsed(&text(fields), &Method::GET).expect("a head").expect("a whole head");
            assert_eq!(head.response.headers().len(), fields);
        }
        let many = parsed(&text(257), &Method::GET);
        assert!(matches!(many, Err(Error::Head(httparse::Error::TooManyHeaders))));
    }

    #[test]
    fn the_end_of_a_head_is_looked_for_in_what_is_new() {
        for head in ["HTTP/1.1 200 OK\r\na: b\r\n\r\n", "HTTP/1.1 200 OK\na: b\n\n"] {
            let bytes = head.as_bytes();
            for end in 0..=bytes.len() {
                for from in 0..=end {
                    let may = may_have_ended(&bytes[..end], from);
                    assert_eq!(may, end == bytes.len(), "{from} to {end}");
                }
            }
        }
    }
}
