//! Puts the parts together, and takes them apart in order.

mod assemble;
mod callers_tls;
mod clients;
mod files;
pub mod probe;
mod sockets;
pub mod try_out;
mod watch;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::admin::{self, Admin};
use crate::browsers::Hosts;
use crate::clock::watch::Watch;
use crate::config::{CallerLimits, Config, StoreConfig, StorePlace};
use crate::drain::Drain;
use crate::pem::PemError;
use crate::proxy::caller::Limits;
use crate::readiness::Readiness;
use crate::telemetry::metrics::Metrics;
use crate::token::Tokens;
use crate::token::provider;
use crate::token::store::file::FileStore;
use crate::token::store::kubernetes::KubernetesStore;
use crate::token::store::memory::MemoryStore;
use crate::token::store::redis::RedisStore;
use crate::token::store::seal::Vault;
use crate::token::store::{Store, StoreError};
use crate::upstream::tls;
use crate::worker::{self, Blueprint};

use assemble::Shared;
use sockets::SocketFile;
pub use sockets::{Address, Addresses, BindError};

/// A gateway that serves. Dropping it without [`Gateway::stop`] ends it without a drain.
#[derive(Debug)]
pub struct Gateway {
    /// Where it really listens: port 0 has become a number.
    pub addresses: Addresses,
    pub readiness: Readiness,
    tokens: Vec<(String, Tokens)>,
    drain: Drain,
    grace: Duration,
    sockets: Vec<SocketFile>,
    workers: Vec<JoinHandle<()>>,
    refreshers: JoinSet<()>,
    stop_refreshers: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store's TLS")]
    StoreTls(#[source] tls::TlsError),
    #[error("upstream {upstream}")]
    Tls {
        upstream: String,
        #[source]
        source: tls::TlsError,
    },
    #[error("upstream {upstream}: {host:?} is no name that a certificate could have")]
    Host { upstream: String, host: String },
    #[error("upstream {upstream}")]
    Provider {
        upstream: String,
        #[source]
        source: provider::SetupError,
    },
    #[error("clients.tls")]
    CallersTls(#[source] PemError),
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
    #[error("the workers cannot be started")]
    Workers(#[source] io::Error),
}

/// Starts a gateway on the current runtime, which becomes the home of refreshers and the admin
/// address; requests are served by threads of its own. Sockets are bound before anything serves.
///
/// # Errors
/// When an address is taken, the store is in use or damaged, or TLS cannot be set up.
pub async fn start(config: Config) -> Result<Gateway, StartError> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let started = Instant::now();
    let revision = option_env!("TOKENWARD_REVISION").unwrap_or("unknown");
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), revision)?;
    let readiness = Readiness::default();
    let store = open_store(&config.store, Opener::Gateway)?;
    let store = Arc::new(store.measured(metrics.store()));
    let process = process_name();
    let shared = Shared {
        store: store.clone(),
        process,
        lease: config.store.lease,
        readiness: readiness.clone(),
        metrics: metrics.clone(),
    };
    let bound = sockets::bind(&config)?;

    let mut upstreams = Vec::new();
    let mut refreshers = JoinSet::new();
    let stop_refreshers = CancellationToken::new();
    let mut shown = Vec::new();
    let workers = config.workers.unwrap_or_else(cores);
    let in_flight = config.upstreams.iter().map(|it| it.limits.in_flight as usize).sum();
    for (place, upstream) in config.upstreams.into_iter().enumerate() {
        let name = upstream.name.clone();
        let hosts = bound.addresses.hosts_of(&name);
        let assembled = assemble::upstream(place, upstream, hosts, &shared)?;
        upstreams.push(assembled.blueprint);
        shown.push(assembled.status);
        let stop = stop_refreshers.clone();
        refreshers.spawn(assembled.refresher.run(stop.cancelled_owned()));
    }
    let tokens = shown.iter().map(|one| (one.name.clone(), one.tokens.clone())).collect();

