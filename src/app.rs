//! Puts the parts together, and takes them apart in order.

mod access;
mod assemble;
mod callers_tls;
mod clients;
mod files;
mod gear;
pub mod probe;
mod reload;
mod service;
mod sockets;
mod trust;
pub mod try_out;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::admin::history::History;
use crate::admin::live::Live;
use crate::admin::{self, Admin, Reloads, Shown};
use crate::browsers::Hosts;
use crate::clock::watch::Watch as ClockWatch;
use crate::config::fixed::Fixed;
use crate::config::{Config, ShutdownConfig, StoreConfig, StorePlace};
use crate::drain::Drain;
use crate::pem::PemError;
use crate::readiness::Readiness;
use crate::systemd::Systemd;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces;
use crate::token::Tokens;
use crate::token::provider;
use crate::token::store::file::FileStore;
use crate::token::store::kubernetes::KubernetesStore;
use crate::token::store::memory::MemoryStore;
use crate::token::store::redis::RedisStore;
use crate::token::store::seal::Vault;
use crate::token::store::{Store, StoreError};
use crate::units::Listen;
use crate::upstream::tls;
use crate::worker::{self, Surroundings, Worker};

use access::Access;
use assemble::Shared;
use gear::Gear;
pub use reload::Reader;
use reload::Reloader;
use service::Service;
use sockets::Sockets;
pub use sockets::{Address, Addresses, BindError, Handed, HandedError};
use watch::Watch;

/// A gateway that serves. Dropping it without [`Gateway::stop`] ends it without a drain.
#[derive(Debug)]
pub struct Gateway {
    /// Where it really listened at first: port 0 has become a number.
    pub addresses: Addresses,
    pub readiness: Readiness,
    shown: Arc<ArcSwap<Shown>>,
    drain: Drain,
    service: Service,
    reloads: Reloads,
    stop_reloads: CancellationToken,
    reloader: JoinHandle<Gear>,
    failures: mpsc::Receiver<JoinError>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Handed(#[from] HandedError),
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
    #[error(transparent)]
    Traces(#[from] traces::StartError),
    #[error("the workers cannot be started")]
    Workers(#[source] io::Error),
}

/// Starts a gateway on the current runtime, which becomes the home of refreshers and the admin
/// address; requests are served by threads of its own. Sockets are bound before anything serves.
///
/// # Errors
/// When an address is taken, the store is in use or damaged, or TLS cannot be set up.
pub async fn start(config: Config) -> Result<Gateway, StartError> {
    start_from(config, None, Systemd::default(), Handed::default()).await
}

/// The same, of a config that can be read `again`, under a systemd that is told how it goes and has handed
/// sockets over.
///
/// # Errors
/// As with [`start`], and when a socket was handed over that the config does not name.
pub async fn start_from(
    config: Config,
    again: Option<Reader>,
    systemd: Systemd,
    mut handed: Handed,
) -> Result<Gateway, StartError> {
    // At once, for they were read a moment ago.
    let watch = Watch::new(reload::files_of(&config)).await;
    if let Some(config) = &config.traces {
        traces::start(config)?;
    }
    let started = Instant::now();
    let revision = option_env!("TOKENWARD_REVISION").unwrap_or("unknown");
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), revision)?;
    let readiness = Readiness::default();
    let store = open_store(&config.store, Opener::Gateway)?;
    let store = Arc::new(store.measured(metrics.store()));
    let shared = Shared {
        store: store.clone(),
        process: process_name(),
        lease: config.store.lease,
        readiness: readiness.clone(),
        metrics: metrics.clone(),
    };
    let (admin_socket, admin_address) = sockets::bind_admin(config.admin, &mut handed)?;
    let drain = Drain::default();
    let around = Surroundings { metrics: metrics.clone(), drain: drain.clone() };
    let workers = config.workers.unwrap_or_else(cores);
    let stop_refreshers = CancellationToken::new();
    let keys = clients::admin_keys(None);
    let shown = Shown { keys, upstreams: Vec::new(), hosts: Hosts::of(admin_address) };
    let mut gear = Gear {
        shared,
        fixed: Fixed::of(&config),
        admin: admin_address,
        workers: worker::start(&around, workers).map_err(StartError::Workers)?,
        sockets: Sockets::default(),
        addresses: None,
        upstreams: Vec::new(),
        clients: None,
        tls: None,
        access: Access::default(),
        refreshers: JoinSet::new(),
        stop_refreshers: stop_refreshers.clone(),
        shown: Arc::new(ArcSwap::from_pointee(shown)),
        shutdown: config.shutdown,
        changes: 0,
    };
    // The workers end with it if this fails.
    let mut unfinished = Ending(Some(drain.clone()));
    let listening = listening(&config);
    let plan = gear.plan(config, &mut handed)?;
    handed.are_taken(&listening)?;
    gear.publish(plan).await;
    unfinished.0 = None;

    // It ends with the refreshers.
    let clocks = ClockWatch::new();
    let stop = stop_refreshers.clone();
    tokio::spawn(async move { stop.run_until_cancelled(clocks.tell()).await });
    let (reloads, asked) = Reloads::new();
    let shown = gear.shown.clone();
    let admin = Admin {
        readiness: readiness.clone(),
        metrics,
        store,
        started,
        now: shown.clone(),
        reloads: reloads.clone(),
        history: History::default(),
        live: Live::default(),
    };
    tokio::spawn(admin::serve(admin_socket, Arc::new(admin), drain.clone()));
    let Some(addresses) = gear.addresses.clone() else {
        unreachable!("what is published has addresses");
    };
    let service = Service::new(systemd, readiness.clone());
    service.ready().await;
    let pulses = gear.workers.iter().map(Worker::pulse).collect();
    tokio::spawn(service.clone().keep_told(pulses, drain.clone()));
    let (failed, failures) = mpsc::channel(1);
    let stop_reloads = CancellationToken::new();
    let reloader = Reloader {
        gear,
        again,
        watch,
        asked,
        service: service.clone(),
        failures: failed,
        is_refused: false,
    };
    let reloader = tokio::spawn(reloader.run(stop_reloads.clone()));
    Ok(Gateway {
        addresses,
        readiness,
        shown,
        drain,
        service,
        reloads,
        stop_reloads,
        reloader,
        failures,
    })
}

impl Gateway {
    /// The handle of one upstream's token.
    pub fn tokens(&self, upstream: &str) -> Option<Tokens> {
        let shown = self.shown.load();
        let found = shown.upstreams.iter().find(|known| known.name == upstream);
        found.map(|known| known.tokens.clone())
    }

