//! The clients of now, read again when their file changes.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use crate::admin::Keys;
use crate::config::ClientsConfig;
use crate::config::clients::{ClientsFile, Listed};
use crate::proxy::clients::{Clients, Roster};
use crate::telemetry::metrics::Metrics;

/// The list that is in force.
pub(super) struct List {
    file: ClientsFile,
    /// Of the upstreams, in their order.
    names: Vec<String>,
    /// What was read for it.
    pub(super) files: Vec<PathBuf>,
    pub(super) roster: Arc<Roster>,
}

impl List {
    pub(super) fn new(config: ClientsConfig, metrics: &Metrics) -> Self {
        let ClientsConfig { file, clients, files } = config;
        let names: Vec<String> = file.upstreams.iter().map(|known| known.name.clone()).collect();
        let roster = Arc::new(Roster::new(Clients::new(clients, &names, metrics)));
        metrics.reloads().expect_clients();
        Self { file, names, files, roster }
    }

    /// Reads the list and the files that it names once more. All or nothing: with a mistake in it, a
    /// list changes nothing.
    ///
    /// # Errors
    /// Every mistake in it.
    pub(super) fn reread(&mut self, metrics: &Metrics) -> Result<(), String> {
        let Listed { clients, files, warnings } = self.file.read();
        self.files = files;
        let clients = clients.map_err(|report| report.to_string())?;
        for warning in warnings {
            warn!("{warning}");
        }
        self.roster.replace(Clients::new(clients, &self.names, metrics));
        Ok(())
    }
}

/// The keys that open the admin address from another machine; without clients there are none.
pub(super) fn admin_keys(clients: Option<Arc<Roster>>) -> Keys {
    Keys(Box::new(move |headers| {
        let client = clients.as_ref().and_then(|roster| roster.by_authorization(headers));
        client.is_some_and(|client| client.admin)
    }))
}
