//! A request as bytes: its head, and how its body is delimited.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http_body::Body;

use crate::framing::{encode, number};
use crate::headers::list;
use crate::upstream::RequestHead;

/// How the body of a request is delimited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// So many bytes of it are still to be sent.
    Length(u64),
    /// With the trailers that may come after it.
    Chunks(Vec<HeaderName>),
}

/// Writes the head. What it says about the length of the body is kept; where it says nothing, the
/// body is asked.
pub(super) fn head<B: Body>(out: &mut Vec<u8>, head: &RequestHead<'_>, body: &B) -> Coding {
    let (coding, told) = coding(head, body);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    match told {
        Told::AsItIs => encode::fields(out, head.headers),
        Told::Without(name) => {
            let others = head.headers.iter().filter(|(known, _)| **known != name);
            others.for_each(|(name, value)| encode::field(out, name, value));
        }
        Told::Chunked => {
            encode::fields(out, head.headers);
            encode::field(out, &TRANSFER_ENCODING, &CHUNKED);
        }
        Told::Length(length) => {
            encode::fields(out, head.headers);
            encode::field(out, &CONTENT_LENGTH, &length.into());
        }
    }
    head.injected.iter().for_each(|(name, value)| encode::field(out, name, value));
    out.extend_from_slice(b"\r\n");
    coding
}

/// What becomes of the fields that say how the body is delimited.
enum Told {
    AsItIs,
    Without(HeaderName),
    Chunked,
    Length(u64),
}

fn coding<B: Body>(head: &RequestHead<'_>, body: &B) -> (Coding, Told) {
    let headers = head.headers;
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    let chunked = headers.get(TRANSFER_ENCODING).is_some_and(is_chunked);
    if body.is_end_stream() {
        let told = if chunked { Told::Without(TRANSFER_ENCODING) } else { Told::AsItIs };
        return (Coding::Length(0), told);
    }
    let told = if chunked {
        Told::Without(CONTENT_LENGTH)
    } else if let Some(length) = announced(headers) {
        return (Coding::Length(length), Told::AsItIs);
    } else if let Some(length) = body.size_hint().exact() {
        return (Coding::Length(length), Told::Length(length));
    } else {
        Told::Chunked
    };
    (Coding::Chunks(encode::announced_trailers(headers)), told)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = list(headers, CONTENT_LENGTH);
    let first = lengths.next()?;
    let is_one = lengths.all(|other| other == first);
    number(first).filter(|_| is_one)
}

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http::Request;
    use http_body::Frame;
    use http_body_util::{Empty, Full};

    use super::*;

    fn written<B: Body>(target: &str, fields: &[(&str, &str)], body: B) -> (String, Coding) {
        let mut request = Request::post(target).body(body).expect("a request");
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        let (parts, body) = request.into_parts();
        let mut out = Vec::new();
        let coding = head(&mut out, &RequestHead::of(&parts).expect("a target"), &body);
        (String::from_utf8(out).expect("text"), coding)
    }

    /// It does not know how long it is.
    struct Stream;

    impl Body for Stream {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }
    }

    #[test]
    fn p01_a_head_is_written_as_it_is() {
        let fields = [("host", "a.test"), ("X-B", "1"), ("a", ""), ("x-b", "2")];
        let (text, coding) = written("/a//b/../c?x=%2f&&=", &fields, Empty::<Bytes>::new());
        let expected = "POST /a//b/../c?x=%2f&&= HTTP/1.1\r\nhost: a.test\r\nx-b: 1\r\nx-b: 2\r\n\
                        a: \r\n\r\n";
        assert_eq!((text.as_str(), coding), (expected, Coding::Length(0)));
        let (text, _) = written("*", &[], Empty::<Bytes>::new());
        assert_eq!(text, "POST * HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn p04_a_body_is_delimited_as_its_head_says_or_as_it_can_be() {
        let body = || Full::new(Bytes::from_static(b"hello"));
        for (fields, coding, said) in [
            (&[("content-length", "5")][..], Coding::Length(5), "content-length: 5\r\n"),
            (&[], Coding::Length(5), "content-length: 5\r\n"),
            (
                &[("transfer-encoding", "chunked")],
                Coding::Chunks(vec![]),
                "transfer-encoding: chunked\r\n",
            ),
            (
                &[("transfer-encoding", "chunked"), ("content-length", "5")],
                Coding::Chunks(vec![]),
                "transfer-encoding: chunked\r\n",
            ),
        ] {
            let (text, found) = written("/", fields, body());
            assert_eq!((text, found), (format!("POST / HTTP/1.1\r\n{said}\r\n"), coding));
        }
        let (text, coding) = written("/", &[("trailer", "x-a, host")], Stream);
        assert_eq!(coding, Coding::Chunks(vec![HeaderName::from_static("x-a")]));
        assert!(text.ends_with("transfer-encoding: chunked\r\n\r\n"), "{text}");
    }
}
