//! Which upstream a request is for, and what its target is there.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request};

use crate::body::replay::{self, ReplayBody};
use crate::browsers::{self, Host, Hosts, Pages};
use crate::framing::CallerBody;
use crate::telemetry::metrics::{RequestMetrics, WorkerMetrics};
use crate::token::Tokens;
use crate::upstream::pool::Upstream;
use crate::vendor::description::Envelope;
use crate::vendor::path::PathPattern;
use crate::vendor::rules::Rules;

use super::error::ProxyError;
use super::guard::{Guard, Refusal};
use super::inspect::LookLimits;
use super::strip::Strip;
use super::vendor_body::Times;

/// One upstream as one worker serves it.
#[derive(Debug)]
pub struct Route {
    pub settings: Arc<Settings>,
    /// The `Host` that the vendor is to see.
    pub authority: HeaderValue,
    /// This worker's own, too: its memory, and that of the authority, is written to by no other.
    pub metrics: WorkerMetrics,
    /// This worker's own connections.
    pub upstream: Upstream<ReplayBody<CallerBody>>,
}

/// What all workers share of one upstream.
#[derive(Debug)]
pub struct Settings {
    pub name: String,
    /// Its place among all upstreams.
    pub place: usize,
    pub vendor_host: Host,
    /// The vendor runs on this machine, as a simulated one does: a `Host` cannot tell whether the
    /// gateway or the vendor is meant, so it says nothing.
    pub shares_our_host: bool,
    /// The `Host` that the vendor is to see.
    pub authority: HeaderValue,
    /// By which the vendor is reached: `http` or `https`.
    pub scheme: &'static str,
    /// Put before every path; empty, or with a slash at its beginning and none at its end.
    pub base_path: String,
    pub guard: Guard,
    pub strip: Strip,
    pub tokens: Tokens,
    pub rules: Rules,
    pub look: LookLimits,
    pub body_limits: replay::Limits,
    pub never_resend: Vec<PathPattern>,
    pub times: Times,
    /// How long a body waits for the vendor's `100 Continue`, when its caller does.
    pub proceed: Duration,
    /// Requests whose answers have not ended.
    pub most_in_flight: u32,
    pub envelope: Envelope,
    pub metrics: Arc<RequestMetrics>,
}

/// How a request came in.
#[derive(Clone, Copy, Debug)]
pub enum Entrance {
    /// At the listener of one upstream.
    Upstream(usize),
    /// At the one address of all upstreams.
    Gateway,
    /// By a connection that has outlived its upstream.
    Gone,
}

/// All upstreams of a worker.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Rc<Route>>,
}

/// A route, and the target as the vendor is to see it, before anything is injected.
#[derive(Debug)]
pub struct Found<'a> {
    pub route: &'a Rc<Route>,
    pub target: PathAndQuery,
}

impl Routes {
    pub fn new(routes: Vec<Route>) -> Self {
        Self { routes: routes.into_iter().map(Rc::new).collect() }
    }

    /// The one upstream that an entrance leads to.
    pub fn at(&self, entrance: Entrance) -> Option<&Rc<Route>> {
        match entrance {
            Entrance::Upstream(index) => self.routes.get(index),
            Entrance::Gateway | Entrance::Gone => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rc<Route>> {
        self.routes.iter()
    }

    /// # Errors
    /// When no upstream is meant, or the base path makes the target longer than one can be. What names
    /// routes and hosts is not for those whom no guard would receive: they get a refusal.
    pub fn find<B>(
        &self,
        entrance: Entrance,
        request: &Request<B>,
    ) -> Result<Found<'_>, ProxyError> {
        self.locate(entrance, request).map_err(|error| match error {
            ProxyError::NoRoute(_) => {
                self.refusal(entrance, request).map_or(error, ProxyError::from)
            }
            error => error,
        })
    }

    fn locate<B>(&self, entrance: Entrance, request: &Request<B>) -> Result<Found<'_>, ProxyError> {
        if request.method() == Method::CONNECT {
            return Err(ProxyError::Tunnel);
        }
        let target = request.uri().path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        // An absolute-form target (`http_proxy=`) names the vendor itself.
        let absolute = request.uri().authority().map(|authority| authority.as_str());
        let (route, target) = match (entrance, absolute) {
            (Entrance::Upstream(index), None) => (&self.routes[index], target),
            (Entrance::Upstream(index), Some(host)) => {
                let route = &self.routes[index];
                if !route.settings.guard.knows(host) {
                    return Err(self.unknown_host(host));
                }
                (route, target)
            }
            (Entrance::Gateway, None) => {
                let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
                self.by_host_or_prefix(host.unwrap_or_default(), target)?
            }
            (Entrance::Gone, _) => {
                return Err(ProxyError::NoRoute("this upstream has been removed".to_owned()));
            }
            // It may also name the gateway, as some clients do with every target.
            (Entrance::Gateway, Some(host)) => {
                if !self.iter().any(|route| route.settings.guard.knows(host)) {
                    return Err(self.unknown_host(host));
                }
                self.by_host_or_prefix(host, target)?
            }
        };
        // Without its base path it would be another target, and pass the guard as such.
        let target = route.settings.with_base(target).ok_or(ProxyError::TargetTooLong)?;
        Ok(Found { route, target })
    }

