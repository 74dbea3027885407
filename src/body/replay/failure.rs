//! Why a body cannot be sent, or not again.

use std::error::Error;

use crate::causes::network::is_timeout;

/// Why there is no second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReplay {
    /// More than the limit has passed.
    TooLarge,
    /// The caller's own body failed.
    Broken,
    /// The caller's body did not go on for too long.
    StoodStill,
    /// More than is taken at all.
    BeyondAll,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    #[error("the caller's body broke off")]
    Caller(#[source] E),
    #[error("the caller's body is longer than what is taken")]
    BeyondAll,
    /// Where HTTP/2 is spoken, the reason that the peer is told.
    #[error("a later attempt has taken the body over, or nobody wants it any more")]
    Superseded(#[source] h2::Error),
}

/// Whether a body failed because its caller sent nothing for too long.
pub(super) fn stood_still(error: &(dyn Error + 'static)) -> bool {
    is_timeout(error)
}
