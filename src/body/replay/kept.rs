//! What of a body has passed and is kept for another attempt.

use bytes::{Bytes, BytesMut};
use http_body::Frame;

/// How much of a body is taken, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Kept for a second attempt.
    pub kept: usize,
    /// Taken at all.
    pub whole: u64,
}

/// What has passed, while it is within the limit.
#[derive(Debug)]
pub(super) enum Kept {
    Frames {
        /// Most bodies come in one piece, which is kept as it is.
        first: Bytes,
        /// What earlier attempts have read after that, a piece for each.
        middle: Vec<Bytes>,
        /// What the latest attempt has read.
        rest: BytesMut,
        trailers: Option<http::HeaderMap>,
    },
    TooLarge,
}

impl Kept {
    pub(super) fn nothing() -> Self {
        let (middle, rest) = (Vec::new(), BytesMut::new());
        Self::Frames { first: Bytes::new(), middle, rest, trailers: None }
    }

    pub(super) fn keep(&mut self, frame: &Frame<Bytes>, limit: usize) {
        let held = self.remaining(0);
        let Self::Frames { first, rest, trailers, .. } = self else {
            return;
        };
        let Some(data) = frame.data_ref() else {
            *trailers = frame.trailers_ref().cloned();
            return;
        };
        if held + data.len() as u64 > limit as u64 {
            *self = Self::TooLarge;
        } else if first.is_empty() {
            *first = data.clone();
        } else {
            // Copied into one buffer: a caller that sends single bytes must not cost a buffer each.
            rest.extend_from_slice(data);
        }
    }

    /// Another attempt begins, and this many pieces are for it to send.
    pub(super) fn begin(&mut self) -> usize {
        let Self::Frames { first, middle, rest, .. } = self else {
            return 0;
        };
        if !rest.is_empty() {
            middle.push(std::mem::take(rest).freeze());
        }
        if first.is_empty() { 0 } else { 1 + middle.len() }
    }

    /// A piece for a later attempt, counted from 0.
    pub(super) fn piece(&self, number: usize) -> Option<&Bytes> {
        match self {
            Self::Frames { first, .. } if number == 0 => Some(first),
            Self::Frames { middle, .. } => middle.get(number - 1),
            Self::TooLarge => None,
        }
    }

    pub(super) fn trailers(&self) -> Option<&http::HeaderMap> {
        match self {
            Self::Frames { trailers, .. } => trailers.as_ref(),
            Self::TooLarge => None,
        }
    }

    /// Bytes that are kept, but for this many pieces.
    pub(super) fn remaining(&self, sent: usize) -> u64 {
        let Self::Frames { first, middle, rest, .. } = self else {
            return 0;
        };
        let pieces = std::iter::once(first).chain(middle).skip(sent);
        let bytes: usize = pieces.map(Bytes::len).sum();
        (bytes + rest.len()) as u64
    }
}
