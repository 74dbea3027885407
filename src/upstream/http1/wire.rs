//! What is known of a connection: its bytes, and how far the exchange on it has come.

use std::io;
use std::mem;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use tokio::io::ReadBuf;
use tokio::task::AbortHandle;

use crate::framing::clock::Clock;
use crate::framing::decode::{Decoded, Decoder, Most, Sender};
use crate::framing::encode;
use crate::framing::scratch::with_scratch;

use super::Error;
use super::head::{self, Framing, Head};
use super::io::{Io, poll_read_into};

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) io: Io,
    /// Read, and not taken for anything yet.
    pub(super) ahead: Bytes,
    /// How much of it is known to hold no whole head.
    looked_at: usize,
    /// For the next long read.
    room: BytesMut,
    /// The last read brought much.
    flows: bool,
    decoder: Decoder,
    answer: Answer,
    request: Sending,
    /// It may carry another request when the answer has ended.
    stays: bool,
    /// Who waits for what becomes of the request.
    waiting: Option<Waker>,
    /// Who sends the request, and waits for the end of the answer beside.
    sender: Option<Waker>,
    /// Runs while the head of an answer is awaited.
    pub(super) clock: Clock,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    Body,
    Ended,
    Failed,
}

#[derive(Debug)]
enum Sending {
    Done,
    /// By a task of its own, after the head of the answer has come.
    OnItsOwn(AbortHandle),
    /// The peer takes no more of it. What it has to say is heard.
    Unwanted,
    BrokeOff,
}

/// What has become of the rest of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Sent,
    Unwanted,
    BrokeOff,
}

/// The body that follows a head.
#[derive(Debug)]
pub(super) enum Follows {
    /// All of it is here.
    Whole(Bytes),
    More,
}

