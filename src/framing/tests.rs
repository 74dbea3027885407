//! The reader without IO, on bytes split anywhere.

mod clocks;
mod hyper;

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::reader::Reader;
use super::*;

pub(super) const LIMITS: Limits = Limits {
    target_bytes: 64,
    header_bytes: 256,
    headers: 8,
    head: Duration::from_secs(30),
    keep_alive: Duration::from_secs(75),
    idle: Duration::from_secs(90),
};

/// What comes out of a reader, and how it ends.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    bytes: String,
    requests: u64,
    head: Option<Fault>,
    body: Option<Fault>,
}

fn read(pieces: &[&[u8]]) -> Outcome {
    let mut reader = Reader::new(LIMITS);
    let mut out = Vec::new();
    for piece in pieces {
        let passed = reader.feed(piece);
        out.extend_from_slice(&piece[..passed]);
        let mut room = [0; 7];
        loop {
            let mut buf = ReadBuf::new(&mut room);
            if !reader.give(&mut buf) {
                break;
            }
            out.extend_from_slice(buf.filled());
        }
    }
    Outcome {
        bytes: out.escape_ascii().to_string(),
        requests: reader.requests(),
        head: reader.fault(),
        body: reader.failure(),
    }
}

/// The outcome of bytes that come at once; one by one, and split at each place, they must have the
/// same.
fn read_split(bytes: &[u8]) -> Outcome {
    let whole = read(&[bytes]);
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(read(&single), whole, "{}, byte by byte", bytes.escape_ascii());
    for split in 1..bytes.len() {
        let (first, second) = bytes.split_at(split);
        assert_eq!(read(&[first, second]), whole, "{}, at {split}", bytes.escape_ascii());
    }
    whole
}

fn passes(bytes: &[u8], requests: u64) {
    let bytes_out = bytes.escape_ascii().to_string();
    assert_eq!(read_split(bytes), Outcome { bytes: bytes_out, requests, ..Outcome::default() });
}

const STAND_IN: &str = "GET / HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n";

fn head_fault(bytes: &[u8]) -> Option<Fault> {
    let outcome = read_split(bytes);
    assert_eq!(outcome.bytes, STAND_IN, "{}", bytes.escape_ascii());
    outcome.head
}

fn body_fault(bytes: &[u8]) -> Option<Fault> {
    let outcome = read_split(bytes);
    assert_eq!((outcome.requests, outcome.head), (1, None), "{}", bytes.escape_ascii());
    outcome.body
}

