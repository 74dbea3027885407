//! The body of a request as it is read from its caller.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use tokio_util::io::poll_read_buf;

use super::decode::{Decoded, Decoder, Most, Sender};
use super::fault::Fault;
use super::field::Length;
use super::link::State;
use super::scratch::with_scratch;
use crate::turn;

/// A body that has not been read to its end.
#[derive(Debug)]
pub(super) struct Upload {
    decoder: Decoder,
    /// Read already; they come last.
    trailers: Option<HeaderMap>,
    /// What is wrong after the data that was handed on.
    fault: Option<Fault>,
    /// Nothing can be read of it any more.
    is_broken: bool,
    /// Whoever it was for does not want it any more.
    pub(super) is_dropped: bool,
    /// Something of it was asked for, or has come.
    pub(super) has_begun: bool,
    /// The caller waits to be told before it sends.
    expects: bool,
    /// It was asked for since this was last looked at.
    pub(super) has_moved: bool,
    /// What the last read brought.
    last_read: usize,
    /// Large bodies are read into this.
    room: BytesMut,
    /// Who waits for more of it.
    pub(super) waker: Option<Waker>,
}

/// Where a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Read to its end, or there was none.
    Ended,
    Wanted,
    /// It will never be read to its end.
    Lost,
}

pub(super) type Polled = Poll<Option<io::Result<Frame<Bytes>>>>;

