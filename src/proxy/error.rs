//! Why a request got no vendor's answer, and whose fault that is.

use std::time::Duration;

use crate::token::NoToken;
use crate::upstream::pool::SendError;

use super::guard::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The caller's: nothing is served there.
    #[error("no upstream is served here; {0}")]
    NoRoute(String),
    /// The caller's: a tunnel leaves no place for a token.
    #[error(
        "CONNECT asks for a tunnel, into which no token can be put: call http://, not https://, \
         through this gateway"
    )]
    Tunnel,
    /// The caller's: with the base path and the injected pairs it is longer than HTTP libraries
    /// take.
    #[error("the target is too long for what the gateway has to add to it")]
    TargetTooLong,
    /// The caller's, or the operator's list is too narrow.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The caller's: the vendor has not got the whole of it, and has not answered.
    #[error("the body of this request broke off, or its chunks are no chunks")]
    Body,
    /// The vendor's or the operator's; the detail says which.
    #[error("no token for upstream {upstream}: {source}")]
    NoToken {
        upstream: String,
        #[source]
        source: NoToken,
    },
    /// The vendor's.
    #[error("upstream {upstream} gave no answer")]
    Upstream {
        upstream: String,
        #[source]
        source: SendError,
    },
}

impl ProxyError {
    /// When the same request may find better luck.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoToken { source, .. } => Some(source.retry_after),
            _ => None,
        }
    }
}
