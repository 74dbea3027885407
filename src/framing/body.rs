//! The body of a caller's request, in either version of HTTP.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::link::Link;
use super::stream::Tunnel;
use super::upload::Upload;

/// The body of a caller's request.
#[derive(Debug)]
pub enum CallerBody {
    Empty,
    Http1(Http1Body),
    Http2(Incoming),
}

/// Read from its connection when it is asked for.
#[derive(Debug)]
pub struct Http1Body {
    link: Rc<Link>,
    /// Which request of the connection it belongs to.
    number: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the connection to the caller broke off")]
    Http1(#[from] io::Error),
    #[error("the caller's stream broke off")]
    Http2(#[from] hyper::Error),
}

impl CallerBody {
    /// Asks for the connection itself, which comes when the request has been answered with a `101`.
    /// `None`: this request cannot have it.
    pub fn upgrade(&self) -> Option<oneshot::Receiver<Tunnel>> {
        let Self::Http1(Http1Body { link, .. }) = self else { return None };
        let (sender, receiver) = oneshot::channel();
        link.state.borrow_mut().upgrade = Some(sender);
        Some(receiver)
    }
}

impl Body for CallerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| Some(frame?.map_err(BodyError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.look(|upload| upload.is_none_or(Upload::has_ended)),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match self {
            Self::Empty => Some(0),
            Self::Http1(body) => body.look(|upload| upload.map_or(Some(0), Upload::left)),
            Self::Http2(body) => return body.size_hint(),
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Http1Body {
    pub(super) fn new(link: Rc<Link>, number: u64) -> Self {
        Self { link, number }
    }

    fn look<T>(&self, at: impl FnOnce(Option<&Upload>) -> T) -> T {
        at(self.link.state.borrow_mut().upload(self.number).map(|upload| &*upload))
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.link.state.borrow_mut();
        let polled = state.poll_upload(self.number, cx);
        if polled.is_ready() && !state.wants_upload() {
            self.link.tell(&state);
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(BodyError::from)))
    }
}

/// Nobody wants it any more.
impl Drop for Http1Body {
    fn drop(&mut self) {
        let mut state = self.link.state.borrow_mut();
        let Some(upload) = state.upload(self.number) else { return };
        upload.is_dropped = true;
        self.link.tell(&state);
    }
}
