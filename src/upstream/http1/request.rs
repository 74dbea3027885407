//! A request as bytes: its head, and how its body is delimited.

use http::Request;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http_body::Body;

use crate::framing::encode;
use crate::headers::list;

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
pub(super) fn head<B: Body>(out: &mut Vec<u8>, request: &mut Request<B>) -> Coding {
    let coding = coding(request);
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    encode::fields(out, request.headers());
    out.extend_from_slice(b"\r\n");
    coding
}

fn coding<B: Body>(request: &mut Request<B>) -> Coding {
    let has_body = !request.body().is_end_stream();
    let exact = request.body().size_hint().exact();
    let headers = request.headers_mut();
    if !has_body {
        headers.remove(TRANSFER_ENCODING);
        return Coding::Length(0);
    }
    if let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        let last = coding.as_bytes().rsplit(|&byte| byte == b',').next().unwrap_or_default();
        if !last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            headers.append(TRANSFER_ENCODING, CHUNKED);
        }
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length) = announced(headers) {
        return Coding::Length(length);
    } else if let Some(length) = exact {
        headers.insert(CONTENT_LENGTH, length.into());
        return Coding::Length(length);
    } else {
        headers.insert(TRANSFER_ENCODING, CHUNKED);
        headers.remove(CONTENT_LENGTH);
    }
    Coding::Chunks(encode::announced_trailers(headers))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = list(headers, CONTENT_LENGTH);
    let first = std::str::from_utf8(lengths.next()?).ok()?;
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
    let is_one = lengths.all(|other| other == first.as_bytes());
    first.parse().ok().filter(|_| is_number && is_one)
}

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{Empty, Full};

    use super::*;

    fn written<B: Body>(target: &str, fields: &[(&str, &str)], body: B) -> (String, Coding) {
        let mut request = Request::post(target).body(body).expect("a request");
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        let mut out = Vec::new();
        let coding = head(&mut out, &mut request);
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
