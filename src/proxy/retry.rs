//! Whether a rejected request may be sent once more, and what the caller is told of it.

use http::HeaderValue;

use crate::body::replay::{NoReplay, Replay};
use crate::framing::CallerBody;
use crate::vendor::path::PathPattern;

use super::head::Head;
use super::route::Settings;

/// What became of a request that met a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Sent again, and not rejected again.
    Recovered,
    RejectedAgain,
    Skipped(Skip),
}

/// Why a rejected request was not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    BodyTooLarge,
    /// The caller's body broke off.
    BodyBroken,
    /// The path is one that is never sent twice.
    PathExcluded,
    /// There was no newer token to send it with.
    NoToken,
    /// The second attempt got no answer, and the first one's is handed on.
    NoAnswer,
}

/// # Errors
/// Why the request must not be sent again.
pub(super) fn allow(
    settings: &Settings,
    head: &Head,
    replay: &Replay<CallerBody>,
) -> Result<(), Skip> {
    let is_never = |path: &str| PathPattern::any_could_match(&settings.never_resend, path);
    let judge = |_: &_, path: &str| if is_never(path) { Err(Skip::PathExcluded) } else { Ok(()) };
    settings.guard.judge_each(head.as_sent(), judge, Skip::PathExcluded)?;
    replay.check().map_err(|no| match no {
        NoReplay::TooLarge => Skip::BodyTooLarge,
        NoReplay::BeyondAll => Skip::BodyTooLarge,
        NoReplay::Broken | NoReplay::StoodStill => Skip::BodyBroken,
    })
}

impl Retry {
    /// The value of the header `tokenward-retry`.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }

    /// Without the reason, as metrics have it.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::RejectedAgain => "rejected-again",
            Self::Skipped(Skip::NoToken | Skip::NoAnswer) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    pub fn reason(self) -> Option<&'static str> {
        self.as_str().split_once("reason=").map(|(_, reason)| reason)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::RejectedAgain => "rejected-again",
            Self::Skipped(Skip::BodyTooLarge) => "skipped; reason=body-too-large",
            Self::Skipped(Skip::BodyBroken) => "skipped; reason=body-broken",
            Self::Skipped(Skip::PathExcluded) => "skipped; reason=path-excluded",
            Self::Skipped(Skip::NoToken) => "skipped; reason=no-token",
            Self::Skipped(Skip::NoAnswer) => "skipped; reason=no-answer",
        }
    }
}