#[test]
fn p01_what_is_well_formed_goes_on_untouched() {
    passes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    passes(b"GET / HTTP/1.0\r\n\r\n", 1);
    passes(b"\r\n\r\nGET / HTTP/1.1\r\nHost:\r\nx:\t a \xff b \t\r\n\r\n", 1);
    passes(b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /GET /x HTTP/1.1\r\nhost: b\r\n\r\n", 2);
    passes(b"M!#$%&'*+-.^_`|~1 //a/../b;c?d=&&=%zz? HTTP/1.1\r\nhost: a\r\n\r\n", 1);
    passes(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 1);
    passes(
        b"PUT /\xc3\xa4 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n\
          3;a=b\r\nabc\r\n0\r\nx-sum: 1\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        2,
    );
}

#[test]
fn p05_raw_json_is_encoded_on_every_request_of_a_connection() {
    let json = b"GET /x?q={\"a\":[\"b\"]} HTTP/1.1\r\nhost: a\r\n\r\n";
    let encoded = r"GET /x?q={%22a%22:[%22b%22]} HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(read_split(json).bytes, encoded);
    let plain = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n";
    let post =
        b"POST /x?\" HTTP/1.1\r\nhost: a\r\ncontent-length: 19\r\n\r\nGET /\" HTTP/1.1\r\n\r\n";
    let outcome = read_split(&[&plain[..], json, post, plain, json].concat());
    let plain = plain.escape_ascii().to_string();
    let post = post.escape_ascii().to_string().replace("?\\\"", "?%22");
    assert_eq!(outcome.bytes, [&plain, encoded, &post, &plain, encoded].concat());
    assert_eq!(outcome.requests, 5);
}

#[test]
fn p25_faulty_heads_are_refused_after_the_requests_before_them() {
    let fields = |fields: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
    for (head, fault) in [
        ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET /\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET\r\n".to_owned(), Fault::RequestLine),
        (" GET / HTTP/1.1\r\n".to_owned(), Fault::RequestLine),
        ("G(T / HTTP/1.1\r\n".to_owned(), Fault::RequestLine),
        ("GET / http/1.1\r\n".to_owned(), Fault::RequestLine),
        ("GET / HTTP/1.1x\r\n".to_owned(), Fault::RequestLine),
        ("\r\n\r\n\r\n\r\n\r\n".to_owned(), Fault::RequestLine),
        ("M".repeat(65), Fault::RequestLine),
        ("GET / HTTP/2.0\r\n".to_owned(), Fault::Version),
        ("GET / HTTP/0.9\r\n".to_owned(), Fault::Version),
        ("GET / HTTP/1.2\r\n".to_owned(), Fault::Version),
        ("GET /a#b HTTP/1.1\r\n".to_owned(), Fault::Target),
        ("GET /a\tb HTTP/1.1\r\n".to_owned(), Fault::ControlByte),
        ("GET /a\0b HTTP/1.1\r\n".to_owned(), Fault::ControlByte),
        ("GET /a\x7fb HTTP/1.1\r\n".to_owned(), Fault::ControlByte),
        ("\x16\x03\x01".to_owned(), Fault::ControlByte),
        ("GET / HTTP/1.1\nhost: a\n\n".to_owned(), Fault::LineEnding),
        ("\nGET / HTTP/1.1\r\n".to_owned(), Fault::LineEnding),
        ("GET /a\rb HTTP/1.1\r\n".to_owned(), Fault::LineEnding),
        (fields("x: a\nb: c"), Fault::LineEnding),
        (fields("x: a\rb: c"), Fault::LineEnding),
        (fields("x: a\r\r\nb: c"), Fault::LineEnding),
        (fields("x: a\0"), Fault::ControlByte),
        (fields("x: \u{1b}"), Fault::ControlByte),
        (fields("x: a\r\n b"), Fault::Field),
        (fields("x: a\r\n\tb: c"), Fault::Field),
        (fields("x : a"), Fault::Field),
        (fields("x"), Fault::Field),
        (fields(": a"), Fault::Field),
        (fields("a[b]: a"), Fault::Field),
        (fields("content_length: 5"), Fault::Field),
        (fields("content-length: 5, 5"), Fault::ContentLength),
        (fields("content-length: 5\r\ncontent-length: 5"), Fault::ContentLength),
        (fields("transfer-encoding: gzip, chunked"), Fault::UnknownCoding),
        (fields("transfer-encoding: chunked, gzip"), Fault::TransferCoding),
        (fields("transfer-encoding: chunked\r\ncontent-length: 5"), Fault::LengthAndCoding),
        (fields("Host: a"), Fault::TwoHosts),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Fault::NoHost),
        ("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), Fault::TransferCoding),
    ] {
        assert_eq!(head_fault(head.as_bytes()), Some(fault), "{head:?}");
        let before = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n\r\n";
        let outcome = read_split(format!("{before}{head}GET / HTTP/1.1\r\n").as_bytes());
        assert_eq!((outcome.requests, outcome.head), (2, Some(fault)), "{head:?}");
        assert_eq!(outcome.bytes, before.escape_default().to_string() + STAND_IN, "{head:?}");
    }
}

#[test]
fn p27_heads_have_limits() {
    let target =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(bytes - 1));
    passes(target(64).as_bytes(), 1);
    assert_eq!(head_fault(target(65).as_bytes()), Some(Fault::TargetLength));
    // Without its end, because it may never come.
    let endless = format!("GET /{}", "a".repeat(80));
    assert_eq!(head_fault(endless.as_bytes()), Some(Fault::TargetLength));

    let header = |bytes: usize| format!("GET / HTTP/1.0\r\nx: {}\r\n\r\n", "a".repeat(bytes - 5));
    passes(header(256).as_bytes(), 1);
    assert_eq!(head_fault(header(260).as_bytes()), Some(Fault::HeaderBytes));
    let endless = format!("GET / HTTP/1.0\r\nx: {}", "a".repeat(260));
    assert_eq!(head_fault(endless.as_bytes()), Some(Fault::HeaderBytes));

    let headers = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "x:\r\n".repeat(count));
    passes(headers(8).as_bytes(), 1);
    assert_eq!(head_fault(headers(9).as_bytes()), Some(Fault::HeaderCount));
}

