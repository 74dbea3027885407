//! One upstream: its token, its connections and what its requests need, made from its config.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;

use crate::admin::status;
use crate::body::replay;
use crate::browsers::{Host, Hosts};
use crate::config::UpstreamConfig;
use crate::proxy::guard::{self, Guard};
use crate::proxy::inspect::LookLimits;
use crate::proxy::route::Settings;
use crate::proxy::strip::Strip;
use crate::proxy::vendor_body::Times;
use crate::readiness::Readiness;
use crate::telemetry::metrics::Metrics;
use crate::token::Tokens;
use crate::token::provider::{self, Provider};
use crate::token::refresher::{self, Refresher};
use crate::token::store::Store;
use crate::units::Scheme;
use crate::upstream::connect::{self, Connector};
use crate::upstream::{pool, tls};
use crate::vendor::path::PathPattern;
use crate::worker::UpstreamBlueprint;

use super::StartError;

/// What all upstreams have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<Store>,
    /// This process, as no other is called.
    pub(super) process: String,
    /// How long a lease lasts whose holder gives no sign of life.
    pub(super) lease: Duration,
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
}

/// One upstream, assembled but not running.
pub(super) struct Assembled {
    pub(super) blueprint: UpstreamBlueprint,
    pub(super) refresher: Refresher<Provider, Store>,
    pub(super) status: status::Upstream,
}

/// `place` is its own among all upstreams, `own_hosts` are the names of the listeners that it is
/// reached by.
pub(super) fn upstream(
    place: usize,
    config: UpstreamConfig,
    own_hosts: Hosts,
    shared: &Shared,
) -> Result<Assembled, StartError> {
    let plain = config.base_url.scheme() == Scheme::Http;
    let tls = tls::client_config(&config.tls, plain)
        .map_err(|source| StartError::Tls { upstream: config.name.clone(), source })?;
    let (refresher, tokens) = token(&config, tls.clone(), shared)?;
    let connector = connector(&config, (!plain).then_some(tls))?;
    let pool = pool(&config)?;
    let (vendor, base_url) = (config.vendor.name.clone(), config.base_url.to_string());
    let settings = Arc::new(settings(place, config, own_hosts, tokens.clone(), shared)?);
    let status = status::Upstream {
        name: settings.name.clone(),
        vendor,
        base_url,
        tokens,
        in_flight: settings.metrics.in_flight.clone(),
    };
    Ok(Assembled { blueprint: UpstreamBlueprint { settings, connector, pool }, refresher, status })
}

/// Its token alone.
pub(super) fn token(
    config: &UpstreamConfig,
    tls: Arc<rustls::ClientConfig>,
    shared: &Shared,
) -> Result<(Refresher<Provider, Store>, Tokens), StartError> {
    let UpstreamConfig { name, vendor, refresh, .. } = config;
    let provider = Provider::new(provider::Config {
        base_url: config.identity.to_string(),
        host: config.base_url.host().to_owned(),
        port: config.base_url.port(),
        connect_timeout: config.timeouts.connect,
        refresh: vendor.refresh.clone(),
        mint: vendor.mint.clone(),
        answer: vendor.answer.clone(),
        credentials: config.credentials.clone(),
        timeout: refresh.timeout,
        tls,
    })
    .map_err(|source| StartError::Provider { upstream: name.clone(), source })?;
    let refresher = refresher::Config {
        upstream: name.clone(),
        page: config.page.clone(),
        holder: format!("{}/{name}", shared.process),
        lease: shared.lease,
        inject: vendor.inject.clone(),
        seed: config.seed.clone(),
        old_access_token: vendor.old_access_token,
        schedule: refresh.schedule,
        limits: refresh.limits,
        vendor_interval: vendor.limits.min_interval,
        wait: refresh.wait,
    };
    let part = shared.readiness.register(name);
    let metrics = shared.metrics.token_of(name);
    Ok(Refresher::new(refresher, provider, shared.store.clone(), part, metrics))
}

