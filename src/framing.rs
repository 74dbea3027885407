//! Reads what callers send over HTTP/1 before hyper does: strictly, within limits of size and time,
//! and with targets that hyper would refuse put into a form that it takes.
//!
//! [`Framed`] stands between a caller's socket and hyper, and walks through heads and bodies. What
//! is as it should be goes on in hyper's own buffer, untouched. In the place of a head that is not,
//! hyper gets a small request of our own; [`Watch`] tells the service which one that is and what
//! was wrong, so that every refusal is answered like any other request, after those before it.

mod chunks;
pub mod clock;
pub mod decode;
pub mod encode;
mod fault;
mod field;
mod head;
mod line;
mod reader;
mod target;
#[cfg(test)]
mod tests;
mod watch;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::telemetry::metrics::Held;
use crate::turn;

use clock::Clock;
use reader::{Reader, Wait};

pub use fault::Fault;
pub use watch::{Open, Watch};

/// The body of a caller's request.
pub type CallerBody = hyper::body::Incoming;

/// What a caller may ask for in size and time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of a target, as it was sent.
    pub target_bytes: usize,
    /// Of all header fields, or of all trailers.
    pub header_bytes: usize,
    /// Number of header fields, or of trailers.
    pub headers: usize,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Between two requests, and before the first.
    pub keep_alive: Duration,
    /// Without a byte of a body that is awaited, or of an answer taken.
    pub idle: Duration,
}

impl Limits {
    fn most(&self) -> decode::Most {
        decode::Most { bytes: self.header_bytes, fields: self.headers }
    }
}

/// A caller's connection, of which only well-formed HTTP/1 can be read.
#[derive(Debug)]
pub struct Framed<I> {
    inner: I,
    /// Read from `inner` before.
    prefix: Bytes,
    reader: Reader,
    limits: Limits,
    watch: Arc<Watch>,
    /// Runs while a read waits for something that has a limit.
    reading: Clock,
    /// What it waits for.
    wait: Wait,
    /// Runs while a write is stuck.
    writing: Clock,
    /// The last read found nothing.
    is_waiting: bool,
    /// The pause between two requests was too long.
    is_over: bool,
    /// Bytes that may still be thrown away, once there is nothing to say any more.
    lingering: Option<usize>,
    /// Counts the connection, as a tunnel too.
    _counted: Option<Held>,
}

impl<I> Framed<I> {
    /// `prefix` has been read from `inner` already.
    pub fn new(inner: I, prefix: Bytes, limits: Limits) -> (Self, Arc<Watch>) {
        let watch = Watch::new();
        let framed = Self {
            inner,
            prefix,
            reader: Reader::new(limits),
            limits,
            watch: Arc::clone(&watch),
            reading: Clock::default(),
            wait: Wait::Nothing,
            writing: Clock::default(),
            is_waiting: false,
            is_over: false,
            lingering: None,
            _counted: None,
        };
        (framed, watch)
    }

    /// Whatever the caller sends, and if it is nothing, it is answered with this fault.
    pub fn refusing(inner: I, fault: Fault) -> (Self, Arc<Watch>) {
        let limits = Limits {
            target_bytes: 0,
            header_bytes: 0,
            headers: 0,
            head: Duration::MAX,
            keep_alive: Duration::MAX,
            idle: WRITE_OF_REFUSAL,
        };
        let (mut framed, watch) = Self::new(inner, Bytes::new(), limits);
        framed.refuse(fault);
        (framed, watch)
    }

    pub fn counted(self, counted: Held) -> Self {
        Self { _counted: Some(counted), ..self }
    }

    fn refuse(&mut self, fault: Fault) {
        self.reader.refuse(fault);
        self.tell();
    }

    /// Tells the service how the caller's side stands.
    fn tell(&self) {
        if self.reader.is_refused()
            && let Some(fault) = self.reader.fault()
        {
            self.watch.set_fault(self.reader.requests() - 1, fault);
        }
    }

    fn is_answering(&self) -> bool {
        self.reader.requests() != self.watch.ended()
    }

    /// Goes on with HTTP after a request for an upgrade that did not get it; `false`: nobody knows.
    fn resume_http(&mut self) -> bool {
        if !self.watch.is_tunnel() && self.is_answering() {
            return false;
        }
        self.reader.resume();
        self.tell();
        true
    }

    /// What the clock has to measure now, and how long it may last.
    fn limit(&self) -> (Wait, Option<Duration>) {
        let wait = self.reader.waits_for();
        let limit = match wait {
            Wait::Body => Some(self.limits.idle),
            // hyper reads while it answers, to notice that a caller leaves: nobody waits for more.
            _ if self.is_answering() || self.writing.is_running() => None,
            Wait::Request => Some(self.limits.keep_alive),
            Wait::Head => Some(self.limits.head),
            Wait::Nothing => None,
        };
        (wait, limit)
    }

