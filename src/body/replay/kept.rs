//! What of a body has passed and is kept for another attempt.

use bytes::{Bytes, BytesMut};
use http_body::Frame;

/// What has passed, while it is within the limit.
#[derive(Debug)]
pub(super) enum Kept {
    Frames {
        /// Most bodies come in one piece, which is kept as it is.
        first: Bytes,
        rest: BytesMut,
        trailers: Option<http::HeaderMap>,
    },
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Nothing,
    First,
    /// Everything that was kept when this attempt began.
    Kept,
}

impl Kept {
    pub(super) fn nothing() -> Self {
        Self::Frames { first: Bytes::new(), rest: BytesMut::new(), trailers: None }
    }

    pub(super) fn keep(&mut self, frame: &Frame<Bytes>, limit: usize) {
        let Self::Frames { first, rest, trailers } = self else {
            return;
        };
        let Some(data) = frame.data_ref() else {
            *trailers = frame.trailers_ref().cloned();
            return;
        };
        if first.len() + rest.len() + data.len() > limit {
            *self = Self::TooLarge;
        } else if first.is_empty() {
            *first = data.clone();
        } else {
            // Copied into one buffer: a caller that sends single bytes must not cost a buffer each.
            rest.extend_from_slice(data);
        }
    }

    /// The next piece for a later attempt.
    pub(super) fn next(&mut self, sent: &mut Sent) -> Option<Bytes> {
        let Self::Frames { first, rest, .. } = self else {
            return None;
        };
        if *sent == Sent::Nothing {
            *sent = Sent::First;
            if !first.is_empty() {
                return Some(first.clone());
            }
        }
        if *sent == Sent::First {
            *sent = Sent::Kept;
            if !rest.is_empty() {
                return Some(std::mem::take(rest).freeze());
            }
        }
        None
    }

    pub(super) fn remaining(&self, sent: Sent) -> u64 {
        let Self::Frames { first, rest, .. } = self else {
            return 0;
        };
        let bytes = match sent {
            Sent::Nothing => first.len() + rest.len(),
            Sent::First => rest.len(),
            Sent::Kept => 0,
        };
        bytes as u64
    }
}
