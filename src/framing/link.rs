//! A caller's connection: what is read from it and written to it, and within what time. Shared by
//! the task that serves it and the body of the request that is being served.

mod next;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::LiveLimits;
use super::clock::Clock;
use super::head::HeadScan;
use super::output::Output;
use super::prefixed::Prefixed;
use super::scratch::with_scratch;
use super::stream::{CallerStream, Tunnel};
use super::upload::{Progress, Upload};
use crate::telemetry::metrics::Held;
use crate::turn;

pub(super) use next::Next;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: RefCell<State>,
    /// The task of the connection looks after it at this moment, and need not be told.
    pub(super) is_attended: Cell<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) stream: CallerStream,
    pub(super) limits: LiveLimits,
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

impl Link {
    pub(super) fn new(stream: CallerStream, limits: LiveLimits, counted: Option<Held>) -> Rc<Self> {
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
        ready!(self.writing.poll(self.limits.get().idle, cx));
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

/// How long a body may not move before a look at its caller.
const STALLED: Duration = Duration::from_secs(1);

/// What a caller may have sent of later requests before it is not read any more.
const MAX_AHEAD: usize = 8 * 1024;

/// For callers that notice an early answer only after they have sent a part of what they wanted.
const LINGER_TIME: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 64 * 1024 * 1024;
