//! hyper's server and our own on the same bytes: what hyper takes must come out the same, or be
//! refused for a reason that the bytes show.
//!
//! The fuzz target and the property tests judge with this same file.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokenward::framing::{CallerBody, CallerStream, Connection, Duplex, Fault, Limits, Service};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

/// A request as a service saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub method: Method,
    /// In the parts that hyper made of it.
    pub target: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Result<(Bytes, Option<HeaderMap>), Option<Fault>>,
}

/// The requests of a connection, and the fault of the one that stands behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    pub requests: Vec<Seen>,
    pub fault: Option<Fault>,
}

/// Panics if our reader does to these bytes what it should not. `split` says how they are cut into
/// pieces: 0 not at all, otherwise as a seed.
pub fn check(bytes: &[u8], split: u64) -> Served {
    let alone = serve(bytes, 0, false);
    let framed = serve(bytes, 0, true);
    judge(bytes, &alone, &framed);
    if split != 0 {
        let pieces = serve(bytes, split, true);
        assert_eq!(pieces, framed, "split by {split}");
    }
    framed
}

/// Serves the bytes with our own server, or with hyper.
pub fn serve(bytes: &[u8], split: u64, framed: bool) -> Served {
    // Timers are made, but nobody waits for one.
    thread_local! {
        static RUNTIME: Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        let pieces =
            Pieces { rest: Bytes::copy_from_slice(bytes), seed: split, ..Pieces::default() };
        let ended = Arc::clone(&pieces.ended);
        let served = Arc::new(Mutex::new(Served::default()));
        if framed {
            let stream = CallerStream::other(pieces);
            let connection = Connection::new(stream, LIMITS.into(), None);
            let service = Ours { served: Arc::clone(&served) };
            run(connection.serve(&service), &ended);
        } else {
            let service = service_fn(|request| see(request, Arc::clone(&served)));
            let mut builder = http1::Builder::new();
            let builder = builder.auto_date_header(false);
            run(builder.serve_connection(TokioIo::new(pieces), service), &ended);
        }
        let served = served.lock().expect("a list");
        served.clone()
    })
}

fn run(connection: impl Future, ended: &AtomicBool) {
    let mut connection = pin!(connection);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut polls = 0_u32;
    while connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        polls += 1;
        assert!(polls < MAX_POLLS, "the connection spins");
        if !woken.0.swap(false, Ordering::Relaxed) {
            // Everything has been done with what there is; what waits for more gets the end.
            assert!(!ended.swap(true, Ordering::Relaxed), "the connection stands still");
        }
    }
}

struct Ours {
    served: Arc<Mutex<Served>>,
}

impl Service for Ours {
    type Body = Empty<Bytes>;
    type Busy = ();

    fn busy(&self) {}

    async fn answer(&self, request: Request<CallerBody>) -> Response<Empty<Bytes>> {
        let Ok(answer) = see(request, Arc::clone(&self.served)).await;
        answer
    }

    fn refuse(&self, fault: Fault) -> Response<Empty<Bytes>> {
        self.served.lock().expect("a list").fault = Some(fault);
        Response::new(Empty::new())
    }

    fn poll_leave(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

async fn see<B>(
    request: Request<B>,
    served: Arc<Mutex<Served>>,
) -> Result<Response<Empty<Bytes>>, Infallible>
where
    B: Body<Data = Bytes, Error: Error + 'static>,
{
    let mut answer = Response::new(Empty::new());
    // Not a success: that would begin a tunnel for CONNECT.
    *answer.status_mut() = StatusCode::NOT_FOUND;
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            Ok((body.to_bytes(), trailers))
        }
        Err(error) => Err(Fault::find(&error)),
    };
    served.lock().expect("a list").requests.push(Seen {
        method: parts.method,
        target: parts.uri.to_string(),
        version: parts.version,
        headers: parts.headers,
        body,
    });
    Ok(answer)
}

fn judge(bytes: &[u8], alone: &Served, framed: &Served) {
    let pairs = alone.requests.iter().zip(&framed.requests);
    for (alone, framed) in pairs {
        assert_eq!(framed.method, alone.method);
        assert_eq!(framed.version, alone.version);
        assert_eq!(framed.headers, alone.headers);
        if framed.target != alone.target {
            // hyper drops a fragment.
            let kept = framed.target.strip_prefix(&alone.target);
            assert!(kept.is_some_and(|rest| rest.starts_with("%23")), "{alone:?} {framed:?}");
            assert!(alone.target.contains('?') && bytes.contains(&b'#'));
        }
        match (&alone.body, &framed.body) {
            (Ok(_), Err(Some(fault))) => {
                assert!(may_refuse_body(*fault, alone, bytes), "{fault:?} for no reason: {alone:?}")
            }
            (Err(_), Err(_)) => {}
            (alone, framed) => assert_eq!(framed, alone),
        }
        if framed.body.is_err() {
            return;
        }
    }
    match (alone.requests.get(framed.requests.len()), framed.fault) {
        (Some(request), Some(fault)) => {
            // A length may end a body between CR and LF, and the LF begins the next head.
            let body = framed.requests.last().and_then(|last| last.body.as_ref().ok());
            let cut =
                fault == Fault::LineEnding && body.is_some_and(|(body, _)| body.ends_with(b"\r"));
            let may = cut || may_refuse(fault, request, bytes);
            assert!(may, "{fault:?} for no reason: {request:?}");
        }
        (Some(request), None) => panic!("lost: {request:?}"),
        (None, _) => {
            if let Some(more) = framed.requests.get(alone.requests.len()) {
                let was_encoded = [
                    "%22", "%3C", "%3E", "%60", "%23", "%8", "%9", "%A", "%B", "%C", "%D", "%E",
                    "%F",
                ];
                let encoded = was_encoded.iter().any(|code| more.target.contains(code));
                assert!(encoded, "hyper refuses what is passed to it: {more:?}");
            }
        }
    }
}

