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
    more: VecDeque<Frame<Bytes>>,
    /// Small pieces, in one: a thousand of them must not cost a thousand buffers.
    small: BytesMut,
    rest: B,
    /// Met while reading ahead; the caller meets it after the frames before it.
    failure: Option<B::Error>,
    /// All frames have come: not every body knows that of itself.
    ended: bool,
    /// This body does.
    knows_its_end: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Peeked<B> {
    /// `knows_its_end`: `body` has broken off if it says no more and does not say that this is its
    /// end.
    pub fn new(body: B, knows_its_end: bool) -> Self {
        // An empty queue does not allocate.
        let more = VecDeque::new();
        let small = BytesMut::new();
        Self { first: None, more, small, rest: body, failure: None, ended: false, knows_its_end }
    }

    /// Reads one more piece ahead. `None`: there is none, because the body has ended or failed.
    pub async fn read_ahead(&mut self) -> Option<&[u8]> {
        if self.ended || self.failure.is_some() {
            return None;
        }
        let frame = match poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.failure = Some(error);
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
            Ok(data) if data.len() < SMALL => {
                let held = self.small.len();
                self.small.extend_from_slice(&data);
                Some(&self.small[held..])
            }
            Ok(data) => {
                self.queue_small();
                self.more.push_back(Frame::data(data));
                self.more.back().and_then(Frame::data_ref).map(AsRef::as_ref)
            }
            Err(trailers) => {
                self.ended = true;
                self.queue_small();
                self.more.push_back(trailers);
                None
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.first.is_none() && self.more.is_empty() && self.small.is_empty()
    }

    fn queue_small(&mut self) {
        if !self.small.is_empty() {
            self.more.push_back(Frame::data(self.small.split().freeze()));
        }
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
        let pieces = self.first.iter().chain(self.more.iter().filter_map(Frame::data_ref));
        pieces.map(|data| data.len() as u64).sum::<u64>() + self.small.len() as u64
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

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for Peeked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let first = this.first.take().map(Frame::data);
        let frame = first.or_else(|| {
            if this.more.is_empty() {
                this.queue_small();
            }
            this.more.pop_front()
        });
        if let Some(frame) = frame {
            return Poll::Ready(Some(Ok(frame)));
        }
        match this.failure.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None if this.ended => Poll::Ready(None),
            None => {
                let frame = ready!(Pin::new(&mut this.rest).poll_frame(cx));
                this.ended = frame.is_none();
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_drained() && self.failure.is_none() && self.is_complete()
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
        assert_eq!(body.more.len(), 0, "and are one");
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "x".repeat(100));
    }
}