    fn by_host_or_prefix(
        &self,
        host: &str,
        target: PathAndQuery,
    ) -> Result<(&Rc<Route>, PathAndQuery), ProxyError> {
        let named = self.by_host(host);
        if let Some(route) = named.filter(|route| !route.settings.shares_our_host) {
            return Ok((route, target));
        }
        let whole = target.as_str();
        let after = whole.strip_prefix('/').unwrap_or(whole);
        let name = &after[..after.find(['/', '?']).unwrap_or(after.len())];
        let route = self.routes.iter().find(|route| route.settings.name == name);
        let Some(route) = route else {
            let names = self.iter().map(|r| format!("/{}/…", r.settings.name));
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(ProxyError::NoRoute(format!("paths here begin with {names}")));
        };
        let rest = &after[name.len()..];
        let slash = if rest.starts_with('/') { "" } else { "/" };
        // A part of a target, with a slash before it, is a target; were it not, sending the whole
        // would ask for something else.
        let target = PathAndQuery::try_from(format!("{slash}{rest}"));
        Ok((route, target.map_err(|_| ProxyError::TargetTooLong)?))
    }

    /// Why whoever asks is no one to be told anything; counted.
    fn refusal<B>(&self, entrance: Entrance, request: &Request<B>) -> Option<Refusal> {
        let headers = request.headers();
        // A program that takes the gateway for its proxy calls others by their names.
        let named = request.uri().authority().and_then(|it| it.as_str().parse::<Host>().ok());
        let as_proxy: Option<Hosts> = named.map(|host| [host].into_iter().collect());
        if as_proxy.is_some_and(|hosts| browsers::judge(&hosts, headers, Pages::None).is_ok()) {
            return None;
        }
        let mut refused = None;
        for route in self.at(entrance).map_or(&*self.routes, std::slice::from_ref) {
            let guard = &route.settings.guard;
            let refusal = guard.receive(headers).err()?;
            // To one of the guards the host was known, then.
            if refused.is_none() || refusal == Refusal::Browser {
                refused = Some((guard, refusal));
            }
        }
        let (guard, refusal) = refused?;
        guard.count(refusal);
        Some(refusal)
    }

    fn by_host(&self, host: &str) -> Option<&Rc<Route>> {
        self.routes.iter().find(|route| route.settings.vendor_host.is(host))
    }

    fn unknown_host(&self, host: &str) -> ProxyError {
        let known: Vec<_> = self.iter().map(|r| r.settings.vendor_host.to_string()).collect();
        let known = known.join(", ");
        // Before the `@` may stand a key.
        let host = host.rsplit('@').next().unwrap_or_default();
        ProxyError::NoRoute(format!("{host:?} is none of the vendors' hosts: {known}"))
    }
}

impl Settings {
    /// The vendor's host and port, for people.
    pub fn server(&self) -> (&str, u16) {
        let authority = self.authority.to_str().unwrap_or_default();
        let usual = if self.scheme == "https" { 443 } else { 80 };
        // What stands within brackets is no port.
        match authority.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, port),
            _ => (authority, usual),
        }
    }

    fn with_base(&self, target: PathAndQuery) -> Option<PathAndQuery> {
        // `*` is the server as a whole, which has no place below a path.
        if self.base_path.is_empty() || target == "*" {
            return Some(target);
        }
        PathAndQuery::try_from(format!("{}{target}", self.base_path)).ok()
    }
}
