//! TLS from callers, and what becomes of it when its files change.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::causes::causes;
use crate::proxy::tls::{Config, Shared};
use crate::telemetry::metrics::Metrics;

use super::StartError;
use super::watch::{Counters, Reread, Watch};

/// Reads the files, and again whenever they change, until `stop`.
pub(super) async fn start(
    config: Config,
    metrics: &Arc<Metrics>,
    stop: CancellationToken,
) -> Result<Shared, StartError> {
    // Before they are read, so that no change is missed.
    let watch = Watch::new(config.files()).await;
    let shared = Shared::new(config.read().map_err(StartError::CallersTls)?);
    let counters =
        Counters { ok: metrics.config_reloads("ok"), refused: metrics.config_reloads("refused") };
    let replaced = shared.clone();
    let reread = move || Reread {
        files: config.files(),
        outcome: config
            .read()
            .map(|read| replaced.replace(read))
            .map_err(|error| format!("clients.tls.{}: {}", error.key(), causes(&error))),
    };
    tokio::spawn(async move {
        let following = watch.follow("callers' TLS (clients.tls)", counters, reread);
        stop.run_until_cancelled(following).await;
    });
    Ok(shared)
}
