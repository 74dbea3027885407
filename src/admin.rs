//! The operator's address: health, readiness, metrics, status and the page of it, and the three things
//! that can be asked for: a new token, the config once more, and more or less of a log.

mod answer;
pub mod history;
mod level;
pub mod live;
mod page;
mod reload;
pub mod status;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json as object;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, warn};

use crate::browsers::{self, Hosts, Pages, Stranger};
use crate::drain::Drain;
use crate::readiness::Readiness;
use crate::telemetry::metrics::Metrics;
use crate::token::store::Store;

use answer::{Answer, allow, json, text, whole};
use history::History;
use live::Live;
use page::{Seen, Sight};
pub use reload::{Asked, NotReloaded, Reloads};
use status::Upstream;

/// What the admin address shows.
#[derive(Debug)]
pub struct Admin {
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
    pub store: Arc<Store>,
    pub started: tokio::time::Instant,
    /// Replaced as a whole when the config changes.
    pub now: Arc<ArcSwap<Shown>>,
    pub reloads: Reloads,
    pub history: History,
    pub live: Live,
}

/// What the config says of it.
#[derive(Debug)]
pub struct Shown {
    /// Whose keys open it from another machine.
    pub keys: Keys,
    pub upstreams: Vec<Upstream>,
    /// By which it may be called.
    pub hosts: Hosts,
}

/// Says whether a head holds the key of a client that may act from another machine.
pub struct Keys(pub Box<dyn Fn(&HeaderMap) -> bool + Send + Sync>);

impl Keys {
    /// Whoever is on this machine needs none.
    fn open(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        peer.to_canonical().is_loopback() || (self.0)(headers)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// Serves until the drain has ended: readiness must be red while requests drain, and liveness
/// green.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, drain: Drain) {
    let mut open = VecDeque::<AbortHandle>::new();
    // They end with this.
    let mut beside = JoinSet::new();
    let keeper = admin.clone();
    beside.spawn(async move { keeper.history.keep(&keeper.metrics).await });
    let teller = admin.clone();
    beside.spawn(
        async move { teller.live.tell(|| page::now(&teller.sight(&teller.now.load()))).await },
    );
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, as a rule: trying at once would only fill the log.
                    warn!(%error, "the admin address could not accept a connection");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    continue;
                }
            },
            () = drain.ended() => return,
        };
        let (admin, drain) = (admin.clone(), drain.clone());
        let serving = tokio::spawn(async move {
            let service = service_fn(|request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(admin.answer(peer, request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    debug!(%error, "a connection to the admin address ended badly");
                },
                () = drain.ended() => {}
            }
        });
        // Answers are given at once: the oldest connection has nothing to ask any more. Or it is one
        // of few that listen, whose browsers come again.
        open.retain(|one| !one.is_finished());
        open.push_back(serving.abort_handle());
        if open.len() > MOST_CONNECTIONS {
            open.pop_front().iter().for_each(AbortHandle::abort);
        }
    }
}