impl Upload {
    /// `None`: there is no body.
    pub(super) fn new(length: Length, expects: bool) -> Option<Self> {
        let decoder = match length {
            Length::Known(0) => return None,
            Length::Known(length) => Decoder::of_length(length),
            Length::Chunked => Decoder::of_chunks(Sender::Caller),
        };
        Some(Self {
            decoder,
            trailers: None,
            fault: None,
            is_broken: false,
            is_dropped: false,
            has_begun: false,
            expects,
            has_moved: false,
            last_read: 0,
            room: BytesMut::new(),
            waker: None,
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.decoder.is_ended() && self.trailers.is_none() && !self.is_broken
    }

    pub(super) fn left(&self) -> Option<u64> {
        self.decoder.left()
    }

    /// Where it stands, as far as it is known without another read.
    pub(super) fn progress(&self) -> Progress {
        if self.is_broken || self.fault.is_some() && self.is_dropped {
            Progress::Lost
        } else if self.decoder.is_ended() && (self.trailers.is_none() || self.is_dropped) {
            Progress::Ended
        } else if self.is_dropped {
            Progress::Lost
        } else {
            Progress::Wanted
        }
    }

    /// Whether the caller has not been told to go on, which is thereby done.
    pub(super) fn take_expectation(&mut self) -> bool {
        std::mem::take(&mut self.expects)
    }

    /// Ends it with an error.
    pub(super) fn fail(&mut self, error: io::Error) -> Polled {
        self.is_broken = true;
        self.room = BytesMut::new();
        Poll::Ready(Some(Err(error)))
    }

    /// What was read before and has not been handed on. Pending: it must be read first.
    fn next(&mut self) -> Polled {
        if self.is_broken {
            return Poll::Ready(Some(Err(ErrorKind::ConnectionAborted.into())));
        }
        if let Some(fault) = self.fault {
            return self.fail(fault.into_error());
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if self.decoder.is_ended() { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Takes the data out of these bytes, and returns how many of them are done with.
    fn decode(&mut self, bytes: &[u8], most: Most, data: &mut BytesMut) -> usize {
        let mut at = 0;
        loop {
            match self.decoder.decode(bytes, &mut at, most) {
                Ok(Decoded::Data(range)) => data.extend_from_slice(&bytes[range]),
                Ok(Decoded::Trailers(trailers)) => {
                    self.trailers = Some(trailers);
                    return at;
                }
                Ok(Decoded::More | Decoded::End) => return at,
                Err(fault) => {
                    self.fault = Some(fault);
                    return bytes.len();
                }
            }
        }
    }

    /// Whether the next read shall bring data alone, as much of it as there is room for.
    fn is_large(&self) -> Option<usize> {
        let left = self.decoder.left()?;
        (self.last_read >= LARGE_READ && left >= LARGE_READ as u64)
            .then(|| usize::try_from(left).unwrap_or(usize::MAX))
    }
}

impl State {
    /// Whether the body of this number is the one that is being read.
    pub(super) fn upload(&mut self, number: u64) -> Option<&mut Upload> {
        self.upload.as_deref_mut().filter(|_| self.number == number)
    }

    pub(super) fn poll_upload(&mut self, number: u64, cx: &mut Context<'_>) -> Polled {
        if self.number != number || self.upload.is_none() {
            return Poll::Ready(None);
        }
        let Some(mut upload) = self.upload.take() else { return Poll::Ready(None) };
        let polled = self.poll_data(&mut upload, cx);
        if polled.is_pending() {
            match &mut upload.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        } else if upload.progress() != Progress::Wanted {
            self.reading.stop();
        }
        self.upload = Some(upload);
        polled
    }

    fn poll_data(&mut self, upload: &mut Upload, cx: &mut Context<'_>) -> Polled {
        if let Poll::Ready(next) = upload.next() {
            return Poll::Ready(next);
        }
        upload.has_begun = true;
        upload.has_moved = true;
        if upload.take_expectation() && !self.is_answering {
            self.output.small().extend_from_slice(CONTINUE);
        }
        if !self.is_answering
            && !self.output.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            return upload.fail(error);
        }
        loop {
            if !self.ahead.is_empty() {
                let data = self.take_ahead(upload);
                if !data.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            } else {
                let data = match self.poll_read_data(upload, cx) {
                    Poll::Ready(Ok(Some(data))) => data,
                    Poll::Ready(Ok(None)) => {
                        return upload.fail(ErrorKind::UnexpectedEof.into());
                    }
                    Poll::Ready(Err(error)) => return upload.fail(error),
                    Poll::Pending => {
                        ready!(self.reading.poll(self.limits.get().idle, cx));
                        return upload.fail(Fault::BodyTime.into_error());
                    }
                };
                self.reading.stop();
                if !data.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
            if let Poll::Ready(next) = upload.next() {
                return Poll::Ready(next);
            }
        }
    }

    /// The data in what was read ahead.
    fn take_ahead(&mut self, upload: &mut Upload) -> Bytes {
        let data = match upload.left() {
            Some(left) => {
                let there = usize::try_from(left).unwrap_or(usize::MAX).min(self.ahead.len());
                // In one piece, as it came.
                let data = self.ahead.split_to(there);
                let mut at = 0;
                let _ = upload.decoder.decode(&data, &mut at, self.limits.get().most());
                data.freeze()
            }
            None => {
                let mut data = BytesMut::new();
                let done = upload.decode(&self.ahead, self.limits.get().most(), &mut data);
                drop(self.ahead.split_to(done));
                data.freeze()
            }
        };
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        data
    }

    /// Reads once. `None`: the caller has gone.
    fn poll_read_data(
        &mut self,
        upload: &mut Upload,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        let most = self.limits.get().most();
        if let Some(left) = upload.is_large() {
            let room = &mut upload.room;
            if room.capacity() - room.len() < LARGE_READ.min(left) {
                room.reserve(ROOM);
            }
            let mut limited = (&mut *room).limit(left);
            let amount = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut limited))?;
            upload.last_read = amount;
            turn::spend(amount, cx);
            let data = room.split().freeze();
            let _ = upload.decoder.decode(&data, &mut 0, most);
            if upload.decoder.is_ended() {
                upload.room = BytesMut::new();
            }
            return Poll::Ready(Ok((amount > 0).then_some(data)));
        }
        with_scratch(|scratch| {
            let amount = ready!(self.poll_read(scratch, cx))?;
            if amount == 0 {
                return Poll::Ready(Ok(None));
            }
            upload.last_read = amount;
            let mut data = BytesMut::with_capacity(match upload.left() {
                Some(left) => usize::try_from(left).unwrap_or(usize::MAX).min(amount),
                None => amount,
            });
            let done = upload.decode(&scratch[..amount], most, &mut data);
            self.ahead.extend_from_slice(&scratch[done..amount]);
            Poll::Ready(Ok(Some(data.freeze())))
        })
    }

    /// Looks whether the rest of a body that nobody wants is there: then another request can
    /// follow it.
    pub(super) fn settle_upload(&mut self, cx: &mut Context<'_>) -> Progress {
        let Some(mut upload) = self.upload.take() else { return Progress::Ended };
        if upload.is_dropped && upload.progress() == Progress::Lost && !upload.is_broken {
            if !self.ahead.is_empty() {
                drop(self.take_ahead(&mut upload));
            }
            if !upload.decoder.is_ended() && self.ahead.is_empty() {
                let read = self.poll_read_data(&mut upload, cx);
                upload.is_broken = !matches!(read, Poll::Ready(Ok(_)) if upload.decoder.is_ended());
            }
            upload.is_broken |= upload.fault.is_some();
        }
        let progress = upload.progress();
        self.upload = Some(upload);
        progress
    }
}

/// What lets a caller send its body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// A read that brings so much is followed by others like it.
const LARGE_READ: usize = 16 << 10;
const ROOM: usize = 64 << 10;
