//! A caller's connection: what is read from it and written to it, and within what time. Shared by
//! the task that serves it and the body of the request that is being served.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::Limits;
use super::clock::Clock;
use super::fault::Fault;
use super::head::HeadScan;
use super::output::Output;
use super::prefixed::Prefixed;
use super::request::{self, Asked};
use super::scratch::with_scratch;
use super::stream::{CallerStream, Tunnel};
use super::upload::{Progress, Upload};
use crate::telemetry::metrics::Held;
use crate::turn;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: RefCell<State>,
    /// The task of the connection looks after it at this moment, and need not be told.
    pub(super) is_attended: Cell<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) stream: CallerStream,
    pub(super) limits: Arc<Limits>,
    /// Read, and not used yet.
    pub(super) ahead: BytesMut,
    /// Of a head that has not ended, as far as it was judged.
    scan: Option<Box<HeadScan>>,
    /// It may begin as HTTP/2 does.
    pub(super) is_undecided: bool,
    /// Of the request that is served.
    pub(super) number: u64,
    pub(super) upload: Option<Box<Upload>>,
    /// Who takes the connection over if the request gets its upgrade.
    pub(super) upgrade: Option<oneshot::Sender<Tunnel>>,
    pub(super) output: Output,
    /// The head of an answer has begun.
    pub(super) is_answering: bool,
    /// No other request is served after this one.
    pub(super) is_leaving: bool,
    /// What came means nothing, and more of it may come.
    pub(super) is_unfinished: bool,
    /// Runs while a read waits for something that has a limit.
    pub(super) reading: Clock,
    /// What it waits for: the rest of a head, or a request.
    is_within_head: bool,
    /// Runs while a write is stuck.
    writing: Clock,
    /// Runs while a body is read.
    stalled: Clock,
    /// The task of the connection.
    waker: Waker,
    /// Counts the connection, as a tunnel too.
    counted: Option<Held>,
}

/// What comes next on a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly always it is a request")]
pub(super) enum Next {
    Request(Request<()>, Asked),
    Fault(Fault),
    /// The connection speaks HTTP/2.
    Http2,
    End,
}

impl Link {
    pub(super) fn new(
        stream: CallerStream,
        limits: Arc<Limits>,
        counted: Option<Held>,
    ) -> Rc<Self> {
        let state = RefCell::new(State {
            stream,
            limits,
            ahead: BytesMut::new(),
            scan: None,
            is_undecided: false,
            number: 0,
            upload: None,
            upgrade: None,
            output: Output::default(),
            is_answering: false,
            is_leaving: false,
            is_unfinished: false,
            reading: Clock::default(),
            is_within_head: false,
            writing: Clock::default(),
            stalled: Clock::default(),
            waker: Waker::noop().clone(),
            counted,
        });
        Rc::new(Self { state, is_attended: Cell::new(false) })
    }

    /// Tells the task of the connection that its body has come to an end.
    pub(super) fn tell(&self, state: &State) {
        if !self.is_attended.get() {
            state.waker.wake_by_ref();
        }
    }
}

impl State {
    /// Whom a body's end wakes.
    pub(super) fn wake_with(&mut self, cx: &Context<'_>) {
        self.waker.clone_from(cx.waker());
    }

    pub(super) fn poll_read(
        &mut self,
        into: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(into);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        let amount = buf.filled().len();
        turn::spend(amount, cx);
        Poll::Ready(Ok(amount))
    }

