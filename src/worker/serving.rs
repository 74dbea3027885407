//! What one worker serves, and how that changes under the requests that it has.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use crate::body::replay::ReplayBody;
use crate::drain::Drain;
use crate::framing::{self, CallerBody};
use crate::proxy::Proxy;
use crate::proxy::caller::{Context, Limits, Seats};
use crate::proxy::listener;
use crate::proxy::now::{Now, Serving};
use crate::proxy::route::{Entrance, Route, Routes};
use crate::proxy::tls::Terminator;
use crate::telemetry::metrics::WorkerMetrics;
use crate::upstream::pool::Upstream;

use super::{Blueprint, Change, Listener, Surroundings, UpstreamBlueprint, Way};

/// All that one worker serves.
pub(super) struct Serves {
    number: usize,
    around: Surroundings,
    now: Now,
    proxy: Proxy,
    limits: Rc<Limits>,
    tls: Rc<RefCell<Option<Rc<Terminator>>>>,
    seats: Rc<Seats>,
    pools: Vec<(Arc<Way>, Upstream<ReplayBody<CallerBody>>)>,
    retired: Retired,
    open: Vec<(Listener, Rc<Context>)>,
    /// Sockets that were given up, for as long as connections are left that came by them.
    closed: Vec<(Listener, Weak<Context>)>,
}

/// Routes that others have taken the place of, for as long as requests of theirs are under way.
type Retired = Rc<RefCell<Vec<Weak<Route>>>>;

impl Serves {
    pub(super) fn new(around: Surroundings, number: usize) -> Self {
        let now =
            Now::new(Serving { clients: None, routes: Routes::new(Vec::new()), access: None });
        let Surroundings { metrics, drain } = around.clone();
        let (seats, retired) = (Rc::new(Seats::default()), Retired::default());
        spawn_local(close(seats.clone(), drain.clone()));
        spawn_local(sweep(now.clone(), retired.clone()));
        let limits = Limits {
            connections: Cell::new(0),
            request: framing::Limits::of_refusal().into(),
            gauge: metrics.callers(),
        };
        Self {
            number,
            around,
            proxy: Proxy::new(now.clone(), metrics, drain),
            now,
            limits: Rc::new(limits),
            tls: Rc::default(),
            seats,
            pools: Vec::new(),
            retired,
            open: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// In one step, between two turns of everything else on this thread.
    pub(super) fn change(&mut self, change: Change) {
        let Change { blueprint, opened, done } = change;
        let Blueprint { upstreams, listeners, clients, connections, requests, access, tls } =
            &*blueprint;
        self.limits.connections.set(*connections);
        self.limits.request.set(*requests);
        let metrics = &self.around.metrics;
        let terminator = |shared| Rc::new(Terminator::new(shared, metrics.handshakes()));
        self.tls.replace(tls.clone().map(terminator));

        let mut pools = std::mem::take(&mut self.pools);
        let routes = upstreams.iter().map(|upstream| self.route(upstream, &mut pools)).collect();
        let serving = Serving {
            clients: clients.clone(),
            routes: Routes::new(routes),
            access: access.clone().map(Rc::new),
        };
        let before = self.now.replace(serving);
        pools.iter().for_each(|(_, pool)| pool.retire());
        let mut retired = self.retired.borrow_mut();
        retired.retain(|route| route.strong_count() > 0);
        retired.extend(before.routes.iter().map(Rc::downgrade));
        drop(retired);

        self.listen(upstreams, listeners, opened);
        // Whoever has asked may have gone.
        let _ = done.send(());
    }

    /// With the connections that there are, if the way is the same as before.
    fn route(
        &mut self,
        upstream: &UpstreamBlueprint,
        before: &mut Vec<(Arc<Way>, Upstream<ReplayBody<CallerBody>>)>,
    ) -> Route {
        let UpstreamBlueprint { settings, way } = upstream;
        let metrics = self.around.metrics.of_worker(&settings.name, self.number);
        let kept = before.iter().position(|(known, _)| Arc::ptr_eq(known, way));
        let pool = match kept {
            Some(at) => before.swap_remove(at).1,
            None => pool(way, &metrics),
        };
        self.pools.push((way.clone(), pool.clone()));
        let authority = HeaderValue::from_bytes(settings.authority.as_bytes());
        let authority = authority.unwrap_or_else(|_| settings.authority.clone());
        Route { settings: settings.clone(), authority, metrics, upstream: pool }
    }

    fn listen(
        &mut self,
        upstreams: &[UpstreamBlueprint],
        listeners: &[Listener],
        opened: Vec<super::Opened>,
    ) {
        let open = std::mem::take(&mut self.open);
        for (known, context) in open {
            match listeners.iter().find(|it| it.number == known.number) {
                Some(listener) => self.open.push((listener.clone(), context)),
                None => {
                    context.close();
                    self.closed.push((known, Rc::downgrade(&context)));
                }
            }
        }
        for (number, socket) in opened {
            let Some(listener) = listeners.iter().find(|it| it.number == number) else { continue };
            let context = Rc::new(Context {
                entrance: Cell::new(Entrance::Gone),
                proxy: self.proxy.clone(),
                limits: self.limits.clone(),
                tls: self.tls.clone(),
                seats: self.seats.clone(),
                socket: number,
                closed: CancellationToken::new(),
                drain: self.around.drain.clone(),
            });
            self.open.push((listener.clone(), context.clone()));
            spawn_local(listener::serve(socket, context));
        }
        for (listener, context) in &self.open {
            context.entrance.set(entrance(listener, upstreams));
        }
        self.closed.retain(|(listener, context)| {
            let context = context.upgrade();
            context.iter().for_each(|it| it.entrance.set(entrance(listener, upstreams)));
            context.is_some()
        });
    }
}

fn entrance(listener: &Listener, upstreams: &[UpstreamBlueprint]) -> Entrance {
    let Some(name) = &listener.upstream else { return Entrance::Gateway };
    let place = upstreams.iter().position(|upstream| upstream.settings.name == *name);
    place.map_or(Entrance::Gone, Entrance::Upstream)
}

fn pool(way: &Way, metrics: &WorkerMetrics) -> Upstream<ReplayBody<CallerBody>> {
    Upstream::new(
        way.connector.clone(),
        way.pool.clone(),
        metrics.connections_active.clone(),
        metrics.connections_idle.clone(),
    )
}

/// One task hears of the drain for all connections: none has to ask at each of its turns.
async fn close(seats: Rc<Seats>, drain: Drain) {
    drain.parting().await;
    seats.part();
    drain.stopped().await;
    seats.close();
}

async fn sweep(now: Now, retired: Retired) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        now.get().routes.iter().for_each(|route| route.upstream.sweep());
        let left = retired.borrow().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        left.iter().for_each(|route| route.upstream.sweep());
    }
}

/// How much longer than its limit an idle connection may be kept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
