//! The clients of now, read again when their file changes.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::admin::Keys;
use crate::config::ClientsConfig;
use crate::config::clients::{ClientsFile, Listed};
use crate::proxy::clients::{Clients, Roster};
use crate::telemetry::metrics::Metrics;

use super::watch::{Counters, Reread, Watch};

/// The clients that the config has found, and whoever takes their place until `stop`.
pub(super) async fn follow(
    config: ClientsConfig,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> Arc<Roster> {
    let ClientsConfig { file, clients, files } = config;
    let names: Vec<String> = file.upstreams.iter().map(|known| known.name.clone()).collect();
    let roster = Arc::new(Roster::new(Clients::new(clients, &names, metrics)));
    let counters =
        Counters { ok: metrics.clients_reloads("ok"), refused: metrics.clients_reloads("refused") };
    let (followed, metrics, stop) = (roster.clone(), metrics.clone(), stop.clone());
    let mut reread = move || reread(&file, &names, &metrics, &followed);
    // They may have changed between the config's reading and this.
    let (watch, now) = Watch::new(files).await.read_with(&mut reread).await;
    if let Err(reason) = now.outcome {
        counters.refused.inc();
        error!(reason, "the list of clients changed at the start, and cannot be used");
    }
    let following = watch.follow("the list of clients", counters, reread);
    tokio::spawn(stop.run_until_cancelled_owned(following));
    roster
}

/// The keys that open the admin address from another machine; without clients there are none.
pub(super) fn admin_keys(clients: Option<Arc<Roster>>) -> Keys {
    Keys(Box::new(move |headers| {
        let client = clients.as_ref().and_then(|roster| roster.by_authorization(headers));
        client.is_some_and(|client| client.admin)
    }))
}

/// All or nothing: with a mistake in it, a list changes nothing.
fn reread(file: &ClientsFile, names: &[String], metrics: &Metrics, roster: &Roster) -> Reread {
    let Listed { clients, files, warnings } = file.read();
    let outcome = clients.map_err(|report| report.to_string()).map(|clients| {
        for warning in warnings {
            warn!("{warning}");
        }
        roster.replace(Clients::new(clients, names, metrics));
    });
    Reread { files, outcome }
}