    /// By which it can be told to read its config again.
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// Completes when a refresher has ended though nobody told it to, which only a panic can do:
    /// its upstream's token would never be renewed again.
    pub async fn failed(&mut self) -> JoinError {
        match self.failures.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Not ready first; after the minimum no new connections, and what was begun comes to its end
    /// within the grace; then the refreshers, whose renewals under way are saved first. Returns how
    /// many connections had to be cut.
    pub async fn stop(mut self) -> usize {
        let began = Instant::now();
        self.readiness.stop();
        self.service.stopping().await;
        self.stop_reloads.cancel();
        // A reload that is under way has a moment to end.
        let Ok(Ok(mut gear)) = timeout(LAST_RENEWAL, &mut self.reloader).await else {
            warn!("the config was still being read at the end");
            return self.drain.drain(LAST_RENEWAL).await;
        };
        let ShutdownConfig { minimum, grace } = gear.shutdown;
        // Whoever calls again comes by another connection, which a load balancer leads elsewhere, and
        // meets none that is just being closed.
        self.drain.part();
        sleep_until(began + minimum).await;
        gear.sockets.clear();
        let left = self.drain.drain(grace.saturating_sub(began.elapsed())).await;
        gear.stop_refreshers.cancel();
        let Gear { mut refreshers, workers, access, .. } = gear;
        let ended = async { while refreshers.join_next().await.is_some() {} };
        // A call of the token endpoint may take longer, and nothing else needs the grace now.
        let time = grace.saturating_sub(began.elapsed()).max(LAST_RENEWAL);
        let joined = spawn_blocking(move || {
            workers.into_iter().for_each(Worker::join);
            access.end();
        });
        let (ended, _) = tokio::join!(timeout(time, ended), timeout(LAST_RENEWAL, joined));
        if ended.is_err() {
            warn!("a renewal was still under way at the end");
        }
        // A renewal counts for more: spans get what it has left of the time.
        let left_over = (grace + LAST_RENEWAL).saturating_sub(began.elapsed());
        traces::stop(left_over.min(LAST_SPANS)).await;
        left
    }
}

/// Ends the workers of a gateway that does not come into being.
struct Ending(Option<Drain>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.iter().for_each(Drain::end_now);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.drain.end_now();
        self.reloader.abort();
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

/// Where callers and operators are listened for, by the key that says so.
fn listening(config: &Config) -> Vec<(String, Listen)> {
    let admin = ("admin.listen".to_owned(), Listen::Tcp(config.admin));
    let shared = config.gateway.iter().map(|it| ("gateway.listen".to_owned(), it.address.clone()));
    let own = config.upstreams.iter().filter_map(|upstream| {
        let listen = upstream.listen.as_ref()?;
        Some((format!("upstream.{}.listen", upstream.name), listen.address.clone()))
    });
    std::iter::once(admin).chain(shared).chain(own).collect()
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
pub const LAST_RENEWAL: Duration = Duration::from_secs(3);
/// The longest that it waits for a collector.
const LAST_SPANS: Duration = Duration::from_secs(1);
