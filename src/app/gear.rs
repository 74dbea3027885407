//! What runs, and how another config takes its place: everything that can fail is done before anything
//! changes.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::admin::Shown;
use crate::browsers::Hosts;
use crate::config::fixed::Fixed;
use crate::config::{
    CallerLimits, ClientsConfig, Config, LogConfig, ShutdownConfig, UpstreamConfig,
};
use crate::telemetry::log::configured_level;
use crate::worker::{Blueprint, Change, Worker};

use super::access::Access;
use super::assemble::{Assembled, Prepared, Running, Shared};
use super::callers_tls::CallersTls;
use super::clients::{List, admin_keys};
use super::sockets::{Addresses, Handed, Sockets, Wanted};
use super::{StartError, files};

/// All that runs by the config, but for the admin address.
pub(super) struct Gear {
    pub(super) shared: Shared,
    /// What only a restart changes.
    pub(super) fixed: Fixed,
    pub(super) admin: SocketAddr,
    pub(super) workers: Vec<Worker>,
    pub(super) sockets: Sockets,
    pub(super) addresses: Option<Addresses>,
    pub(super) upstreams: Vec<Running>,
    pub(super) clients: Option<List>,
    pub(super) tls: Option<CallersTls>,
    pub(super) access: Access,
    pub(super) refreshers: JoinSet<()>,
    pub(super) stop_refreshers: CancellationToken,
    pub(super) shown: Arc<ArcSwap<Shown>>,
    pub(super) shutdown: ShutdownConfig,
    /// How many configs there were before.
    pub(super) changes: u64,
}

/// Another config, with everything that it needs; to be dropped, or to be published.
pub(super) struct Plan {
    prepared: Vec<Prepared>,
    wanted: Wanted,
    clients: Option<ClientsConfig>,
    tls: Option<CallersTls>,
    limits: CallerLimits,
    log: LogConfig,
    admin_hosts: Hosts,
    shutdown: ShutdownConfig,
    warnings: Vec<String>,
}

impl fmt::Debug for Gear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gear").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Gear {
    /// Reads and binds what the config names, unless it was handed over. Nothing changes by that.
    ///
    /// # Errors
    /// When an address is taken, or TLS cannot be set up.
    pub(super) fn plan(&self, config: Config, handed: &mut Handed) -> Result<Plan, StartError> {
        let wanted = self.sockets.want(&config, self.admin, self.workers.len(), handed)?;
        let Config {
            upstreams,
            clients,
            callers_tls,
            limits,
            log,
            admin_hosts,
            shutdown,
            warnings,
            ..
        } = config;
        let tls = callers_tls.map(CallersTls::read).transpose()?;
        let prepare = |upstream: UpstreamConfig| {
            let name = &upstream.name;
            let running = self.upstreams.iter().find(|it| it.name == *name);
            let process = &self.shared.process;
            // Whoever had the name before may still be saving a token.
            let holder = match self.changes {
                0 => format!("{process}/{name}"),
                changes => format!("{process}/{name}/{changes}"),
            };
            Prepared::new(upstream, running, holder, &self.shared)
        };
        let prepared = upstreams.into_iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(Plan { prepared, wanted, clients, tls, limits, log, admin_hosts, shutdown, warnings })
    }

    /// From now on this runs. What is under way ends by what it began with.
    pub(super) async fn publish(&mut self, plan: Plan) {
        let Plan {
            prepared,
            mut wanted,
            clients,
            tls,
            limits,
            log,
            admin_hosts,
            shutdown,
            warnings,
        } = plan;
        configured_level(&log.level);
        for warning in &warnings {
            warn!("{warning}");
        }
        let CallerLimits { connections, request } = limits;
        let in_flight = prepared.iter().map(|it| it.config.limits.in_flight as usize).sum();
        let connections = files::callers_within(connections, in_flight, files::raise_limit());

        let mut before = std::mem::take(&mut self.upstreams);
        let (mut blueprints, mut shown, mut retired) = (Vec::new(), Vec::new(), Vec::new());
        for (place, prepared) in prepared.into_iter().enumerate() {
            let name = prepared.config.name.clone();
            let known = before.iter().position(|it| it.name == name);
            let known = known.map(|at| before.swap_remove(at));
            let hosts = wanted.addresses.hosts_of(&name);
            let assembled = prepared.assemble(place, hosts, known, &self.shared);
            let Assembled { blueprint, status, running, refresher, change, retired: old } =
                assembled;
            if let Some(refresher) = refresher {
                let stop = self.stop_refreshers.clone().cancelled_owned();
                self.refreshers.spawn(refresher.run(stop));
            }
            if let Some((config, provider)) = change {
                running.remote.change(config, provider).await;
            }
            retired.extend(old);
            blueprints.push(blueprint);
            shown.push(status);
            self.upstreams.push(running);
        }
        self.clients = clients.map(|clients| List::new(clients, &self.shared.metrics));
        self.tls = tls;
        self.shutdown = shutdown;
        self.changes += 1;
        let roster = self.clients.as_ref().map(|list| list.roster.clone());
        let blueprint = Blueprint {
            upstreams: blueprints,
            listeners: wanted.listeners.clone(),
            clients: roster.clone(),
            connections,
            requests: request,
            access: self.access.log(log.access, &self.shared.metrics),
            tls: self.tls.as_ref().map(|tls| tls.shared.clone()),
        };
        self.hand_out(blueprint, &mut wanted).await;
        let hosts = Hosts::of(self.admin).and(admin_hosts);
        let keys = admin_keys(roster);
        self.shown.store(Arc::new(Shown { keys, upstreams: shown, hosts }));
        let new = wanted.take_new();
        self.sockets.replace(&wanted.listeners, new);
        wanted.addresses.log(self.addresses.as_ref());
        self.addresses = Some(wanted.addresses);

        // No new request knows them any more.
        for old in retired {
            old.retire().await;
        }
        for removed in before {
            removed.remote.retire().await;
            self.shared.readiness.remove(&removed.name);
            self.shared.metrics.forget(&removed.name, self.workers.len());
        }
    }

    /// Returns when all workers serve by it.
    async fn hand_out(&self, blueprint: Blueprint, wanted: &mut Wanted) {
        let blueprint = Arc::new(blueprint);
        let mut serving = Vec::new();
        for (worker, opened) in self.workers.iter().zip(std::mem::take(&mut wanted.opened)) {
            let (done, serves) = oneshot::channel();
            worker.change(Change { blueprint: blueprint.clone(), opened, done }).await;
            serving.push(serves);
        }
        let all = async {
            for serves in serving {
                // One that has ended serves nothing.
                let _ = serves.await;
            }
        };
        if timeout(LONGEST_TURN, all).await.is_err() {
            warn!("a worker is so busy that it has not taken the config over yet");
        }
    }

    /// What was read for the list of clients and for callers' TLS.
    pub(super) fn files_of_callers(&self) -> Vec<PathBuf> {
        let clients = self.clients.iter().flat_map(|list| list.files.clone());
        clients.chain(self.tls.iter().flat_map(CallersTls::files)).collect()
    }
}

/// Far longer than a worker is ever busy with one thing.
const LONGEST_TURN: Duration = Duration::from_secs(10);