impl Wire {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            ahead: Bytes::new(),
            looked_at: 0,
            room: BytesMut::new(),
            flows: false,
            decoder: Decoder::of_length(0),
            answer: Answer::Ended,
            request: Sending::Done,
            stays: true,
            waiting: None,
            sender: None,
            clock: Clock::default(),
        }
    }

    pub(super) fn begin(&mut self) {
        self.answer = Answer::Awaited;
        self.request = Sending::Done;
        self.flows = false;
    }

    /// Reads the head of the answer to a request with this method.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        on_interim: impl Fn(StatusCode),
    ) -> Poll<Result<(Response<()>, Follows), Error>> {
        loop {
            while self.has_news() {
                let Some(head) = head::parse(&self.ahead, method)? else {
                    self.looked_at = self.ahead.len();
                    break;
                };
                self.ahead.advance(head.length);
                self.looked_at = 0;
                match head.body {
                    None => on_interim(head.response.status()),
                    Some(framing) => return Poll::Ready(Ok(self.answered(head, framing))),
                }
            }
            if self.ahead.len() >= MOST_HEAD {
                return Poll::Ready(Err(Error::HeadSize));
            }
            if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Err(Error::Incomplete));
            }
        }
    }

    /// Whether a head may have ended among what has been read.
    fn has_news(&mut self) -> bool {
        let known = self.looked_at;
        if known >= self.ahead.len() {
            return false;
        }
        let may = known == 0 || head::may_have_ended(&self.ahead, known);
        if !may {
            self.looked_at = self.ahead.len();
        }
        may
    }

    fn answered(&mut self, head: Head, framing: Framing) -> (Response<()>, Follows) {
        self.clock.stop();
        self.stays = head.stays;
        let follows = match framing {
            Framing::Length(length) if length <= self.ahead.len() as u64 => {
                self.answer = Answer::Ended;
                // No more than there is, so it fits.
                return (head.response, Follows::Whole(self.ahead.split_to(length as usize)));
            }
            Framing::Length(length) => Decoder::of_length(length),
            Framing::Chunks => Decoder::of_chunks(Sender::Vendor),
            Framing::UntilClose => Decoder::until_close(),
            Framing::Tunnel => {
                self.answer = Answer::Ended;
                return (head.response, Follows::Whole(Bytes::new()));
            }
        };
        self.decoder = follows;
        self.answer = Answer::Body;
        (head.response, Follows::More)
    }

    /// The next piece of the answer's body.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_piece(cx);
        if let Poll::Ready(Some(Err(_))) = polled {
            self.answer = Answer::Failed;
        }
        if polled.is_pending() && self.is_sending() {
            self.waiting = Some(cx.waker().clone());
        }
        if self.answer != Answer::Body
            && let Some(sender) = self.sender.take()
        {
            sender.wake();
        }
        polled
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if matches!(self.request, Sending::BrokeOff) {
                return Poll::Ready(Some(Err(Error::RequestBrokeOff)));
            }
            match self.answer {
                Answer::Body => {}
                Answer::Ended => return Poll::Ready(None),
                Answer::Awaited | Answer::Failed => {
                    return Poll::Ready(Some(Err(Error::Incomplete)));
                }
            }
            let mut at = 0;
            let decoded = self.decoder.decode(&self.ahead, &mut at, MOST_TRAILERS);
            match decoded.map_err(Error::Framing)? {
                Decoded::Data(range) => {
                    let mut data = self.ahead.split_to(at);
                    data.advance(range.start);
                    self.look_for_end();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Decoded::Trailers(fields) => {
                    self.ahead.advance(at);
                    self.answer = Answer::Ended;
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Decoded::End => {
                    self.ahead.advance(at);
                    self.answer = Answer::Ended;
                    return Poll::Ready(None);
                }
                Decoded::More => self.ahead.advance(at),
            }
            if ready!(self.poll_more(cx))? == 0 {
                if !self.decoder.is_until_close() {
                    return Poll::Ready(Some(Err(Error::Incomplete)));
                }
                self.answer = Answer::Ended;
            }
        }
    }

    /// With the last piece the end is known, where it is there already.
    fn look_for_end(&mut self) {
        if self.decoder.is_ended() {
            self.answer = Answer::Ended;
        } else if *self.ahead == *encode::END_OF_LAST_CHUNK {
            let mut at = 0;
            if let Ok(Decoded::End) = self.decoder.decode(&self.ahead, &mut at, MOST_TRAILERS) {
                self.ahead.advance(at);
                self.answer = Answer::Ended;
            }
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.answer == Answer::Ended
    }

    /// Bytes of the answer's body that are to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        if self.has_ended() { Some(0) } else { self.decoder.left() }
    }

    /// Reads more to what there is ahead; nothing: the peer has said all.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let left = if self.answer == Answer::Body { self.decoder.left() } else { Some(0) };
        let is_long = self.answer == Answer::Body
            && self.ahead.is_empty()
            && (self.flows || left.is_some_and(|left| left > SHORT as u64));
        let read = if is_long {
            // What was handed on and is gone by now leaves its room.
            self.room.reserve(left.map_or(LONG, |left| LONG.min(left as usize).max(SHORT)));
            let read = ready!(poll_read_into(&mut self.io, cx, &mut self.room))?;
            self.ahead = self.room.split().freeze();
            read
        } else {
            let (io, ahead) = (&mut self.io, &mut self.ahead);
            ready!(with_scratch(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                ready!(io.poll_read(cx, &mut buf))?;
                append(ahead, buf.filled());
                Poll::Ready(io::Result::Ok(buf.filled().len()))
            }))?
        };
        self.flows = read >= SHORT;
        Poll::Ready(Ok(read))
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.stays
            && self.has_ended()
            && self.ahead.is_empty()
            && matches!((&self.request, &self.io), (Sending::Done, Io::Plain(_) | Io::Tls(_)))
    }

    pub(super) fn is_quiet(&mut self, ask: bool) -> bool {
        self.io.is_quiet(ask)
    }

    /// What is left of the request is sent by this task.
    pub(super) fn is_sent_by(&mut self, task: AbortHandle) {
        self.request = Sending::OnItsOwn(task);
    }

    pub(super) fn is_sending(&self) -> bool {
        matches!(self.request, Sending::OnItsOwn(_))
    }

    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_sending() {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The rest of the request has been sent, or will not be.
    pub(super) fn sent(&mut self, rest: Rest) {
        self.request = match rest {
            Rest::Sent => Sending::Done,
            Rest::Unwanted => Sending::Unwanted,
            Rest::BrokeOff => {
                self.io = Io::Closed;
                Sending::BrokeOff
            }
        };
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// For the task that sends the rest of a request: whether anybody is there who wants it.
    pub(super) fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.io.is_deaf() {
            return Poll::Ready(());
        }
        if self.answer == Answer::Body {
            self.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // Nothing may come before the next request: whatever it is, it ends this.
        let mut byte = [0];
        self.io.poll_read(cx, &mut ReadBuf::new(&mut byte)).map(|_| ())
    }

    pub(super) fn part(&mut self) {
        self.io.part();
    }

    pub(super) fn close(&mut self) {
        self.io = Io::Closed;
        (self.ahead, self.room) = (Bytes::new(), BytesMut::new());
        if let Sending::OnItsOwn(task) = mem::replace(&mut self.request, Sending::BrokeOff) {
            task.abort();
        }
    }
}

fn append(ahead: &mut Bytes, more: &[u8]) {
    if ahead.is_empty() {
        *ahead = Bytes::copy_from_slice(more);
    } else {
        let mut grown = BytesMut::from(mem::take(ahead));
        grown.extend_from_slice(more);
        *ahead = grown.freeze();
    }
}

/// A longer rest of a body is not read into the scratch and copied.
const SHORT: usize = 16 << 10;
const LONG: usize = 64 << 10;

/// An answer's head, in bytes.
const MOST_HEAD: usize = 400 << 10;

const MOST_TRAILERS: Most = Most { bytes: 16 << 10, fields: 256 };
