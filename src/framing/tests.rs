//! A connection whose bytes are split anywhere.

mod clocks;
mod served;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

use super::*;

pub(super) const LIMITS: Limits = Limits {
    target_bytes: 64,
    header_bytes: 256,
    headers: 8,
    head: Duration::from_secs(30),
    keep_alive: Duration::from_secs(75),
    idle: Duration::from_secs(90),
};

/// What comes out of a connection, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The requests, written anew.
    bytes: String,
    requests: u64,
    head: Option<Fault>,
    body: Option<Fault>,
}

/// Answers everything, and notes it.
#[derive(Default)]
struct Noting(RefCell<Outcome>);

impl Service for Noting {
    type Body = Empty<Bytes>;
    type Busy = ();

    fn busy(&self) {}

    async fn answer(&self, request: Request<CallerBody>) -> Response<Empty<Bytes>> {
        let (parts, mut body) = request.into_parts();
        let mut text = format!("{} {} {:?}\r\n", parts.method, parts.uri, parts.version);
        for (name, value) in &parts.headers {
            text += &format!("{name}: {}\r\n", value.as_bytes().escape_ascii());
        }
        text += "\r\n";
        while let Some(frame) = body.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => text += &data.escape_ascii().to_string(),
                Ok(Err(frame)) => text += &format!("{:?}", frame.trailers_ref()),
                Err(error) => {
                    self.0.borrow_mut().body = Fault::find(&error);
                    break;
                }
            }
        }
        let mut noted = self.0.borrow_mut();
        noted.bytes += &text;
        noted.requests += 1;
        let mut answer = Response::new(Empty::new());
        // Not a success: that would begin a tunnel for CONNECT.
        *answer.status_mut() = http::StatusCode::NOT_FOUND;
        answer
    }

    fn refuse(&self, fault: Fault) -> Response<Empty<Bytes>> {
        self.0.borrow_mut().head = Some(fault);
        Response::new(Empty::new())
    }

    fn poll_leave(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Bytes that come piece by piece, and whose end is said from outside.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    paused: bool,
    ended: Rc<Cell<bool>>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pieces.is_empty() {
            return if self.ended.get() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        self.paused = !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(mut piece) = self.pieces.pop_front() else { return Poll::Ready(Ok(())) };
        if piece.len() > buf.remaining() {
            self.pieces.push_front(piece.split_off(buf.remaining()));
        }
        buf.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever lingers gets the end.
        self.ended.set(true);
        Poll::Ready(Ok(()))
    }
}

impl Duplex for Pieces {}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn read(pieces: &[&[u8]]) -> Outcome {
    // Timers are made, but nobody waits for one.
    thread_local! {
        static RUNTIME: Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let ended = Rc::new(Cell::new(false));
    let pieces = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec());
    let pieces = Pieces { pieces: pieces.collect(), paused: true, ended: ended.clone() };
    let noting = Noting::default();
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        let connection = Connection::new(CallerStream::other(pieces), LIMITS.into(), None);
        let mut served = pin!(connection.serve(&noting));
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        while served.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            if !woken.0.swap(false, Ordering::Relaxed) {
                assert!(!ended.replace(true), "the connection stands still");
            }
        }
    });
    noting.0.take()
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

/// What these bytes are when they are written anew.
fn passes(bytes: &[u8], requests: u64, anew: &str) {
    let outcome = Outcome { bytes: anew.to_owned(), requests, ..Outcome::default() };
    assert_eq!(read_split(bytes), outcome);
}

/// As they are.
fn passes_untouched(text: &str) {
    passes(text.as_bytes(), 1, text);
}

fn head_fault(bytes: &[u8]) -> Option<Fault> {
    let outcome = read_split(bytes);
    assert_eq!(outcome.bytes, "", "{}", bytes.escape_ascii());
    outcome.head
}

fn body_fault(bytes: &[u8]) -> Option<Fault> {
    let outcome = read_split(bytes);
    assert_eq!((outcome.requests, outcome.head), (1, None), "{}", bytes.escape_ascii());
    outcome.body
}