    // It ends with the refreshers.
    let (stop, clocks) = (stop_refreshers.clone(), Watch::new());
    tokio::spawn(async move { stop.run_until_cancelled(clocks.tell()).await });
    let clients = match config.clients {
        Some(clients) => Some(clients::follow(clients, &metrics, &stop_refreshers).await),
        None => None,
    };
    let drain = Drain::default();
    let admin = Admin {
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        keys: clients::admin_keys(clients.clone()),
        upstreams: shown,
        store,
        started,
        hosts: Hosts::of(bound.addresses.admin).and(config.admin_hosts),
    };
    tokio::spawn(admin::serve(bound.admin, Arc::new(admin), drain.clone()));
    let CallerLimits { connections, request } = config.limits;
    let connections = files::callers_within(connections, in_flight, files::raise_limit());
    let callers = Limits { connections, request: Arc::new(request), gauge: metrics.callers() };
    let tls = match config.callers_tls {
        Some(files) => Some(callers_tls::start(files, &metrics, stop_refreshers.clone()).await?),
        None => None,
    };
    let blueprint = Blueprint { upstreams, clients, callers, tls, metrics, drain: drain.clone() };
    let blueprint = Arc::new(blueprint);
    let workers =
        worker::start(&blueprint, bound.listeners, workers).map_err(StartError::Workers)?;
    bound.addresses.log();
    Ok(Gateway {
        addresses: bound.addresses,
        readiness,
        tokens,
        drain,
        grace: config.grace,
        sockets: bound.files,
        workers,
        refreshers,
        stop_refreshers,
    })
}

impl Gateway {
    /// The handle of one upstream's token.
    pub fn tokens(&self, upstream: &str) -> Option<&Tokens> {
        self.tokens.iter().find(|(name, _)| name == upstream).map(|(_, tokens)| tokens)
    }

    /// Completes when a refresher has ended though nobody told it to, which only a panic can do:
    /// its upstream's token would never be renewed again.
    pub async fn failed(&mut self) -> tokio::task::JoinError {
        loop {
            match self.refreshers.join_next().await {
                Some(Err(error)) => return error,
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Not ready first; then no new connections, and what was begun comes to its end within the
    /// grace; then the refreshers, whose renewals under way are saved first. Returns how many
    /// connections had to be cut.
    pub async fn stop(mut self) -> usize {
        let began = Instant::now();
        self.readiness.stop();
        self.sockets.clear();
        let left = self.drain.drain(self.grace).await;
        self.stop_refreshers.cancel();
        let ended = async { while self.refreshers.join_next().await.is_some() {} };
        // A call of the token endpoint may take longer, and nothing else needs the grace now.
        let time = self.grace.saturating_sub(began.elapsed()).max(LAST_RENEWAL);
        if timeout(time, ended).await.is_err() {
            warn!("a renewal was still under way at the end");
        }
        let workers = std::mem::take(&mut self.workers);
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                let _ = worker.join();
            }
        });
        let _ = timeout(LAST_RENEWAL, joined).await;
        left
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.drain.end_now();
    }
}

/// Who opens a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// It keeps the store for its life.
    Gateway,
    /// It reads and replaces a page, though a gateway may run.
    Command,
}

/// The store that the config names, with its seal. One that lies elsewhere is not asked yet.
///
/// # Errors
/// When others have a file who do not share it, or it is damaged, or TLS cannot be set up.
pub fn open_store(config: &StoreConfig, opener: Opener) -> Result<Store, StartError> {
    let store: Store = match &config.place {
        StorePlace::File { path, share } => match (opener, share) {
            (Opener::Gateway, false) => FileStore::open(path)?,
            (Opener::Gateway, true) => FileStore::share(path)?,
            (Opener::Command, _) => FileStore::visit(path)?,
        }
        .into(),
        StorePlace::Memory => MemoryStore::default().into(),
        StorePlace::Redis { redis, tls } => {
            let tls = tls.as_ref().map(|files| tls::client_config(files, false)).transpose();
            RedisStore::new(redis.clone(), tls.map_err(StartError::StoreTls)?).into()
        }
        StorePlace::Kubernetes { kubernetes, tls } => {
            // A cluster has an authority of its own, and no other may vouch for its server.
            let no_others = tls.ca_file.is_some();
            let tls = tls::client_config(tls, no_others).map_err(StartError::StoreTls)?;
            KubernetesStore::new(kubernetes.clone(), tls)?.into()
        }
    };
    Ok(store.sealed(Vault::new(&config.keys)))
}

/// Host, process and a number drawn by lot: containers share names and process ids.
fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}:{:08x}", host.trim(), std::process::id(), fastrand::u32(..))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// The least time that the end waits for a renewal whose answer must be saved.
const LAST_RENEWAL: Duration = Duration::from_secs(5);