    /// The next head.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        loop {
            if !self.ahead.is_empty()
                && let Some(next) = self.next_of_ahead()
            {
                return Poll::Ready(Ok(next));
            }
            let read: Poll<io::Result<_>> = with_scratch(|scratch| {
                let amount = ready!(self.poll_read(scratch, cx))?;
                let bytes = &scratch[..amount];
                if amount == 0 {
                    return Poll::Ready(Ok(Some(Next::End)));
                }
                if self.ahead.is_empty() && !self.is_undecided {
                    return Poll::Ready(Ok(self.next_of(bytes)));
                }
                self.ahead.extend_from_slice(bytes);
                Poll::Ready(Ok(None))
            });
            if let Poll::Ready(next) = read? {
                if !self.is_within_head {
                    self.reading.stop();
                }
                match next {
                    Some(next) => return Poll::Ready(Ok(next)),
                    None => continue,
                }
            }
            let is_within_head = !self.ahead.is_empty();
            if is_within_head != self.is_within_head {
                self.is_within_head = is_within_head;
                self.reading.stop();
            }
            let Limits { head, keep_alive, .. } = *self.limits;
            let limit = if is_within_head { head } else { keep_alive };
            ready!(self.reading.poll(limit, cx));
            return Poll::Ready(Ok(match is_within_head {
                true => self.refuse(Fault::HeadTime),
                false => Next::End,
            }));
        }
    }

    /// The head that these bytes begin with, which are the first of it; what follows is kept.
    fn next_of(&mut self, bytes: &[u8]) -> Option<Next> {
        let mut scan = HeadScan::default();
        let next = match request::read(&mut scan, bytes, &self.limits) {
            Ok(None) => {
                self.scan = Some(Box::new(scan));
                self.ahead.extend_from_slice(bytes);
                return None;
            }
            Ok(Some(head)) if head.end == bytes.len() => {
                request::build(&head, &Bytes::copy_from_slice(bytes))
            }
            Ok(Some(head)) => {
                self.ahead.extend_from_slice(bytes);
                request::build(&head, &self.ahead.split_to(head.end).freeze())
            }
            Err(fault) => Err(fault),
        };
        Some(self.begin(next))
    }

    fn next_of_ahead(&mut self) -> Option<Next> {
        if self.is_undecided {
            let known = self.ahead.len().min(PREFACE.len());
            let is_like_http2 = self.ahead[..known] == PREFACE[..known];
            if is_like_http2 && known < PREFACE.len() {
                return None;
            }
            self.is_undecided = false;
            if is_like_http2 {
                return Some(Next::Http2);
            }
        }
        let mut scan = self.scan.take().map_or_else(HeadScan::default, |scan| *scan);
        let next = match request::read(&mut scan, &self.ahead, &self.limits) {
            Ok(None) => {
                self.scan = Some(Box::new(scan));
                return None;
            }
            Ok(Some(head)) => request::build(&head, &self.ahead.split_to(head.end).freeze()),
            Err(fault) => Err(fault),
        };
        if self.ahead.is_empty() {
            // Empty, it would keep its memory.
            self.ahead = BytesMut::new();
        }
        Some(self.begin(next))
    }

    fn begin(&mut self, next: Result<(Request<()>, Asked), Fault>) -> Next {
        self.reading.stop();
        self.stalled.stop();
        self.is_within_head = false;
        let (request, asked) = match next {
            Ok(next) => next,
            Err(fault) => return self.refuse(fault),
        };
        self.number += 1;
        self.is_answering = false;
        self.is_leaving |= !asked.keeps;
        self.upload = Upload::new(asked.length, asked.expects).map(Box::new);
        Next::Request(request, asked)
    }

    /// Whatever follows means nothing.
    pub(super) fn refuse(&mut self, fault: Fault) -> Next {
        self.ahead = BytesMut::new();
        self.reading.stop();
        self.is_leaving = true;
        Next::Fault(fault)
    }

    /// While an answer is awaited or written: notices that the caller has gone, for which a little is
    /// read ahead, and writes what waits.
    pub(super) fn poll_meanwhile(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_answering && !self.output.is_empty() {
            let _ = self.poll_write(cx)?;
        }
        if let Some(upload) = self.upload.as_deref_mut() {
            let is_over = upload.progress() == Progress::Ended;
            // Whoever takes it reads on.
            upload.has_begun |= !self.ahead.is_empty();
            if upload.has_begun && !is_over {
                return self.poll_stalled(cx);
            }
        }
        while self.ahead.len() < MAX_AHEAD {
            let read = with_scratch(|scratch| {
                let amount = ready!(self.poll_read(&mut scratch[..MAX_AHEAD], cx))?;
                self.ahead.extend_from_slice(&scratch[..amount]);
                Poll::Ready(io::Result::Ok(amount))
            });
            if ready!(read)? == 0 {
                return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
            }
            if self.wants_upload() {
                if let Some(upload) = self.upload.as_deref_mut() {
                    upload.has_begun = true;
                }
                return self.poll_stalled(cx);
            }
        }
        Poll::Pending
    }

    /// A body that nobody takes is not read, but that its caller has gone can be seen.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.stalled.poll(STALLED, cx).is_ready() {
            self.stalled.stop();
            let Some(upload) = self.upload.as_deref_mut() else { break };
            if !std::mem::take(&mut upload.has_moved) && self.stream.has_ended() {
                return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
            }
        }
        Poll::Pending
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(written) = self.output.poll_write(&mut self.stream, cx) {
            self.writing.stop();
            return Poll::Ready(written);
        }
        if self.output.has_moved() {
            self.writing.stop();
        }
        self.poll_stuck(cx)
    }

    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writing.poll(self.limits.idle, cx));
        let error = io::Error::new(ErrorKind::TimedOut, "the caller does not read");
        Poll::Ready(Err(error))
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(shut) = Pin::new(&mut self.stream).poll_shutdown(cx) {
            self.writing.stop();
            self.output.ends_with_close &= shut.is_err();
            return Poll::Ready(shut);
        }
        self.poll_stuck(cx)
    }

    /// Reads and drops what a caller is still sending. Closing a socket with unread bytes resets
    /// the connection, and an answer that the caller has not read yet would be lost with it.
    pub(super) fn poll_linger(&mut self, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
        while *left > 0 {
            let read = with_scratch(|scratch| self.poll_read(scratch, cx));
            let Poll::Ready(read) = read else {
                return self.reading.poll(LINGER_TIME, cx);
            };
            match read {
                Ok(0) | Err(_) => break,
                Ok(amount) => *left = left.saturating_sub(amount),
            }
        }
        Poll::Ready(())
    }

    /// Whether somebody still awaits the rest of the body.
    pub(super) fn wants_upload(&self) -> bool {
        self.upload.as_deref().is_some_and(|upload| upload.progress() == Progress::Wanted)
    }

    /// The request has been answered; whether no other one is taken.
    pub(super) fn has_answered(&mut self) -> bool {
        self.reading.stop();
        self.is_leaving
    }

    /// Whether what a caller is still sending has to be read; it begins now.
    pub(super) fn must_linger(&mut self) -> bool {
        if self.is_unfinished() {
            self.reading.stop();
        }
        self.is_unfinished()
    }

    /// A message has begun and not ended, or was none.
    pub(super) fn is_unfinished(&self) -> bool {
        let is_cut = self.upload.as_deref().is_some_and(|it| it.progress() != Progress::Ended);
        self.is_unfinished || is_cut || !self.ahead.is_empty()
    }

    /// Gives the connection to whoever waits for its upgrade; `false`: nobody does.
    pub(super) fn give_away(&mut self) -> bool {
        let Some(upgrade) = self.upgrade.take() else { return false };
        upgrade.send(self.take()).is_ok()
    }

    pub(super) fn take(&mut self) -> Tunnel {
        let stream = std::mem::replace(&mut self.stream, CallerStream::Gone);
        Tunnel {
            stream: Prefixed::new(self.ahead.split().freeze(), stream).of_bytes(),
            counted: self.counted.take(),
        }
    }

    /// Nothing is read or written any more, whoever still has a part of it.
    pub(super) fn close(&mut self) {
        if self.output.ends_with_close {
            self.stream.will_reset();
        }
        self.stream = CallerStream::Gone;
        self.counted = None;
        self.upgrade = None;
        self.ahead = BytesMut::new();
        if let Some(upload) = &mut self.upload {
            let waker = upload.waker.take();
            if upload.progress() == Progress::Wanted {
                let _ = upload.fail(ErrorKind::ConnectionAborted.into());
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }
}

/// What HTTP/2 begins with where no TLS has agreed on it (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a body may not move before a look at its caller.
const STALLED: Duration = Duration::from_secs(1);

/// What a caller may have sent of later requests before it is not read any more.
const MAX_AHEAD: usize = 8 * 1024;

/// For callers that notice an early answer only after they have sent a part of what they wanted.
const LINGER_TIME: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 64 * 1024 * 1024;