#[test]
fn p01_what_is_well_formed_goes_on_untouched() {
    passes_untouched("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    passes_untouched("GET / HTTP/1.0\r\n\r\n");
    passes_untouched(
        "M!#$%&'*+-.^_`|~1 //a/../b;c?d=&&=%zz? HTTP/1.1\r\nhost: a\r\nx: y z\r\nx: \r\n\r\n",
    );
    passes_untouched("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
    passes(
        b"\r\n\r\nGET / HTTP/1.1\r\nHost:\r\nx:\t a \xff b \t\r\n\r\n",
        1,
        "GET / HTTP/1.1\r\nhost: \r\nx: a \\xff b\r\n\r\n",
    );
    let post = "POST /a?b HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nGET /";
    let get = "GET /x HTTP/1.1\r\nhost: b\r\n\r\n";
    passes(format!("{post}{get}").as_bytes(), 2, &format!("{post}{get}"));
    passes(
        b"PUT /\xc3\xa4 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n\
          3;a=b\r\nabc\r\n0\r\nx-sum: 1\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        2,
        "PUT /\u{e4} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n\
         abcSome({\"x-sum\": \"1\"})GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    );
}

#[test]
fn p05_raw_json_is_encoded_on_every_request_of_a_connection() {
    let json = b"GET /x?q={\"a\":[\"b\"]} HTTP/1.1\r\nhost: a\r\n\r\n";
    let encoded = "GET /x?q={%22a%22:[%22b%22]} HTTP/1.1\r\nhost: a\r\n\r\n";
    passes(json, 1, encoded);
    let plain = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";
    let post = "POST /x?\" HTTP/1.1\r\nhost: a\r\ncontent-length: 15\r\n\r\nGET /y HTTP/1.1";
    let post_encoded = post.replace("?\"", "?%22");
    let all = [plain.as_bytes(), json, post.as_bytes(), plain.as_bytes(), json].concat();
    passes(&all, 5, &[plain, encoded, &post_encoded, plain, encoded].concat());
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
        let before = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nxy";
        let outcome = read_split(format!("{before}{head}GET / HTTP/1.1\r\n").as_bytes());
        assert_eq!((outcome.requests, outcome.head), (1, Some(fault)), "{head:?}");
        assert_eq!(outcome.bytes, before, "{head:?}");
    }
}

#[test]
fn p27_heads_have_limits() {
    let target =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(bytes - 1));
    passes_untouched(&target(64));
    assert_eq!(head_fault(target(65).as_bytes()), Some(Fault::TargetLength));
    // Without its end, because it may never come.
    let endless = format!("GET /{}", "a".repeat(80));
    assert_eq!(head_fault(endless.as_bytes()), Some(Fault::TargetLength));

    let header = |bytes: usize| format!("GET / HTTP/1.0\r\nx: {}\r\n\r\n", "a".repeat(bytes - 5));
    passes_untouched(&header(256));
    assert_eq!(head_fault(header(260).as_bytes()), Some(Fault::HeaderBytes));
    let endless = format!("GET / HTTP/1.0\r\nx: {}", "a".repeat(260));
    assert_eq!(head_fault(endless.as_bytes()), Some(Fault::HeaderBytes));

    let headers = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "x:\r\n".repeat(count));
    passes(headers(8).as_bytes(), 1, &headers(8).replace("x:", "x: "));
    assert_eq!(head_fault(headers(9).as_bytes()), Some(Fault::HeaderCount));
}

#[test]
fn p25_faulty_bodies_end_where_they_are_faulty() {
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, right, fault) in [
        ("3\r\nabc\r\nx", "abc", Fault::ChunkSize),
        ("3\r\nabcd\r\n0\r\n\r\n", "abc", Fault::ChunkEnd),
        ("3\nabc\n0\n\n", "", Fault::ChunkSize),
        ("0\r\nx\r\n\r\n", "", Fault::TrailerLine),
        ("0\r\na: b\r\n c\r\n\r\n", "", Fault::TrailerLine),
        ("0\r\na: b\n\r\n", "", Fault::LineEnding),
        ("0\r\na: \0\r\n\r\n", "", Fault::ControlByte),
        ("0\r\na: b\r\nContent-Length: 5\r\n\r\n", "", Fault::TrailerName),
        ("0\r\nHost: b\r\n\r\n", "", Fault::TrailerName),
        ("0\r\ntransfer_encoding: b\r\n\r\n", "", Fault::TrailerName),
    ] {
        let bytes = format!("{head}{body}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(body_fault(bytes.as_bytes()), Some(fault), "{body:?}");
        let passed = format!("{head}{right}");
        assert_eq!(read_split(bytes.as_bytes()).bytes, passed, "{body:?}");
    }
    let many = format!("{head}0\r\n{}\r\n", "x:\r\n".repeat(9));
    assert_eq!(body_fault(many.as_bytes()), Some(Fault::HeaderCount));
    let big = format!("{head}0\r\nx: {}", "a".repeat(260));
    assert_eq!(body_fault(big.as_bytes()), Some(Fault::HeaderBytes));
}

proptest! {
    #[test]
    fn no_bytes_and_no_split_confuse_a_connection(
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
