//! How often a caller or an upstream met a limit, by the key that sets it.

use prometheus::{IntCounter, IntCounterVec};

/// A bound that the operator can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Connections,
    TargetBytes,
    HeaderBytes,
    Headers,
    /// Time for a request's head.
    Head,
    /// A caller that neither sent nor read.
    Idle,
    Body,
    InFlight,
    Connect,
    FirstByte,
    /// An upstream whose answer stood still.
    AnswerIdle,
    Total,
}

/// Counters for the limits of one upstream, or of those callers that have reached none yet.
#[derive(Debug)]
pub struct Limits([IntCounter; Limit::ALL.len()]);

impl Limit {
    pub const ALL: [Self; 12] = [
        Self::Connections,
        Self::TargetBytes,
        Self::HeaderBytes,
        Self::Headers,
        Self::Head,
        Self::Idle,
        Self::Body,
        Self::InFlight,
        Self::Connect,
        Self::FirstByte,
        Self::AnswerIdle,
        Self::Total,
    ];

    /// The label of the metric: the key, where that is not ambiguous.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::TargetBytes => "target_bytes",
            Self::HeaderBytes => "header_bytes",
            Self::Headers => "headers",
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Body => "body",
            Self::InFlight => "in_flight",
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::AnswerIdle => "answer_idle",
            Self::Total => "total",
        }
    }
}

impl Limits {
    pub(super) fn new(family: &IntCounterVec, upstream: &str) -> Self {
        Self(Limit::ALL.map(|limit| family.with_label_values(&[upstream, limit.name()])))
    }

    pub fn reached(&self, limit: Limit) {
        self.0[limit as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_own_counter() {
        let opts = prometheus::Opts::new("limits", "Limits.");
        let family = IntCounterVec::new(opts, &["upstream", "limit"]).expect("a family");
        let limits = Limits::new(&family, "x");
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index);
            limits.reached(limit);
            assert_eq!(family.with_label_values(&["x", limit.name()]).get(), 1, "{limit:?}");
        }
    }
}
