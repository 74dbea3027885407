//! One thread that serves requests: its own runtime, its own upstream connections, no locks.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::HeaderValue;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tracing::error;

use crate::drain::Drain;
use crate::proxy::Proxy;
use crate::proxy::caller::{self, Context, Seats};
use crate::proxy::clients::Roster;
use crate::proxy::listener::{self, Socket};
use crate::proxy::route::{Entrance, Route, Routes, Settings};
use crate::proxy::tls::{self, Terminator};
use crate::telemetry::metrics::{Metrics, WorkerMetrics};
use crate::upstream::connect::Connector;
use crate::upstream::pool::{self, Upstream};

/// What every worker is built from.
#[derive(Debug)]
pub struct Blueprint {
    pub upstreams: Vec<UpstreamBlueprint>,
    /// Who may call by TCP; `None`: everybody who can.
    pub clients: Option<Arc<Roster>>,
    pub callers: caller::Limits,
    /// What callers by TCP are shown.
    pub tls: Option<tls::Shared>,
    pub metrics: Arc<Metrics>,
    pub drain: Drain,
}

#[derive(Debug)]
pub struct UpstreamBlueprint {
    pub settings: Arc<Settings>,
    pub connector: Connector,
    pub pool: pool::Config,
}

/// A bound socket, and what comes in by it.
pub type Listener = (Socket, Entrance);

/// Starts `count` workers. All of them accept from the same sockets: whoever is free takes the next
/// connection, and none is stranded in the queue of a worker that is busy. Only workers keep the
/// sockets: when the last one stops accepting, callers are refused and do not wait in the queue.
///
/// # Errors
/// When a socket cannot be shared, or a thread or a runtime cannot be had.
pub fn start(
    blueprint: &Arc<Blueprint>,
    listeners: Vec<Listener>,
    count: usize,
) -> io::Result<Vec<JoinHandle<()>>> {
    let start_one = |number| {
        let shared = |(socket, entrance): &Listener| Ok((socket.share()?, *entrance));
        let listeners = listeners.iter().map(shared).collect::<io::Result<Vec<_>>>()?;
        let blueprint = blueprint.clone();
        let name = format!("worker-{number}");
        thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = run(&blueprint, listeners, number) {
                error!(%error, "a worker could not start");
            }
        })
    };
    (0..count).map(start_one).collect()
}

fn run(blueprint: &Blueprint, listeners: Vec<Listener>, number: usize) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let Blueprint { clients, metrics, drain, .. } = blueprint;
        let route = |upstream: &UpstreamBlueprint| {
            route(upstream, metrics.of_worker(&upstream.settings.name, number))
        };
        let routes = Routes::new(blueprint.upstreams.iter().map(route).collect());
        let terminator = |shared| Rc::new(Terminator::new(shared, metrics.handshakes()));
        let tls = blueprint.tls.clone().map(terminator);
        let seats = Rc::new(Seats::default());
        spawn_local(close(seats.clone(), drain.clone()));
        let proxy = Proxy::new(clients.clone(), routes.clone(), metrics.clone(), drain.clone());
        for (socket, entrance) in listeners {
            let (proxy, limits, tls) = (proxy.clone(), blueprint.callers.clone(), tls.clone());
            let (seats, drain) = (seats.clone(), drain.clone());
            let context = Context { entrance, proxy, limits, tls, seats, drain };
            spawn_local(listener::serve(socket, context));
        }
        spawn_local(sweep(routes));
        drain.ended().await;
        Ok(())
    })
}

fn route(upstream: &UpstreamBlueprint, metrics: WorkerMetrics) -> Route {
    let pool = Upstream::new(
        upstream.connector.clone(),
        upstream.pool.clone(),
        metrics.connections_active.clone(),
        metrics.connections_idle.clone(),
    );
    let settings = upstream.settings.clone();
    let authority = HeaderValue::from_bytes(settings.authority.as_bytes());
    let authority = authority.unwrap_or_else(|_| settings.authority.clone());
    Route { settings, authority, metrics, upstream: pool }
}

/// One task hears of the drain for all connections: none has to ask at each of its turns.
async fn close(seats: Rc<Seats>, drain: Drain) {
    drain.stopped().await;
    seats.close();
}

async fn sweep(routes: Routes) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        for route in routes.iter() {
            route.upstream.sweep();
        }
    }
}

/// How much longer than its limit an idle connection may be kept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
