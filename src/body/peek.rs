//! A response body whose beginning has been looked at: what was read is handed on first, as it
//! came.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// A body, and the frames of it that were read ahead.
#[derive(Debug)]
pub struct Peeked<B: Body> {
    /// Most looks end within the first piece.
    first: Option<Bytes>,
    /// What was read after it, and met: a body of which the first piece is enough is small.
    more: Option<Box<More<B::Error>>>,
    rest: B,
    /// All frames have come: not every body knows that of itself.
    ended: bool,
    /// This body does.
    knows_its_end: bool,
}

#[derive(Debug)]
struct More<E> {
    frames: VecDeque<Frame<Bytes>>,
    /// Small pieces, in one: a thousand of them must not cost a thousand buffers.
    small: BytesMut,
    /// The caller meets it after the frames before it.
    failure: Option<E>,
}

impl<B: Body<Data = Bytes> + Unpin> Peeked<B> {
    /// `knows_its_end`: `body` has broken off if it says no more and does not say that this is its
    /// end.
    pub fn new(body: B, knows_its_end: bool) -> Self {
        Self { first: None, more: None, rest: body, ended: false, knows_its_end }
    }

    /// Reads one more piece ahead. `None`: there is none, because the body has ended or failed.
    pub async fn read_ahead(&mut self) -> Option<&[u8]> {
        if self.ended || self.has_failed() {
            return None;
        }
        let frame = match poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.more.get_or_insert_default().failure = Some(error);
                return None;
            }
            None => {
                self.ended = true;
                return None;
            }
        };
        match frame.into_data() {
            Ok(data) if self.is_drained() => {
                self.first = Some(data);
                self.first.as_deref()
            }
            Ok(data) => Some(self.more.get_or_insert_default().push(data)),
            Err(trailers) => {
                self.ended = true;
                let more = self.more.get_or_insert_default();
                more.queue_small();
                more.frames.push_back(trailers);
                None
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.failure.is_some())
    }

    fn is_drained(&self) -> bool {
        self.first.is_none() && self.more.as_ref().is_none_or(|more| more.is_empty())
    }

    /// Reads ahead until the body has ended or failed, or `limit` bytes are held.
    pub async fn read_to_end(&mut self, limit: u64) {
        let mut held = self.held();
        while held < limit && !self.is_complete() {
            let Some(data) = self.read_ahead().await else { return };
            held += data.len() as u64;
        }
    }

    /// Bytes that were read ahead.
    fn held(&self) -> u64 {
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        first + self.more.as_ref().map_or(0, |more| more.bytes())
    }

    /// Whether the whole body has been read from the network.
    pub fn is_complete(&self) -> bool {
        self.ended && !self.knows_its_end || self.rest.is_end_stream()
    }

    /// What is read of the body is not the whole of it, though no error says so: an HTTP/2 peer may
    /// give an answer up with a `RST_STREAM` that names no error.
    pub fn has_broken_off(&self) -> bool {
        self.ended && !self.is_complete()
    }
}

impl<E> More<E> {
    fn push(&mut self, data: Bytes) -> &[u8] {
        if data.len() < SMALL {
            let held = self.small.len();
            self.small.extend_from_slice(&data);
            return &self.small[held..];
        }
        self.queue_small();
        self.frames.push_back(Frame::data(data));
        self.frames.back().and_then(Frame::data_ref).map_or(&[], AsRef::as_ref)
    }

    fn queue_small(&mut self) {
        if !self.small.is_empty() {
            self.frames.push_back(Frame::data(self.small.split().freeze()));
        }
    }

    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.small.is_empty()
    }

    fn bytes(&self) -> u64 {
        let pieces = self.frames.iter().filter_map(Frame::data_ref);
        pieces.map(|data| data.len() as u64).sum::<u64>() + self.small.len() as u64
    }

    /// What comes next of it.
    fn pop(&mut self) -> Option<Result<Frame<Bytes>, E>> {
        if self.frames.is_empty() {
            self.queue_small();
        }
        let frame = self.frames.pop_front().map(Ok);
        frame.or_else(|| self.failure.take().map(Err))
    }
}

impl<E> Default for More<E> {
    fn default() -> Self {
        Self { frames: VecDeque::new(), small: BytesMut::new(), failure: None }
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for Peeked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(next) = this.more.as_mut().and_then(|more| more.pop()) {
            return Poll::Ready(Some(next));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.rest).poll_frame(cx));
        this.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_drained() && !self.has_failed() && self.is_complete()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held();
        let rest = self.rest.size_hint();
        let mut whole = SizeHint::new();
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(held));
        }
        whole.set_lower(rest.lower().saturating_add(held));
        whole
    }
}

/// Half of the smallest read buffer. A smaller piece is copied: as it comes it is a part of such a buffer,
/// and holding many of them would hold a buffer for each.
const SMALL: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    /// A body that does not know when it has ended until it is asked for more.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn p06_what_was_looked_at_is_handed_on_unchanged() {
        let mut body = Peeked::new(Full::new(Bytes::from_static(b"the whole answer")), true);
        assert_eq!(body.size_hint().exact(), Some(16));
        assert_eq!(body.read_ahead().await.expect("a piece"), b"the whole answer");
        assert!(body.is_complete() && !body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(16));
        assert!(body.read_ahead().await.is_none());
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "the whole answer");
    }

    #[tokio::test]
    async fn p03_small_pieces_that_are_held_do_not_hold_the_buffers_they_came_in() {
        let buffers: Vec<_> = (0..100).map(|_| Bytes::from(vec![b'x'; 8192])).collect();
        let pieces = buffers.iter().map(|buffer| buffer.slice(..1)).collect();
        let mut body = Peeked::new(Pieces(pieces), false);
        body.read_to_end(u64::MAX).await;
        assert!(body.is_complete());
        assert_eq!(buffers.iter().filter(|buffer| !buffer.is_unique()).count(), 1);
        assert_eq!(body.more.as_ref().map(|more| more.frames.len()), Some(0), "and are one");
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "x".repeat(100));
    }
}
