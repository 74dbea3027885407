//! HTTP/2 with a caller: agreed on in the TLS handshake, or without TLS spoken from the first byte on
//! ("prior knowledge", RFC 9113, 3.3).

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::LazyLock;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use crate::framing::{CallerBody, Fault, Limits, LiveLimits, Tunnel};
use crate::headers::NameSet;
use crate::proxy::reply::ReplyBody;
use crate::proxy::vendor_body::ReplyError;
use crate::telemetry::metrics::Limit;

use super::Caller;
use super::seats::Busy;

pub(super) async fn serve(connection: Tunnel, caller: &Caller) -> hyper::Result<()> {
    let Tunnel { stream, counted: _counted } = connection;
    let Caller { peer, seat, context, .. } = caller;
    let limits = context.limits.request.get();
    let streams = Rc::new(Streams::new());
    let service = {
        let (context, peer, streams) = (context.clone(), peer.clone(), streams.clone());
        service_fn(move |mut request: Request<Incoming>| {
            let (context, peer) = (context.clone(), peer.clone());
            let stream = Streams::open(&streams, seat.busy());
            async move {
                let (entrance, proxy) = (context.entrance.get(), &context.proxy);
                let answer = match as_http1(&mut request, context.limits.request.get()) {
                    Ok(()) => {
                        let request = request.map(CallerBody::Http2);
                        proxy.handle(entrance, &peer, request).await
                    }
                    Err(fault) => proxy.refuse(entrance, &peer, fault),
                };
                Ok::<_, Infallible>(answer.map(|body| Answered { body, stream }))
            }
        })
    };
    let connection = http2::Builder::new(SameThread)
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_header_list_size(most_header_bytes(limits))
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream.of_frames()), service);
    let mut connection = pin!(connection);
    let mut over = pin!(streams.over(&context.limits.request));
    let mut is_closing = false;
    let mut unread = pin!(tokio::time::sleep(Duration::MAX));
    let mut must_leave = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            why = over.as_mut(), if !is_closing => match why {
                // All answers have ended here, but the caller may not have given room for the
                // last pieces of them.
                Over::Unused => {
                    connection.as_mut().graceful_shutdown();
                    unread.set(tokio::time::sleep(limits.idle));
                }
                Over::Unread => {
                    context.reached(Limit::Idle);
                    return Ok(());
                }
            },
            () = unread.as_mut(), if is_closing => match streams.look() {
                // Requests may have come before the caller knew.
                (since, false) if since.is_none_or(|since| since.elapsed() < limits.idle) => {
                    unread.set(tokio::time::sleep(limits.idle));
                }
                (_, true) if must_leave => return Ok(()),
                _ => {
                    context.reached(Limit::Idle);
                    return Ok(());
                }
            },
            () = context.drain.stopped(), if !is_closing => {
                connection.as_mut().graceful_shutdown();
            }
            () = context.closed.cancelled(), if !is_closing => {
                connection.as_mut().graceful_shutdown();
            }
            () = seat.must_leave(), if !is_closing => {
                connection.as_mut().graceful_shutdown();
                // Somebody waits for its place, and a caller need not answer.
                must_leave = true;
                unread.set(tokio::time::sleep(TIME_TO_LEAVE));
            }
            () = context.drain.ended() => return Ok(()),
        }
        is_closing = true;
    }
}

/// The streams of one connection whose answers have not ended.
#[derive(Debug)]
struct Streams {
    open: RefCell<Vec<Weak<Stream>>>,
    /// When the last one ended.
    ended: Cell<Instant>,
}

#[derive(Debug)]
struct Stream {
    of: Rc<Streams>,
    /// When a piece of the answer was taken that has not gone on yet.
    taken: Cell<Option<Instant>>,
    _busy: Busy,
}

/// Why a connection should end.
enum Over {
    /// No request for a long time.
    Unused,
    /// The caller gives no room for an answer.
    Unread,
}

impl Streams {
    fn new() -> Self {
        Self { open: RefCell::default(), ended: Cell::new(Instant::now()) }
    }

    fn open(this: &Rc<Self>, busy: Busy) -> Rc<Stream> {
        let stream = Rc::new(Stream { of: this.clone(), taken: Cell::new(None), _busy: busy });
        this.open.borrow_mut().push(Rc::downgrade(&stream));
        stream
    }

