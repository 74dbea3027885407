//! Puts the parts together, and takes them apart in order.

mod sockets;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::admin::{self, Admin, status};
use crate::config::{Config, StoreConfig, UpstreamConfig};
use crate::drain::Drain;
use crate::headers::host_name;
use crate::proxy::guard::Guard;
use crate::proxy::inspect::LookLimits;
use crate::proxy::route::Settings;
use crate::proxy::strip::Strip;
use crate::readiness::Readiness;
use crate::telemetry::metrics::Metrics;
use crate::token::Tokens;
use crate::token::provider::{self, Provider};
use crate::token::refresher::{self, Refresher};
use crate::token::store::file::FileStore;
use crate::token::store::memory::MemoryStore;
use crate::token::store::{Store, StoreError};
use crate::units::Scheme;
use crate::upstream::connect::{self, Connector};
use crate::upstream::{pool, tls};
use crate::vendor::path::PathPattern;
use crate::worker::{self, Blueprint, UpstreamBlueprint};

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
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
    #[error("the workers cannot be started")]
    Workers(#[source] io::Error),
}

/// One upstream, assembled but not running.
struct Assembled {
    blueprint: UpstreamBlueprint,
    refresher: Refresher<Provider>,
    status: status::Upstream,
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
    let store = Arc::new(open_store(&config.store)?);
    let bound = sockets::bind(&config)?;

    let mut upstreams = Vec::new();
    let mut refreshers = JoinSet::new();
    let stop_refreshers = CancellationToken::new();
    let mut shown = Vec::new();
    let workers = config.workers.unwrap_or_else(cores);
    for upstream in config.upstreams {
        let name = upstream.name.clone();
        let hosts = bound.addresses.hosts_of(&name);
        let assembled = assemble(upstream, hosts, &store, &readiness, &metrics)?;
        upstreams.push(assembled.blueprint);
        shown.push(assembled.status);
        let stop = stop_refreshers.clone();
        refreshers.spawn(assembled.refresher.run(stop.cancelled_owned()));
    }
    let tokens = shown.iter().map(|one| (one.name.clone(), one.tokens.clone())).collect();

    let drain = Drain::default();
    let admin = Admin {
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        upstreams: shown,
        started,
        hosts: admin_hosts(&bound.addresses),
    };
    tokio::spawn(admin::serve(bound.admin, Arc::new(admin), drain.clone()));
    let blueprint = Arc::new(Blueprint { upstreams, metrics, drain: drain.clone() });
    let workers =
        worker::start(&blueprint, bound.listeners, workers).map_err(StartError::Workers)?;
    bound.addresses.log();
    let (addresses, grace) = (bound.addresses, config.grace);
    Ok(Gateway { addresses, readiness, tokens, drain, grace, workers, refreshers, stop_refreshers })
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

fn assemble(
    config: UpstreamConfig,
    own_hosts: Vec<String>,
    store: &Arc<Store>,
    readiness: &Readiness,
    metrics: &Arc<Metrics>,
) -> Result<Assembled, StartError> {
    let UpstreamConfig { name, base_url, vendor, timeouts, refresh, .. } = config;
    let plain = base_url.scheme() == Scheme::Http;
    let tls = tls::client_config(&config.tls, plain)
        .map_err(|source| StartError::Tls { upstream: name.clone(), source })?;

    let provider = Provider::new(provider::Config {
        base_url: base_url.to_string().trim_end_matches('/').to_owned(),
        refresh: vendor.refresh.clone(),
        mint: vendor.mint.clone(),
        answer: vendor.answer.clone(),
        credentials: config.credentials,
        timeout: refresh.timeout,
        tls: tls.clone(),
    })
    .map_err(|source| StartError::Provider { upstream: name.clone(), source })?;
    let (refresher, tokens) = Refresher::new(
        refresher::Config {
            upstream: name.clone(),
            inject: vendor.inject.clone(),
            seed: config.seed,
            old_access_token: vendor.old_access_token,
            schedule: refresh.schedule,
            limits: refresh.limits,
            vendor_interval: vendor.limits.min_interval,
            wait: refresh.wait,
        },
        provider,
        store.clone(),
        readiness.register(&name),
        metrics.token_of(&name),
    );

    let connector = Connector::new(connect::Config {
        host: base_url.host().to_owned(),
        port: base_url.port(),
        tls: (!plain).then_some(tls),
        timeout: timeouts.connect,
    })
    .map_err(|_| StartError::Host { upstream: name.clone(), host: base_url.host().to_owned() })?;
    let rule_names = config.rules.iter().map(|(_, rule)| rule.name());
    let request_metrics = Arc::new(metrics.requests_of(&name, rule_names));
    let vendor_host = host_name(base_url.authority());
    let below_base = |patterns: &mut Vec<PathPattern>| {
        for pattern in patterns {
            *pattern = pattern.below(base_url.prefix());
        }
    };
    let mut never_resend = config.never_resend;
    below_base(&mut never_resend);
    let mut guard = config.guard;
    below_base(&mut guard.paths);
    below_base(&mut guard.token_endpoints);
    let shares_our_host = own_hosts.contains(&vendor_host);
    guard.hosts.extend(own_hosts);
    guard.hosts.push(vendor_host.clone());
    let strip = Strip::new(&vendor.inject, vendor.strip.iter().map(|name| name.as_str()));
    let settings = Settings {
        authority: HeaderValue::from_str(base_url.authority())
            .map_err(|_| StartError::Host { upstream: name.clone(), host: vendor_host.clone() })?,
        base_path: base_url.prefix().to_owned(),
        guard: Guard::new(guard, metrics),
        strip,
        tokens: tokens.clone(),
        rules: config.rules,
        look: LookLimits { bytes: config.look_limit, wait: timeouts.idle },
        replay_limit: config.replay_limit,
        never_resend,
        idle: timeouts.idle,
        envelope: vendor.envelope,
        metrics: request_metrics.clone(),
        vendor_host,
        shares_our_host,
        name: name.clone(),
    };
    let pool = pool::Config {
        first_byte: timeouts.first_byte,
        idle: IDLE_CONNECTION,
        most_idle: MOST_IDLE_CONNECTIONS,
    };
    let status = status::Upstream {
        name,
        vendor: vendor.name,
        base_url: base_url.to_string(),
        tokens,
        in_flight: request_metrics.in_flight.clone(),
    };
    let blueprint = UpstreamBlueprint { settings: Arc::new(settings), connector, pool };
    Ok(Assembled { blueprint, refresher, status })
}

fn open_store(config: &StoreConfig) -> Result<Store, StoreError> {
    match config {
        StoreConfig::File(path) => Ok(Store::File(FileStore::open(path)?)),
        StoreConfig::Memory => Ok(Store::Memory(MemoryStore::default())),
    }
}

/// The admin address answers to its own names; when it is bound to all addresses, to any.
fn admin_hosts(addresses: &Addresses) -> Vec<String> {
    match &addresses.admin {
        admin if admin.ip().is_unspecified() => Vec::new(),
        admin => sockets::names_of(admin),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Shorter than what most servers allow an idle connection (60 s and more).
const IDLE_CONNECTION: Duration = Duration::from_secs(55);
/// For one upstream in one worker.
const MOST_IDLE_CONNECTIONS: usize = 256;
/// The least time that the end waits for a renewal whose answer must be saved.
const LAST_RENEWAL: Duration = Duration::from_secs(5);