/// Whether the reader may refuse a head that hyper takes: the strictness that is meant.
fn may_refuse(fault: Fault, request: &Seen, bytes: &[u8]) -> bool {
    let values = |name| request.headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    let codings: Vec<_> = values(header::TRANSFER_ENCODING).collect();
    match fault {
        Fault::RequestLine => {
            request.method.as_str().len() > 64 || contains(bytes, b"\r\n\r\n\r\n\r\n\r\n")
        }
        Fault::Target => {
            let is_path = request.target.starts_with('/') && request.method != Method::CONNECT;
            bytes.contains(&b'#') || !is_path
        }
        Fault::LineEnding => has_bare_ending(bytes),
        Fault::Field => has_underscored(&request.headers),
        // Beside a coding hyper drops the length without a look at it.
        Fault::ContentLength => count(bytes, b"content-length") > usize::from(codings.is_empty()),
        Fault::UnknownCoding => codings.iter().any(|value| value.contains(&b',')),
        Fault::TransferCoding => {
            codings.len() > 1 || codings.iter().any(|value| !value.eq_ignore_ascii_case(b"chunked"))
        }
        Fault::LengthAndCoding => !codings.is_empty() && count(bytes, b"content-length") > 0,
        Fault::TwoHosts => values(header::HOST).count() > 1,
        Fault::NoHost => values(header::HOST).count() == 0 && request.version == Version::HTTP_11,
        Fault::Host => values(header::HOST).any(|host| {
            host.iter().any(|byte| !byte.is_ascii_graphic() || b"\"#,/<>?@\\^`{|}".contains(byte))
        }),
        _ => false,
    }
}

fn may_refuse_body(fault: Fault, request: &Seen, bytes: &[u8]) -> bool {
    let Ok((_, trailers)) = &request.body else { return false };
    match fault {
        // Blanks, extensions without measure, and zeros without end.
        Fault::ChunkSize => {
            bytes.windows(2).any(|pair| pair[0].is_ascii_hexdigit() && b" \t".contains(&pair[1]))
                || bytes.contains(&b';')
                || contains(bytes, &[b'0'; 16])
        }
        Fault::LineEnding => has_bare_ending(bytes),
        Fault::TrailerName => trailers.as_ref().is_some_and(|trailers| {
            let barred = [
                "connection",
                "content-length",
                "expect",
                "host",
                "keep-alive",
                "te",
                "proxy-connection",
                "trailer",
                "transfer-encoding",
                "upgrade",
            ];
            trailers.keys().any(|name| barred.contains(&name.as_str().replace('_', "-").as_str()))
        }),
        _ => false,
    }
}

fn has_underscored(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        name.as_str().contains('_')
            && ["content-length", "transfer-encoding"].contains(&&*name.as_str().replace('_', "-"))
    })
}

fn has_bare_ending(bytes: &[u8]) -> bool {
    let pairs = bytes.windows(2);
    bytes.starts_with(b"\n")
        || pairs.into_iter().any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn count(bytes: &[u8], name: &[u8]) -> usize {
    bytes.windows(name.len()).filter(|window| window.eq_ignore_ascii_case(name)).count()
}

/// A connection whose bytes come in pieces, and whose end is said from outside.
#[derive(Default)]
struct Pieces {
    rest: Bytes,
    seed: u64,
    paused: bool,
    ended: Arc<AtomicBool>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            return match self.ended.load(Ordering::Relaxed) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            };
        }
        let mut amount = self.rest.len().min(buf.remaining());
        if self.seed != 0 {
            self.paused = !self.paused;
            if self.paused {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Small pieces, as a rule, and large ones now and then.
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (self.seed >> 33) as usize;
            amount = amount.min(1 + random % if random.is_multiple_of(7) { 400 } else { 9 });
        }
        let piece = self.rest.split_to(amount);
        buf.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl Duplex for Pieces {}

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
        self.ended.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// None that a test reaches.
const LIMITS: Limits = Limits {
    target_bytes: 65_534,
    header_bytes: 1 << 20,
    headers: 100,
    head: HOUR,
    keep_alive: HOUR,
    idle: HOUR,
};
const HOUR: Duration = Duration::from_secs(3600);
const MAX_POLLS: u32 = 100_000;