impl Admin {
    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method(), request.uri().path());
        let reads = method == Method::GET || method == Method::HEAD;
        let pages = if reads { Pages::Own } else { Pages::None };
        let now = self.now.load_full();
        if let Err(stranger) = browsers::judge(&now.hosts, request.headers(), pages) {
            return self.refuse(stranger);
        }
        if !reads && !now.keys.open(peer.ip(), request.headers()) {
            return text(StatusCode::FORBIDDEN, NOT_FROM_AFAR);
        }
        match path {
            "/healthz" if reads => text(StatusCode::OK, "alive\n"),
            "/readyz" if reads => self.readyz(),
            "/metrics" if reads => self.metrics(),
            "/status" if reads => self.status(&now),
            "/" if reads => page::answer(&self.sight(&now), self.live.made_by()),
            "/events" if method == Method::GET => self.events(),
            "/events" => allow("GET"),
            "/healthz" | "/readyz" | "/metrics" | "/status" | "/" => allow("GET, HEAD"),
            "/-/reload" if method == Method::POST => self.reload().await,
            "/-/reload" => allow("POST"),
            "/-/log" => level::answer(request).await,
            _ => match path.strip_prefix("/-/refresh/") {
                Some(name) if method == Method::POST => refresh(&now, name).await,
                Some(_) => allow("POST"),
                None => text(StatusCode::NOT_FOUND, INDEX),
            },
        }
    }

    fn refuse(&self, stranger: Stranger) -> Answer {
        let (reason, why) = match stranger {
            Stranger::Host => ("host", "not by this name: `admin.allowed_hosts` adds one\n"),
            Stranger::Browser => ("browser", "not for web pages, nor for browsers to change\n"),
        };
        self.metrics.guard_refusals(reason).inc();
        text(StatusCode::FORBIDDEN, why)
    }

    fn readyz(&self) -> Answer {
        let ready = self.readiness.is_ready();
        let parts = self.readiness.parts().into_iter().map(|(name, reason)| {
            let ready = reason.is_none();
            (name.to_string(), object!({ "ready": ready, "reason": reason }))
        });
        let body = object!({
            "ready": ready,
            "stopping": self.readiness.is_stopping(),
            "upstreams": parts.collect::<serde_json::Map<_, _>>(),
        });
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, &body)
    }

    fn metrics(&self) -> Answer {
        match self.metrics.encode() {
            Ok(body) => whole(StatusCode::OK, "text/plain; version=0.0.4", body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    fn status(&self, now: &Shown) -> Answer {
        let parts = self.readiness.parts();
        let upstreams = now.upstreams.iter().map(|upstream| {
            let part = parts.iter().find(|(part, _)| **part == *upstream.name);
            let waits_for = part.map_or(Some("starting"), |(_, reason)| reason.as_deref());
            (upstream.name.clone(), upstream.to_json(waits_for))
        });
        let body = object!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "ready": self.readiness.is_ready(),
            "stopping": self.readiness.is_stopping(),
            "store": status::store(&self.store),
            "upstreams": upstreams.collect::<serde_json::Map<_, _>>(),
        });
        json(StatusCode::OK, &body)
    }

    /// The page's changes, as they come.
    fn events(&self) -> Answer {
        match self.live.listen() {
            Some(frames) => answer::frames(frames),
            None => text(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_LISTEN),
        }
    }

    fn sight(&self, now: &Shown) -> Sight {
        let totals = self.metrics.totals();
        let mut waiting: HashMap<_, _> = self.readiness.parts().into_iter().collect();
        let upstreams = now.upstreams.iter().map(|upstream| {
            let name = upstream.name.as_str();
            let now = totals.get(name).copied().unwrap_or_default();
            Seen {
                name: upstream.name.clone(),
                vendor: upstream.vendor.clone(),
                base_url: upstream.base_url.clone(),
                waits_for: waiting.remove(name).unwrap_or_else(|| Some("unknown".to_owned())),
                token: upstream.tokens.status(),
                in_flight: upstream.in_flight.get(),
                minutes: self.history.of(name, now),
            }
        });
        Sight {
            upstreams: upstreams.collect(),
            stopping: self.readiness.is_stopping(),
            store: self.store.condition(),
            sealed_with: self.store.vault().key().map(|key| key.to_string()),
            up_for: self.started.elapsed(),
        }
    }

    async fn reload(&self) -> Answer {
        match self.reloads.ask().await {
            Ok(()) => json(StatusCode::OK, &object!({ "outcome": "ok" })),
            Err(error) => text(error.status(), &format!("{error}\n")),
        }
    }
}

async fn refresh(now: &Shown, name: &str) -> Answer {
    let Some(upstream) = now.upstreams.iter().find(|upstream| upstream.name == name) else {
        let names: Vec<_> = now.upstreams.iter().map(|u| u.name.as_str()).collect();
        let body = format!("no upstream {name:?}; there are: {}\n", names.join(", "));
        return text(StatusCode::NOT_FOUND, &body);
    };
    match upstream.tokens.refresh_now().await {
        Ok(live) => {
            json(StatusCode::OK, &object!({ "outcome": "ok", "generation": live.generation }))
        }
        Err(error) => json(
            StatusCode::BAD_GATEWAY,
            &object!({ "outcome": "failed", "detail": error.to_string() }),
        ),
    }
}

/// At one time, so that enough files are left for callers.
const MOST_CONNECTIONS: usize = 64;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

const NOT_FROM_AFAR: &str = "from another machine this needs `Authorization: Bearer KEY`, with the \
                             key of a client that has `admin = true`\n";

const TOO_MANY_LISTEN: &str =
    "as many pages are open as can be told of changes; load the page again\n";

const INDEX: &str = "tokenward\n
GET  /                        the page for people
GET  /healthz                 200 while the process lives
GET  /readyz                  200 with a token in hand for every upstream, else 503 and why not
GET  /metrics                 for Prometheus
GET  /status                  tokens, ends, budgets, last refreshes, the store (JSON)
GET  /events                  what changes on the page (server-sent events)
GET  /-/log                   what is logged
POST /-/log                   level=FILTER, and for=10m for a while; no level: the usual one again
POST /-/refresh/{upstream}    a new token now
POST /-/reload                the config once more, and all files that it names; 200 when it serves
";

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    #[test]
    fn p21_only_whoever_is_here_or_has_a_key_may_act() {
        let keys = Keys(Box::new(|headers| headers.contains_key("x-key")));
        let (nothing, mut key) = (HeaderMap::new(), HeaderMap::new());
        key.insert("x-key", HeaderValue::from_static("1"));
        for (peer, is_here) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("::ffff:10.0.0.1", false),
            ("fe80::1", false),
        ] {
            let peer: IpAddr = peer.parse().expect("an address");
            assert_eq!(keys.open(peer, &nothing), is_here, "{peer}");
            assert!(keys.open(peer, &key), "{peer}");
        }
    }
}