pub(super) fn pool(config: &UpstreamConfig) -> Result<pool::Config, StartError> {
    Ok(pool::Config {
        first_byte: config.timeouts.first_byte,
        idle: config.timeouts.pool_idle,
        fresh: FRESH_CONNECTION,
        most_idle: MOST_IDLE_CONNECTIONS,
        http2: http2(config)?,
    })
}

pub(super) fn connector(
    config: &UpstreamConfig,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<Connector, StartError> {
    let UpstreamConfig { base_url, identity, timeouts, .. } = config;
    let connector = connect::Config {
        name: identity.host().to_owned(),
        host: base_url.host().to_owned(),
        port: base_url.port(),
        tls,
        http2: config.http2,
        timeout: timeouts.connect,
    };
    Connector::new(connector).map_err(|_| bad_host(config))
}

fn http2(config: &UpstreamConfig) -> Result<Option<pool::Http2>, StartError> {
    if !config.http2 {
        return Ok(None);
    }
    let authority = Authority::try_from(config.identity.authority());
    let authority = authority.map_err(|_| bad_host(config))?;
    Ok(Some(pool::Http2 { authority, pings: PINGS }))
}

fn settings(
    place: usize,
    config: UpstreamConfig,
    own_hosts: Hosts,
    tokens: Tokens,
    shared: &Shared,
) -> Result<Settings, StartError> {
    let authority = HeaderValue::from_str(config.identity.authority());
    let authority = authority.map_err(|_| bad_host(&config))?;
    let vendor_host: Host = config.identity.authority().parse().map_err(|_| bad_host(&config))?;
    let vendor_host = vendor_host.at_any_port();
    let UpstreamConfig { name, base_url, identity, vendor, rules, timeouts, .. } = config;
    // The patterns are the vendor's paths; requests have the base before them.
    let below = |patterns: Vec<PathPattern>| -> Vec<PathPattern> {
        patterns.iter().map(|pattern| pattern.below(base_url.prefix())).collect()
    };
    let shares_our_host = own_hosts.knows(identity.authority());
    let mut hosts = config.guard.hosts.and(own_hosts);
    hosts.extend([vendor_host.clone()]);
    let emulated = config.guard.emulated.into_iter().map(|call| call.below(base_url.prefix()));
    let emulated: Vec<_> = emulated.collect();
    let strip = Strip::new(&vendor.inject, vendor.strip.iter().map(|name| name.as_str()));
    let strip = if emulated.is_empty() { strip } else { strip.and_placeholders() };
    let guard = guard::Config {
        hosts,
        allowed: config.guard.allowed.below(base_url.prefix()),
        token_endpoints: below(config.guard.token_endpoints),
        emulated,
    };
    let rule_names = rules.iter().map(|(_, rule)| rule.name());
    Ok(Settings {
        authority,
        base_path: base_url.prefix().to_owned(),
        guard: Guard::new(guard, &shared.metrics),
        strip,
        tokens,
        look: LookLimits { bytes: config.look_limit, wait: timeouts.idle },
        body_limits: replay::Limits { kept: config.replay_limit, whole: config.limits.body },
        never_resend: below(config.never_resend),
        times: Times { idle: timeouts.idle, total: timeouts.total },
        proceed: timeouts.proceed,
        most_in_flight: config.limits.in_flight,
        envelope: vendor.envelope,
        metrics: Arc::new(shared.metrics.requests_of(&name, rule_names)),
        vendor_host,
        shares_our_host,
        rules,
        name,
        place,
    })
}

pub(super) fn bad_host(config: &UpstreamConfig) -> StartError {
    let (upstream, host) = (config.name.clone(), config.identity.host().to_owned());
    StartError::Host { upstream, host }
}

/// Long enough that a busy upstream's connections never count as stale.
const FRESH_CONNECTION: Duration = Duration::from_millis(20);
/// For one upstream in one worker.
const MOST_IDLE_CONNECTIONS: usize = 256;
/// A dead HTTP/2 connection takes all its streams with it, and is found out in half a minute.
const PINGS: pool::Pings =
    pool::Pings { interval: Duration::from_secs(20), timeout: Duration::from_secs(10) };
