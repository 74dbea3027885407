//! What of a request is judged by an upstream's limits, and whose fault it is that there is no answer.

use http_body::Body;

use crate::body::replay::{NoReplay, Replay};
use crate::framing::{CallerBody, Fault};
use crate::upstream::pool::SendError;

use super::error::ProxyError;
use super::route::Settings;

impl Settings {
    pub(super) fn admit(&self, body: &CallerBody) -> Result<(), ProxyError> {
        if self.metrics.in_flight.get() > i64::from(self.most_in_flight) {
            let (upstream, limit) = (self.name.clone(), self.most_in_flight);
            return Err(ProxyError::TooManyRequests { upstream, limit });
        }
        let longest = self.body_limits.whole;
        match body.size_hint().lower() > longest {
            true => Err(ProxyError::BodyTooLarge(longest)),
            false => Ok(()),
        }
    }

    /// What to say when an attempt got no answer: the fault may be the caller's body's.
    pub(super) fn no_answer(&self, source: SendError, replay: &Replay<CallerBody>) -> ProxyError {
        match (replay.check(), &source) {
            (Err(NoReplay::Broken), source) => {
                Fault::find(source).map_or(ProxyError::BodyBroken, ProxyError::BodyMalformed)
            }
            (Err(NoReplay::StoodStill), _) => ProxyError::BodyStoodStill,
            (Err(NoReplay::BeyondAll), _) => ProxyError::BodyTooLarge(self.body_limits.whole),
            // The vendor need not answer before it has the whole request.
            (_, SendError::Silent(_)) if replay.awaits_caller() => ProxyError::BodyStoodStill,
            _ => ProxyError::Upstream { upstream: self.name.clone(), source },
        }
    }
}
