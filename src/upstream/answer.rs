//! The body of a vendor's answer, in whichever version of HTTP it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::http1;

#[derive(Debug)]
pub enum AnswerBody {
    Http1(http1::AnswerBody),
    Http2(hyper::body::Incoming),
}

/// An exchange broke off.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum BrokenOff {
    Http1(#[from] http1::Error),
    Http2(#[from] hyper::Error),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(BrokenOff::Http1),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(BrokenOff::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
