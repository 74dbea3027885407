//! A response body whose beginning has been looked at: what was read is handed on first, as it
//! came.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body, and the frames of it that were read ahead.
#[derive(Debug)]
pub struct Peeked<B: Body> {
    held: VecDeque<Frame<Bytes>>,
    rest: B,
    /// Met while reading ahead; the caller meets it after the frames before it.
    failure: Option<B::Error>,
    /// All frames have come: not every body knows that of itself.
    ended: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Peeked<B> {
    pub fn new(body: B) -> Self {
        // An empty queue does not allocate: answers that are not looked into cost nothing here.
        Self { held: VecDeque::new(), rest: body, failure: None, ended: false }
    }

    /// Reads one more frame ahead. `None`: there is none, because the body has ended or failed.
    pub async fn read_ahead(&mut self) -> Option<&Frame<Bytes>> {
        if self.ended || self.failure.is_some() {
            return None;
        }
        match poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await {
            Some(Ok(frame)) => {
                let first = self.held.is_empty();
                self.held.push_back(if first { frame } else { on_its_own(frame) });
                self.held.back()
            }
            Some(Err(error)) => {
                self.failure = Some(error);
                None
            }
            None => {
                self.ended = true;
                None
            }
        }
    }

    /// Reads ahead until the body has ended or failed, or `limit` bytes are held.
    pub async fn read_to_end(&mut self, limit: usize) {
        let mut held: usize = self.held.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        while held < limit && !self.is_complete() {
            let Some(frame) = self.read_ahead().await else { return };
            held += frame.data_ref().map_or(0, Bytes::len);
        }
    }

    /// Whether the whole body has been read from the network.
    pub fn is_complete(&self) -> bool {
        self.ended || self.rest.is_end_stream()
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
        if let Some(frame) = this.held.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match this.failure.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None if this.ended => Poll::Ready(None),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.failure.is_none() && self.is_complete()
    }

    fn size_hint(&self) -> SizeHint {
        let held: u64 = self.held.iter().filter_map(Frame::data_ref).map(|b| b.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut whole = SizeHint::new();
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(held));
        }
        whole.set_lower(rest.lower().saturating_add(held));
        whole
    }
}

/// A small frame in memory of its own. As it comes it is a piece of a read buffer, and holding many
/// such pieces would hold a buffer for each.
fn on_its_own(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.map_data(|data| if data.len() < SMALL { Bytes::copy_from_slice(&data) } else { data })
}

/// Half of the smallest read buffer.
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
        let mut body = Peeked::new(Full::new(Bytes::from_static(b"the whole answer")));
        assert_eq!(body.size_hint().exact(), Some(16));
        let seen = body.read_ahead().await.expect("a frame");
        assert_eq!(seen.data_ref().expect("data"), "the whole answer");
        assert!(body.is_complete() && !body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(16));
        assert!(body.read_ahead().await.is_none());
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "the whole answer");
    }

    #[tokio::test]
    async fn p03_small_pieces_that_are_held_do_not_hold_the_buffers_they_came_in() {
        let buffers: Vec<_> = (0..100).map(|_| Bytes::from(vec![b'x'; 8192])).collect();
        let pieces = buffers.iter().map(|buffer| buffer.slice(..1)).collect();
        let mut body = Peeked::new(Pieces(pieces));
        body.read_to_end(usize::MAX).await;
        assert!(body.is_complete());
        assert_eq!(buffers.iter().filter(|buffer| !buffer.is_unique()).count(), 1);
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "x".repeat(100));
    }
}