    /// Looks at the clock, nothing being there to read. Ready: the time for this is over.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<Wait> {
        let (wait, limit) = self.limit();
        let Some(limit) = limit else {
            self.reading.stop();
            return Poll::Pending;
        };
        if self.wait != wait {
            self.wait = wait;
            self.reading.stop();
        }
        ready!(self.reading.poll(limit, cx));
        Poll::Ready(wait)
    }

    /// hyper may not read again after an answer, because it trusts that the last read, which found
    /// nothing, will wake it. Then what has become possible with the answer begins here.
    fn wake_reader(&mut self, cx: &mut Context<'_>) {
        let settled = self.reader.awaits_upgrade() && self.watch.is_tunnel();
        let resumed = self.reader.awaits_upgrade() && !self.is_answering();
        if settled || resumed || (!self.is_answering() && self.poll_clock(cx).is_ready()) {
            self.is_waiting = false;
            cx.waker().wake_by_ref();
        }
    }

    fn written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing.stop();
            return written;
        }
        if self.reader.is_tunnel() || self.watch.is_tunnel() {
            return Poll::Pending;
        }
        ready!(self.writing.poll(self.limits.idle, cx));
        let error = io::Error::new(io::ErrorKind::TimedOut, "the caller does not read");
        Poll::Ready(Err(error))
    }
}

impl<I: AsyncRead + Unpin> Framed<I> {
    fn poll_inner(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            turn::spend(buf.filled().len() - before, cx);
            return Poll::Ready(Ok(()));
        }
        let amount = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..amount]);
        self.prefix.advance(amount);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> Framed<I> {
    /// While it holds the next request, or a body is not wanted yet, hyper does not read and would
    /// not notice that the caller has gone: a little is read ahead.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.prefix.len() < MAX_AHEAD {
            let mut ahead = [0; 2048];
            let mut buf = ReadBuf::new(&mut ahead);
            if Pin::new(&mut self.inner).poll_read(cx, &mut buf)?.is_pending() {
                break;
            }
            if buf.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            self.prefix = [&self.prefix, buf.filled()].concat().into();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Framed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.is_waiting = false;
        let start = buf.filled().len();
        while buf.remaining() > 0 && !this.is_over {
            if this.reader.give(buf) {
                break;
            }
            if let Some(fault) = this.reader.failure() {
                return Poll::Ready(Err(fault.into_error()));
            }
            if !this.reader.is_tunnel() && this.watch.is_tunnel() {
                this.reader.tunnel();
                this.tell();
                continue;
            }
            if this.reader.awaits_upgrade() {
                if this.resume_http() {
                    continue;
                }
                if this.reader.is_full() {
                    this.is_waiting = true;
                    return Poll::Pending;
                }
            }
            if let Poll::Ready(read) = this.poll_inner(cx, buf) {
                read?;
                let bytes = &buf.filled()[start..];
                if bytes.is_empty() {
                    break;
                }
                let before = this.reader.requests();
                let passed = this.reader.feed(bytes);
                buf.set_filled(start + passed);
                if this.wait != Wait::Head || this.reader.requests() != before {
                    this.reading.stop();
                }
                this.tell();
                if passed > 0 {
                    break;
                }
                continue;
            }
            match this.poll_clock(cx) {
                Poll::Pending => {
                    this.is_waiting = true;
                    return Poll::Pending;
                }
                Poll::Ready(Wait::Head) => this.refuse(Fault::HeadTime),
                Poll::Ready(Wait::Body) => {
                    return Poll::Ready(Err(Fault::BodyTime.into_error()));
                }
                Poll::Ready(_) => this.is_over = true,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> Framed<I> {
    /// Reads and drops what a caller is still sending. Closing a socket with unread bytes resets
    /// the connection, and an answer that the caller has not read yet would be lost with it.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [0; 8192];
        let mut left = self.lingering.unwrap_or_else(|| {
            // From here on its clock measures this.
            self.is_waiting = false;
            self.reading.stop();
            LINGER_BYTES
        });
        while left > 0 {
            let mut buf = ReadBuf::new(&mut room);
            self.lingering = Some(left);
            let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, &mut buf) else {
                return self.reading.poll(LINGER_TIME, cx);
            };
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            left = left.saturating_sub(buf.filled().len());
            turn::spend(buf.filled().len(), cx);
        }
        self.lingering = Some(0);
        Poll::Ready(())
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        ready!(self.written(flushed, cx))?;
        if self.is_waiting {
            self.wake_reader(cx);
        } else if self.is_answering() && !self.reader.is_within_body() {
            ready!(self.poll_gone(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.written(shut, cx))?;
        }
        if self.reader.is_unfinished() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// For callers that notice an early answer only after they have sent a part of what they wanted.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// An answer of a few hundred bytes, to a caller that had no chance to fill the socket's buffer.
const WRITE_OF_REFUSAL: Duration = Duration::from_secs(5);

/// What a caller may have sent of later requests before it is not read any more.
const MAX_AHEAD: usize = 8 * 1024;
