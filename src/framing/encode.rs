//! Messages of HTTP/1 as bytes: fields, chunks, trailers.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::headers::list;

use super::field::is_barred_from_trailers;

/// `name: value` of every field, in their order.
pub fn fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    out.reserve(fields.iter().map(|field| line(field) + AROUND_FIELD).sum());
    for (name, value) in fields {
        field(out, name, value);
    }
}

/// `name: value`.
pub fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// In decimal digits.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    digits::<10>(out, number);
}

/// The line before a chunk of so many bytes, which are followed by [`CHUNK_END`]. Never to be said
/// of none: that would end the body.
pub fn chunk_size(out: &mut Vec<u8>, size: usize) {
    digits::<16>(out, size as u64);
    out.extend_from_slice(b"\r\n");
}

/// A chunk; nothing where there is no data, for an empty chunk would be the last one.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        chunk_size(out, data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(CHUNK_END);
    }
}

/// The names that `Trailer` announces and that may stand in trailers: nothing that says how the
/// message is read, who sends it or where it goes (RFC 9110, 6.5.1).
pub fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    if !headers.contains_key(header::TRAILER) {
        return Vec::new();
    }
    let names = list(headers, header::TRAILER);
    let names = names.filter_map(|name| HeaderName::from_bytes(name).ok());
    let may_be = |name: &HeaderName| {
        !is_barred_from_trailers(name.as_str().as_bytes()) && !NO_TRAILERS.contains(name)
    };
    names.filter(may_be).collect()
}

/// The end of a body in chunks, with those of its trailers that were announced.
pub fn end_with_trailers(out: &mut Vec<u8>, announced: &[HeaderName], trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.iter().filter(|(name, _)| announced.contains(name)) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn digits<const RADIX: u64>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // Less than the radix, so it is a digit.
        digits[at] = b"0123456789abcdef"[(number % RADIX) as usize];
        number /= RADIX;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// After the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// After the data of the last chunk, where there are no trailers.
pub const END_OF_LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
/// The end of a body in chunks that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const AROUND_FIELD: usize = ": \r\n".len();

/// Beside what no body is followed by that is read.
const NO_TRAILERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::MAX_FORWARDS,
    header::SET_COOKIE,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        map
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn p01_fields_are_written_in_their_order_with_their_repetitions() {
        let map = headers(&[("b", "1"), ("a", ""), ("b", "2 3")]);
        assert_eq!(written(|out| fields(out, &map)), "b: 1\r\nb: 2 3\r\na: \r\n");
        assert_eq!(written(|out| fields(out, &HeaderMap::new())), "");
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 1, 9, 10, 15, 16, 255, 256, 65_535, u64::MAX - 1, u64::MAX] {
            assert_eq!(written(|out| decimal(out, number)), number.to_string());
            let size = usize::try_from(number).expect("64 bits");
            assert_eq!(written(|out| chunk_size(out, size)), format!("{number:x}\r\n"));
        }
    }

    #[test]
    fn p04_a_chunk_without_data_does_not_end_the_body() {
        assert_eq!(written(|out| chunk(out, b"")), "");
        assert_eq!(written(|out| chunk(out, b"0123456789abcdef!")), "11\r\n0123456789abcdef!\r\n");
    }

    #[test]
    fn p04_trailers_come_as_announced_and_none_that_frames_the_message() {
        let barred = "X-A, host , content-length, connection, Upgrade, keep-alive, set-cookie";
        let head = headers(&[("trailer", barred), ("trailer", "x-b")]);
        let announced = announced_trailers(&head);
        assert_eq!(announced, ["x-a", "x-b"]);
        let sent = headers(&[("x-a", "1"), ("host", "h"), ("x-c", "2"), ("x-b", "3")]);
        let end = written(|out| end_with_trailers(out, &announced, &sent));
        assert_eq!(end, "0\r\nx-a: 1\r\nx-b: 3\r\n\r\n");
        let none = written(|out| end_with_trailers(out, &[], &sent));
        assert_eq!(none.as_bytes(), LAST_CHUNK);
    }
}