#[test]
fn p25_faulty_bodies_end_where_they_are_faulty() {
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, right, fault) in [
        ("3\r\nabc\r\nx", "3\r\nabc\r\n", Fault::ChunkSize),
        ("3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc", Fault::ChunkEnd),
        ("3\nabc\n0\n\n", "3", Fault::ChunkSize),
        ("0\r\nx\r\n\r\n", "0\r\n", Fault::TrailerLine),
        ("0\r\na: b\r\n c\r\n\r\n", "0\r\n", Fault::TrailerLine),
        ("0\r\na: b\n\r\n", "0\r\n", Fault::LineEnding),
        ("0\r\na: \0\r\n\r\n", "0\r\n", Fault::ControlByte),
        ("0\r\na: b\r\nContent-Length: 5\r\n\r\n", "0\r\n", Fault::TrailerName),
        ("0\r\nHost: b\r\n\r\n", "0\r\n", Fault::TrailerName),
        ("0\r\ntransfer_encoding: b\r\n\r\n", "0\r\n", Fault::TrailerName),
    ] {
        let bytes = format!("{head}{body}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(body_fault(bytes.as_bytes()), Some(fault), "{body:?}");
        let passed = format!("{head}{right}").escape_default().to_string();
        assert_eq!(read_split(bytes.as_bytes()).bytes, passed, "{body:?}");
    }
    let many = format!("{head}0\r\n{}\r\n", "x:\r\n".repeat(9));
    assert_eq!(body_fault(many.as_bytes()), Some(Fault::HeaderCount));
    let big = format!("{head}0\r\nx: {}", "a".repeat(260));
    assert_eq!(body_fault(big.as_bytes()), Some(Fault::HeaderBytes));
}

#[test]
fn what_follows_a_request_for_an_upgrade_is_held_back() {
    let head =
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: x\r\n\r\n";
    let mut reader = Reader::new(LIMITS);
    assert_eq!(reader.feed(&[&head[..], b"GET \0"].concat()), head.len());
    assert!(reader.awaits_upgrade() && reader.is_unfinished());
    assert_eq!(reader.feed(b"\x01"), 0);
    let mut room = [0; 100];
    let mut buf = ReadBuf::new(&mut room);
    assert!(!reader.give(&mut buf));
    reader.tunnel();
    assert!(reader.give(&mut buf));
    assert_eq!(buf.filled(), b"GET \0\x01");
    assert_eq!(reader.feed(b"\0\0"), 2);
}

proptest! {
    #[test]
    fn no_bytes_and_no_split_confuse_the_reader(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(&b"GET / HTTP/1.1\r\nhost: a\r\n"[..]), Just(&b"\r\n"[..]), Just(&b"\r\n\r\n"[..]),
                Just(&b"POST /?\" HTTP/1.1\r\nhost: a\r\n"[..]), Just(&b"content-length: 3\r\n"[..]),
                Just(&b"transfer-encoding: chunked\r\n"[..]), Just(&b"3\r\nabc\r\n"[..]), Just(&b"0\r\n"[..]),
                Just(&b"abc"[..]), Just(&b"\n"[..]), Just(&b"\0"[..]), Just(&b"x: y\r\n"[..]), Just(&b" "[..]),
            ],
            0..12,
        ),
    ) {
        read_split(&pieces.concat());
    }
}
