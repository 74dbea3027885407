//! Callers' connections, and how their handshakes went.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

/// How a caller's TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Ok,
    /// The caller's certificate was not accepted.
    Certificate,
    /// The caller broke it off with an alert: it may not trust our certificate.
    Declined,
    /// The caller spoke no TLS.
    Plain,
    /// It took too long.
    Late,
    /// The caller hung up.
    Gone,
    Failed,
}

/// Counters for what becomes of handshakes.
#[derive(Clone, Debug)]
pub struct HandshakeMetrics([IntCounter; Handshake::ALL.len()]);

/// The families of all callers.
#[derive(Debug)]
pub(super) struct CallerFamilies {
    pub(super) connections: IntGauge,
    handshakes: IntCounterVec,
}

impl Handshake {
    const ALL: [Self; 7] = [
        Self::Ok,
        Self::Certificate,
        Self::Declined,
        Self::Plain,
        Self::Late,
        Self::Gone,
        Self::Failed,
    ];

    /// The label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Certificate => "certificate",
            Self::Declined => "declined",
            Self::Plain => "plain",
            Self::Late => "late",
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }
}

impl HandshakeMetrics {
    pub fn ended(&self, how: Handshake) {
        self.0[how as usize].inc();
    }
}

impl CallerFamilies {
    pub(super) fn new() -> prometheus::Result<Self> {
        let handshakes =
            Opts::new("tokenward_caller_handshakes_total", "TLS handshakes with callers.");
        Ok(Self {
            connections: IntGauge::new("tokenward_caller_connections", "Connections of callers.")?,
            handshakes: IntCounterVec::new(handshakes, &["outcome"])?,
        })
    }

    pub(super) fn families(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.connections.clone()), Box::new(self.handshakes.clone())]
    }

    pub(super) fn handshakes(&self) -> HandshakeMetrics {
        let counter = |how: Handshake| self.handshakes.with_label_values(&[how.name()]);
        HandshakeMetrics(Handshake::ALL.map(counter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_counter() {
        let families = CallerFamilies::new().expect("families");
        let metrics = families.handshakes();
        for (index, how) in Handshake::ALL.into_iter().enumerate() {
            assert_eq!(how as usize, index);
            metrics.ended(how);
            assert_eq!(families.handshakes.with_label_values(&[how.name()]).get(), 1, "{how:?}");
        }
    }
}
