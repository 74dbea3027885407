//! The access log's thread: it comes with the first config that wants one, and ends with the gateway.

use tracing::error;

use crate::proxy::access::{Config, Log, Record, line};
use crate::telemetry::log::{Apart, Writer};
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Default)]
pub(super) struct Access(Option<(Apart<Box<Record>>, Writer)>);

impl Access {
    /// The log that a config wants.
    pub(super) fn log(&mut self, config: Option<Config>, metrics: &Metrics) -> Option<Log> {
        let config = config?;
        if self.0.is_none() {
            match Apart::start("access", line, metrics.access_records_dropped()) {
                Ok(started) => self.0 = Some(started),
                Err(error) => error!(%error, "the access log cannot be written: it has no thread"),
            }
        }
        let records = self.0.as_ref().map(|(records, _)| records.clone())?;
        Some(Log { config, records })
    }

    /// Waits, in this thread, until what was handed over is written. Nobody hands anything over any more.
    pub(super) fn end(self) {
        let Some((records, writer)) = self.0 else { return };
        drop(records);
        writer.join();
    }
}
