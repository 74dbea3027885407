//! One HTTP/2 connection: its tasks, and the streams that it carries.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use http_body::Body;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use crate::telemetry::metrics::Held;

use super::super::LAST_BYTES;
use super::upload::{Upload, Watched};
use super::{Gauges, Pings, Pool};

#[derive(Debug)]
pub(super) struct Connection<B> {
    pub(super) sender: RefCell<SendRequest<Watched<B>>>,
    pub(super) link: Rc<Link>,
    streams: Cell<usize>,
    /// The most that it takes, after it has refused one.
    cap: Cell<usize>,
    retired: Cell<bool>,
    /// It has answered before.
    proven: Cell<bool>,
    /// When its last stream ended, or it was made.
    since: Cell<Instant>,
    counted: RefCell<Held>,
}

/// What the pool and a connection's tasks know together.
#[derive(Debug)]
pub(super) struct Link {
    /// The most streams at once that the peer allows.
    most: Cell<usize>,
    driver: RefCell<Option<Waker>>,
    /// The first of hyper's tasks, which reads and writes, has been started.
    started: Cell<bool>,
    /// The body that hyper has begun to send.
    pub(super) begun: RefCell<Option<Rc<Upload>>>,
}

/// A place on a connection, for one request and its answer.
#[derive(Debug)]
pub struct Stream<B: 'static> {
    pub(super) connection: Rc<Connection<B>>,
    pool: Rc<Pool<B>>,
    pub(super) upload: Rc<Upload>,
    /// The connection had lain unused for so long.
    pub(super) rested: Duration,
}

// === impl Connection ===

impl<B> Connection<B>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) async fn start<I>(
        io: I,
        pings: Pings,
        gauges: &Gauges,
        pool: Weak<Pool<B>>,
    ) -> hyper::Result<Rc<Self>>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let link = Rc::new(Link {
            most: Cell::new(BEFORE_SETTINGS),
            driver: RefCell::default(),
            started: Cell::new(false),
            begun: RefCell::default(),
        });
        let (sender, connection) = http2::Builder::new(Tasks(link.clone()))
            .timer(TokioTimer::new())
            .initial_max_send_streams(BEFORE_SETTINGS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW * MOST_STREAMS as u32)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEAD_BYTES)
            .max_concurrent_reset_streams(REMEMBERED_RESETS)
            .keep_alive_interval(pings.interval)
            .keep_alive_timeout(pings.timeout)
            .handshake(TokioIo::new(io))
            .await?;
        spawn_local(drive(connection, link.clone(), pool));
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            link,
            streams: Cell::new(0),
            cap: Cell::new(MOST_STREAMS),
            retired: Cell::new(false),
            proven: Cell::new(false),
            since: Cell::new(Instant::now()),
            counted: RefCell::new(Held::new(&gauges.idle)),
        }))
    }
}

impl<B> Connection<B> {
    /// It takes new streams.
    pub(super) fn is_open(&self) -> bool {
        !self.retired.get() && !self.sender.borrow().is_closed()
    }

    pub(super) fn is_unused_for(&self, longest: Duration) -> bool {
        // A new one is for somebody who is on the way to it.
        let longest = if self.proven.get() { longest } else { longest.max(UNPROVEN_STAYS) };
        self.streams.get() == 0 && self.since.get().elapsed() >= longest
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    pub(super) fn has_room(&self) -> bool {
        self.streams.get() < self.link.most().min(self.cap.get())
    }

    /// How much it carries is known: the peer has said so, or has answered without saying it.
    pub(super) fn is_settled(&self) -> bool {
        self.link.most.get() != BEFORE_SETTINGS || self.proven.get()
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.get()
    }

    /// It takes no new streams, and ends when its last one has.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// The peer has refused a stream: it had too many, by its own count.
    pub(super) fn refused(&self) {
        self.cap.set(self.streams.get().saturating_sub(1));
        if self.cap.get() == 0 {
            self.retire();
        }
    }

    pub(super) fn answered(&self) {
        self.proven.set(true);
        self.cap.set(self.cap.get().saturating_add(1).min(MOST_STREAMS));
    }

    fn join(&self, gauges: &Gauges) -> Duration {
        let before = self.streams.get();
        self.streams.set(before + 1);
        if before > 0 {
            return Duration::ZERO;
        }
        self.counted.replace(Held::new(&gauges.active));
        self.since.get().elapsed()
    }

    fn leave(&self, gauges: &Gauges) {
        self.streams.set(self.streams.get() - 1);
        if self.streams.get() == 0 {
            self.since.set(Instant::now());
            self.counted.replace(Held::new(&gauges.idle));
        }
    }
}

// === impl Link ===

impl Link {
    pub(super) fn most(&self) -> usize {
        self.most.get().min(MOST_STREAMS)
    }