    /// Completes when nothing has moved for too long.
    async fn over(&self, limits: &LiveLimits) -> Over {
        loop {
            let limits = limits.get();
            // What is waited for changes meanwhile: it is looked at often enough for either limit.
            let pause = limits.keep_alive.min(limits.idle);
            let (oldest, is_unused) = self.look();
            let limit = if is_unused { limits.keep_alive } else { limits.idle };
            let now = Instant::now();
            let next = match oldest {
                Some(since) if now >= since + limit => {
                    return if is_unused { Over::Unused } else { Over::Unread };
                }
                Some(since) => (since + limit).min(now + pause),
                // The vendor is waited for, and has a limit of its own.
                None => now + pause,
            };
            sleep_until(next).await;
        }
    }

    /// Since when the caller lets wait, and whether that is for a request.
    fn look(&self) -> (Option<Instant>, bool) {
        let open = self.open.borrow();
        let taken = open.iter().filter_map(|stream| stream.upgrade()?.taken.get()).min();
        (if open.is_empty() { Some(self.ended.get()) } else { taken }, open.is_empty())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.of.open.borrow_mut().retain(|stream| stream.strong_count() > 0);
        self.of.ended.set(Instant::now());
    }
}

/// An answer's body, and how it moves.
#[derive(Debug)]
struct Answered {
    body: ReplyBody,
    stream: Rc<Stream>,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        // More is asked for when what was taken has found room.
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.stream.taken.set(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Puts a request into the form that it has in HTTP/1: a target without the authority, which is the
/// `Host`; and cookies in one field (RFC 9113, 8.2.3).
fn as_http1(request: &mut Request<Incoming>, limits: Limits) -> Result<(), Fault> {
    if request.headers().len() > limits.headers {
        return Err(Fault::HeaderCount);
    }
    if header_bytes(request.headers()) > limits.header_bytes {
        return Err(Fault::HeaderBytes);
    }
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    let target = uri.path_and_query.as_ref().map_or("", |target| target.as_str());
    if target.len() > limits.target_bytes {
        return Err(Fault::TargetLength);
    }
    if target == "*" && request.method() != Method::OPTIONS {
        return Err(Fault::Target);
    }
    let headers = request.headers_mut();
    look_at_fields(headers)?;
    let mut hosts = headers.get_all(HOST).iter();
    match (uri.authority.take(), hosts.next(), hosts.next()) {
        (_, Some(_), Some(_)) => return Err(Fault::TwoHosts),
        (None, None, None) => return Err(Fault::NoHost),
        (Some(authority), Some(host), None) if authority.as_str() != *host => {
            return Err(Fault::TwoHosts);
        }
        (Some(authority), None, None) => {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Fault::Host)?;
            headers.insert(HOST, host);
        }
        _ => {}
    }
    join_cookies(headers);
    uri.scheme = None;
    // Of `#x` the library leaves a target that says `/` and is sent as nothing.
    if uri.path_and_query.as_ref().is_some_and(|target| target == "/") {
        uri.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Fault::Target)?;
    Ok(())
}

/// Refuses what the reader of HTTP/1 refuses, too, and the library lets through: a length sent twice,
/// a name that a server behind CGI rules takes for one of framing, blanks around a value (RFC 9113,
/// 8.2.1).
fn look_at_fields(headers: &HeaderMap) -> Result<(), Fault> {
    static FRAMING: LazyLock<NameSet> =
        LazyLock::new(|| NameSet::new(["content-length", "transfer-encoding"]));
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Fault::ContentLength);
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    for (name, value) in headers {
        let (name, value) = (name.as_str(), value.as_bytes());
        let is_padded = value.first().is_some_and(is_blank) || value.last().is_some_and(is_blank);
        if is_padded || (FRAMING.contains(name) && name.contains('_')) {
            return Err(Fault::Field);
        }
    }
    Ok(())
}

/// As they would be in HTTP/1, with `: ` and the end of the line.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// What the library lets through, so that a header that is too big is refused in our own words. What is
/// bigger still gets a bare 431 from the library, and what has no end GOAWAY.
fn most_header_bytes(limits: Limits) -> u32 {
    let counted = limits.target_bytes + 2 * limits.header_bytes + HPACK_ENTRY * limits.headers;
    u32::try_from(counted).unwrap_or(u32::MAX)
}

fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pairs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pairs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// Runs the parts of a connection where the connection runs.
#[derive(Clone, Copy, Debug)]
struct SameThread;

impl<F: Future + 'static> Executor<F> for SameThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// Of an idle connection whose place somebody else needs.
const TIME_TO_LEAVE: Duration = Duration::from_secs(2);
/// What a field counts beside its bytes (RFC 9113, 6.5.2).
const HPACK_ENTRY: usize = 32;
/// What a caller may send of one upload before the vendor has read it.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes of an answer that wait for the caller to give room.
const SEND_BUFFER: usize = 64 << 10;
/// At one time on one connection.
const MOST_STREAMS: u32 = 256;
/// A caller that has gone without a word is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
