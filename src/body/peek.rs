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
    /// Most looks end within the first frame.
    first: Option<Bytes>,
    more: VecDeque<Frame<Bytes>>,
    rest: B,
    /// Met while reading ahead; the caller meets it after the frames before it.
    failure: Option<B::Error>,
}

impl<B: Body<Data = Bytes> + Unpin> Peeked<B> {
    pub fn new(body: B) -> Self {
        // An empty queue does not allocate.
        Self { first: None, more: VecDeque::new(), rest: body, failure: None }
    }

    /// Reads one more piece ahead. `None`: there is none, because the body has ended or failed.
    pub async fn read_ahead(&mut self) -> Option<&Bytes> {
        if self.failure.is_some() {
            return None;
        }
        let frame = match poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await? {
            Ok(frame) => frame,
            Err(error) => {
                self.failure = Some(error);
                return None;
            }
        };
        match frame.into_data() {
            Ok(data) if self.first.is_none() && self.more.is_empty() => {
                self.first = Some(data);
                self.first.as_ref()
            }
            Ok(data) => {
                self.more.push_back(Frame::data(data));
                self.more.back().and_then(Frame::data_ref)
            }
            Err(trailers) => {
                self.more.push_back(trailers);
                None
            }
        }
    }

    /// Whether the whole body has been read from the network.
    pub fn is_complete(&self) -> bool {
        self.rest.is_end_stream()
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
        if let Some(frame) = first.or_else(|| this.more.pop_front()) {
            return Poll::Ready(Some(Ok(frame)));
        }
        match this.failure.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        let held = self.first.is_some() || !self.more.is_empty();
        !held && self.failure.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let pieces = self.first.iter().chain(self.more.iter().filter_map(Frame::data_ref));
        let held: u64 = pieces.map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut whole = SizeHint::new();
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(held));
        }
        whole.set_lower(rest.lower().saturating_add(held));
        whole
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    struct Pieces(Vec<&'static str>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let piece = self.0.pop().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
            Poll::Ready(piece.map(Ok))
        }
    }

    #[tokio::test]
    async fn p06_frames_are_handed_on_in_their_order() {
        let mut body = Peeked::new(Pieces(vec!["four", "three ", "two ", "one "]));
        for _ in 0..3 {
            body.read_ahead().await.expect("a piece");
        }
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "one two three four");
    }

    #[tokio::test]
    async fn p06_what_was_looked_at_is_handed_on_unchanged() {
        let mut body = Peeked::new(Full::new(Bytes::from_static(b"the whole answer")));
        assert_eq!(body.size_hint().exact(), Some(16));
        assert_eq!(body.read_ahead().await.expect("a piece"), "the whole answer");
        assert!(body.is_complete() && !body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(16));
        assert!(body.read_ahead().await.is_none());
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "the whole answer");
    }
}