    /// Has the driver look at what has become of the connection: hyper wakes it for new requests
    /// only, not for SETTINGS or a GOAWAY.
    pub(super) fn wake_driver(&self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

// === impl Stream ===

impl<B> Stream<B> {
    pub(super) fn new(connection: &Rc<Connection<B>>, pool: &Rc<Pool<B>>) -> Self {
        let rested = connection.join(&pool.gauges);
        let (connection, pool) = (connection.clone(), pool.clone());
        Self { connection, pool, upload: Rc::default(), rested }
    }

    /// The answer has ended. The end of the request may still be on its way.
    pub(in super::super) fn done(self) {
        if !self.upload.is_over() {
            spawn_local(async move {
                let _ = timeout(LAST_BYTES, self.upload.over()).await;
            });
        }
    }
}

/// Whatever is still being sent or read of the stream ends; the connection lives on.
impl<B> Drop for Stream<B> {
    fn drop(&mut self) {
        self.upload.stop();
        self.connection.leave(&self.pool.gauges);
        self.pool.hand_out();
    }
}

/// hyper's tasks, on this worker's thread.
#[derive(Clone, Debug)]
struct Tasks(Rc<Link>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        let Self(link) = self;
        if link.started.replace(true) {
            let task = spawn_local(future);
            if let Some(upload) = link.begun.take() {
                upload.is_sent_by(task.abort_handle());
            }
            return;
        }
        let link = link.clone();
        spawn_local(async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let polled = future.as_mut().poll(cx);
                if link.most.get() == BEFORE_SETTINGS {
                    link.wake_driver();
                }
                polled
            })
            .await;
        });
    }
}

/// Hands requests over to hyper until the connection takes no more of them.
async fn drive<I, B>(
    connection: http2::Connection<TokioIo<I>, Watched<B>, Tasks>,
    link: Rc<Link>,
    pool: Weak<Pool<B>>,
) where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let ended = driven(connection, &link, &pool).await;
    // The connection is dropped, and known to take nothing any more.
    if let Err(error) = ended {
        tracing::debug!(%error, "an upstream connection ended");
    }
    if let Some(pool) = pool.upgrade() {
        pool.lost_one();
    }
}

async fn driven<I, B>(
    connection: http2::Connection<TokioIo<I>, Watched<B>, Tasks>,
    link: &Link,
    pool: &Weak<Pool<B>>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        link.driver.replace(Some(cx.waker().clone()));
        let polled = connection.as_mut().poll(cx);
        let most = connection.current_max_send_streams();
        if link.most.replace(most) != most
            && let Some(pool) = pool.upgrade()
        {
            pool.learned(link.most());
        }
        polled
    })
    .await
}

/// On one connection, whatever the peer allows: more on one share too much of its fate.
pub(super) const MOST_STREAMS: usize = 100;

const UNPROVEN_STAYS: Duration = Duration::from_secs(5);

/// Until the peer has said how many it allows, one stream is enough to have it say so.
const BEFORE_SETTINGS: usize = 1;

/// What a peer may send of one answer before the caller has read it. A connection has room for that
/// of all its streams, so that callers who read slowly do not hold up others.
const STREAM_WINDOW: u32 = 256 << 10;

/// Bytes of a request that wait for the socket.
const SEND_BUFFER: usize = 64 << 10;

/// An answer's head.
const HEAD_BYTES: u32 = 256 << 10;

/// Streams that were given up, of which the peer may not have heard yet.
const REMEMBERED_RESETS: usize = 1000;
