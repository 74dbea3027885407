//! The body of an answer over HTTP/1.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Error;
use super::wire::Wire;

/// It is read from its connection when it is asked for, unless all of it came with the head.
#[derive(Debug)]
pub struct AnswerBody {
    whole: Option<Bytes>,
    /// Until its end has been read.
    wire: Option<Rc<RefCell<Wire>>>,
    /// Its head said how long it is. The length of another is nobody's business, though its end may
    /// be here: it goes on in the form in which it came.
    is_sized: bool,
}

impl AnswerBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { whole: Some(bytes).filter(|bytes| !bytes.is_empty()), wire: None, is_sized: true }
    }

    pub(super) fn on(wire: Rc<RefCell<Wire>>) -> Self {
        let is_sized = wire.borrow().left().is_some();
        Self { whole: None, wire: Some(wire), is_sized }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(bytes) = self.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(wire) = &self.wire else { return Poll::Ready(None) };
        let mut wire = wire.borrow_mut();
        let frame = ready!(wire.poll_body(cx));
        if wire.has_ended() {
            drop(wire);
            self.wire = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && self.wire.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.is_sized {
            return SizeHint::default();
        }
        let known = match (&self.whole, &self.wire) {
            (Some(bytes), _) => Some(bytes.len() as u64),
            (None, Some(wire)) => wire.borrow().left(),
            (None, None) => Some(0),
        };
        known.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
