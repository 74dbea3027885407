//! What was read again while the gateway ran, and whether it was taken over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGauge, Opts};

/// The handles of the process' reloads.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    config: IntCounterVec,
    clients: IntCounterVec,
    last_ok: IntGauge,
    /// What was refused when it was last read, a bit each.
    refused: Arc<AtomicU8>,
}

/// What is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    /// The whole config, with all files that it names.
    Config,
    /// The files of callers' TLS alone.
    CallersTls,
    /// The list of clients alone.
    Clients,
}

impl ReloadMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let config = Opts::new(
            "tokenward_config_reloads_total",
            "How often the config, or a file that it names, was read again, and whether it was taken over.",
        );
        let clients = Opts::new(
            "tokenward_clients_reloads_total",
            "How often a changed list of clients was read, and whether it was taken over.",
        );
        let metrics = Self {
            config: IntCounterVec::new(config, &["outcome"])?,
            clients: IntCounterVec::new(clients, &["outcome"])?,
            last_ok: IntGauge::new(
                "tokenward_config_last_reload_ok",
                "0 while what was read last was refused, and what was there before goes on.",
            )?,
            refused: Arc::default(),
        };
        metrics.last_ok.set(1);
        // A rate needs the 0 before the first.
        for outcome in ["ok", "refused"] {
            metrics.config.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    pub(super) fn families(&self) -> [Box<dyn Collector>; 3] {
        [
            Box::new(self.config.clone()),
            Box::new(self.clients.clone()),
            Box::new(self.last_ok.clone()),
        ]
    }

    /// There is a list of clients.
    pub fn expect_clients(&self) {
        for outcome in ["ok", "refused"] {
            self.clients.with_label_values(&[outcome]);
        }
    }

    pub fn ended(&self, what: Reread, is_ok: bool) {
        let outcome = if is_ok { "ok" } else { "refused" };
        let family = if what == Reread::Clients { &self.clients } else { &self.config };
        family.with_label_values(&[outcome]).inc();
        let bit = 1 << what as u8;
        // The config as a whole brings all of its files.
        let mended = if what == Reread::Config { u8::MAX } else { bit };
        let refused = match is_ok {
            true => self.refused.fetch_and(!mended, Ordering::Relaxed) & !mended,
            false => self.refused.fetch_or(bit, Ordering::Relaxed) | bit,
        };
        self.last_ok.set(i64::from(refused == 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p30_what_was_refused_is_told_until_it_is_mended() {
        let metrics = ReloadMetrics::new().expect("families");
        for (what, is_ok, expected) in [
            (Reread::Clients, false, 0),
            (Reread::CallersTls, true, 0),
            (Reread::CallersTls, false, 0),
            (Reread::Clients, true, 0),
            (Reread::CallersTls, true, 1),
            (Reread::Config, false, 0),
            (Reread::Clients, true, 0),
            (Reread::Clients, false, 0),
            (Reread::Config, true, 1),
        ] {
            metrics.ended(what, is_ok);
            assert_eq!(metrics.last_ok.get(), expected, "{what:?} {is_ok}");
        }
        assert_eq!(metrics.config.with_label_values(&["ok"]).get(), 3);
        assert_eq!(metrics.clients.with_label_values(&["refused"]).get(), 2);
    }
}
