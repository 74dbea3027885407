//! A request on its way to the vendor.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error as StdError;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};

use crate::framing::encode;
use crate::framing::scratch::{give_back, take_spare};
use crate::upstream::RequestHead;

use super::request::{self, Coding};
use super::wire::Wire;
use super::{Error, Failed};

/// The next frame of a body, if there is one, and whether it is known to be the last.
type Next = (Option<Frame<Bytes>>, bool);

/// What is to be written of a request. It knows nothing of the connection that takes it.
#[derive(Debug)]
pub(super) struct Upload<B> {
    /// `None`: all of it has been taken.
    body: Option<B>,
    /// Frames of it that were taken while nothing could be written, and whether those are all.
    ahead: VecDeque<Frame<Bytes>>,
    ahead_bytes: usize,
    ended: bool,
    coding: Coding,
    /// Written next: first what is small, then what is not, then the end of a chunk.
    front: Vec<u8>,
    written: usize,
    data: Bytes,
    back: &'static [u8],
    /// TLS may hold what it has been given.
    is_flushed: bool,
    /// Nothing has left yet, and what the connection had sent before.
    unsent: Option<u64>,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Unpin,
{
    pub(super) fn new(head: &RequestHead<'_>, body: B) -> Self {
        let mut front = take_spare();
        let coding = request::head(&mut front, head, &body);
        Self {
            body: Some(body).filter(|body| !body.is_end_stream()),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            ended: false,
            coding,
            front,
            written: 0,
            data: Bytes::new(),
            back: b"",
            is_flushed: true,
            unsent: None,
        }
    }

    /// Where nothing can be sent any more, the request is not to be lost: it may go elsewhere.
    pub(super) fn may_go_elsewhere(&mut self, wire: &Wire) {
        self.unsent = Some(wire.io.sent());
    }

    /// Writes the whole, as far as the body is there.
    pub(super) fn poll(
        &mut self,
        wire: &RefCell<Wire>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        loop {
            let gathered = self.poll_gather(cx)?;
            if self.is_written() {
                return gathered.map(Ok);
            }
            if self.poll_write(wire, cx)?.is_pending() {
                return self.poll_ahead(cx).map(Err);
            }
        }
    }

    /// While nothing can be written a little more is read, so that its sender's going is noticed.
    /// Ready: the request has broken off.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Failed> {
        let Some(body) = &mut self.body else { return Poll::Pending };
        while self.ahead_bytes < MOST_AHEAD && !self.ended {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Error::Request(error.into()).into()),
                Some(Ok(frame)) => {
                    self.ahead_bytes += weight(&frame);
                    self.ended = body.is_end_stream();
                    self.ahead.push_back(frame);
                }
            }
        }
        Poll::Pending
    }

    /// The next frame, and whether it was the last.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Error>> {
        if let Some(frame) = self.ahead.pop_front() {
            self.ahead_bytes -= weight(&frame);
            return Poll::Ready(Ok((Some(frame), self.ended && self.ahead.is_empty())));
        }
        let Some(body) = self.body.as_mut().filter(|_| !self.ended) else {
            return Poll::Ready(Ok((None, true)));
        };
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => Poll::Ready(Ok((None, true))),
            Some(Err(error)) => Poll::Ready(Err(Error::Request(error.into()))),
            Some(Ok(frame)) => Poll::Ready(Ok((Some(frame), body.is_end_stream()))),
        }
    }

    /// Takes of the body what one write may carry. Ready: that is enough, or the body has ended.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Whether the body ends where its head says is found out before its last piece leaves, where
        // that can be known by then.
        while self.coding == Coding::Length(0) || self.front.len() < SMALL && self.data.is_empty() {
            if self.body.is_none() {
                break;
            }
            let (frame, is_last) = ready!(self.poll_frame(cx))?;
            match frame.map(Frame::into_data) {
                None => self.end(None)?,
                Some(Ok(data)) => {
                    self.take(data)?;
                    if is_last {
                        self.end(None)?;
                    }
                }
                Some(Err(frame)) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.end(Some(&trailers))?;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.coding {
            // More than was announced would be taken for another request.
            Coding::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Error::RequestLength)?;
            }
            Coding::Chunks(_) => {
                encode::chunk_size(&mut self.front, data.len());
                self.back = encode::CHUNK_END;
            }
        }
        if data.len() > SMALL {
            self.data = data;
        } else {
            self.front.extend_from_slice(&data);
            self.front.extend_from_slice(std::mem::take(&mut self.back));
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Error> {
        self.body = None;
        match (&self.coding, trailers) {
            (Coding::Length(0), _) => {}
            (Coding::Length(_), _) => return Err(Error::RequestLength),
            (Coding::Chunks(announced), Some(trailers)) => {
                encode::end_with_trailers(&mut self.front, announced, trailers);
            }
            (Coding::Chunks(_), None) if self.data.is_empty() => {
                self.front.extend_from_slice(encode::LAST_CHUNK);
            }
            (Coding::Chunks(_), None) => self.back = encode::END_OF_LAST_CHUNK,
        }
        Ok(())
    }

    fn is_written(&self) -> bool {
        self.written == self.front.len()
            && self.data.is_empty()
            && self.back.is_empty()
            && self.is_flushed
    }

    fn poll_write(
        &mut self,
        wire: &RefCell<Wire>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let io = &mut wire.borrow_mut().io;
        loop {
            let front = &self.front[self.written..];
            if front.is_empty() && self.data.is_empty() && self.back.is_empty() {
                break;
            }
            let written = if self.data.is_empty() && self.back.is_empty() {
                ready!(io.poll_write(cx, front)).map_err(Error::Io)?
            } else {
                let slices = [front, &self.data, self.back].map(IoSlice::new);
                ready!(io.poll_write_vectored(cx, &slices)).map_err(Error::Io)?
            };
            if written == 0 {
                let error = Error::Io(io::ErrorKind::WriteZero.into());
                return Poll::Ready(Err(error.into()));
            }
            if let Some(before) = self.unsent.take()
                && io.is_deaf_since(before)
            {
                return Poll::Ready(Err(Failed::Unsent));
            }
            if io.is_deaf() {
                // What is left has nowhere to go. Whoever hears the peer out wakes us no more.
                return Poll::Pending;
            }
            self.is_flushed = false;
            self.advance(written);
        }
        ready!(io.poll_flush(cx)).map_err(Error::Io)?;
        self.is_flushed = true;
        self.front.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut by: usize) {
        let of_front = by.min(self.front.len() - self.written);
        self.written += of_front;
        by -= of_front;
        let of_data = by.min(self.data.len());
        self.data.advance(of_data);
        by -= of_data;
        self.back = &self.back[by.min(self.back.len())..];
    }
}

/// What a frame takes while it waits: small ones more than their bytes.
fn weight(frame: &Frame<Bytes>) -> usize {
    frame.data_ref().map_or(0, Bytes::len) + AROUND_FRAME
}

impl<B> Drop for Upload<B> {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.front));
    }
}

/// An allocation, and a place in the queue.
const AROUND_FRAME: usize = 256;
/// What is copied to be written at once with what is before it.
const SMALL: usize = 16 << 10;

/// Bytes of a body that wait for room in the socket.
const MOST_AHEAD: usize = 400 << 10;
