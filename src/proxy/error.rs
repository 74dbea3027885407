//! Why a request got no vendor's answer, and whose fault that is.

use std::time::Duration;

use crate::framing::Fault;
use crate::telemetry::metrics::Limit;
use crate::token::NoToken;
use crate::upstream::pool::SendError;

use super::{clients, guard::Refusal};

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The caller's: it is no request, or one beyond the limits.
    #[error("{0}")]
    Malformed(Fault),
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
    /// The caller's: it is nobody we know, or not for this. Or the operator's list is too narrow.
    #[error("{0}")]
    Client(#[from] clients::Refusal),
    /// The caller's: the vendor has not got the whole of it, and has not answered.
    #[error("the body of this request broke off")]
    BodyBroken,
    /// The caller's.
    #[error("{0}")]
    BodyMalformed(Fault),
    /// The caller's.
    #[error("the body of this request did not go on")]
    BodyStoodStill,
    /// The caller's, or the operator's limit is too low.
    #[error("the body of this request is longer than `limits.body` of this upstream: {0} bytes")]
    BodyTooLarge(u64),
    /// The caller's: this holds more than credentials.
    #[error("the body of this call of the token endpoint is longer than {0} bytes")]
    TokenCallTooLarge(u64),
    /// The callers': together they want more at one time than the operator permits.
    #[error(
        "upstream {upstream} has {limit} requests under way, which is `limits.in_flight` of it"
    )]
    TooManyRequests { upstream: String, limit: u32 },
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
    /// The vendor's, as a rule.
    #[error(
        "upstream {upstream} had not answered after {}, which is `timeouts.total` of it",
        humantime::format_duration(*.after)
    )]
    TookTooLong { upstream: String, after: Duration },
}

impl ProxyError {
    /// When the same request may find better luck.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoToken { source, .. } => Some(source.retry_after),
            Self::TooManyRequests { .. } | Self::Malformed(Fault::Connections) => {
                Some(RETRY_WHEN_BUSY)
            }
            _ => None,
        }
    }

    /// Why whoever calls was refused.
    pub fn client(&self) -> Option<clients::Refusal> {
        match self {
            Self::Client(refusal) => Some(*refusal),
            _ => None,
        }
    }

    /// What of the request is no proper HTTP.
    pub fn malformed(&self) -> Option<Fault> {
        match self {
            Self::Malformed(fault) | Self::BodyMalformed(fault) if self.limit().is_none() => {
                Some(*fault)
            }
            _ => None,
        }
    }

    /// The limit that was met.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Malformed(fault) => match fault {
                Fault::TargetLength => Some(Limit::TargetBytes),
                Fault::HeaderBytes => Some(Limit::HeaderBytes),
                Fault::HeaderCount => Some(Limit::Headers),
                Fault::HeadTime => Some(Limit::Head),
                Fault::Connections => Some(Limit::Connections),
                _ => None,
            },
            Self::BodyStoodStill => Some(Limit::Idle),
            Self::BodyTooLarge(_) | Self::TokenCallTooLarge(_) => Some(Limit::Body),
            Self::TooManyRequests { .. } => Some(Limit::InFlight),
            Self::TookTooLong { .. } => Some(Limit::Total),
            Self::Upstream { source: SendError::Silent(_), .. } => Some(Limit::FirstByte),
            Self::Upstream { source: SendError::Connect(error), .. } if error.is_timeout() => {
                Some(Limit::Connect)
            }
            _ => None,
        }
    }
}

/// Until one of many requests has ended.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);
