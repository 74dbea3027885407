//! One upstream: its token, its connections and what its requests need, made from its config, and from what
//! of it runs already.

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
use crate::token::refresher::{self, Refresher, Remote};
use crate::token::store::Store;
use crate::units::Scheme;
use crate::upstream::connect::{self, Connector};
use crate::upstream::pool;
use crate::vendor::path::PathPattern;
use crate::worker::{UpstreamBlueprint, Way};

use super::StartError;
use super::trust::Trust;

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

/// One upstream, found to be good; nothing of it has begun.
pub(super) struct Prepared {
    pub(super) config: UpstreamConfig,
    trust: Trust,
    way: Arc<Way>,
    reached: Reached,
    authority: HeaderValue,
    vendor_host: Host,
    token: TokenSettings,
    /// Of another token, or of other settings for the same one.
    provider: Option<Provider>,
}

/// One upstream as it runs: what is the same in another config goes on.
pub(super) struct Running {
    pub(super) name: String,
    trust: Trust,
    way: Arc<Way>,
    reached: Reached,
    token: TokenSettings,
    tokens: Tokens,
    pub(super) remote: Remote<Provider>,
}

/// One upstream, assembled.
pub(super) struct Assembled {
    pub(super) blueprint: UpstreamBlueprint,
    pub(super) status: status::Upstream,
    pub(super) running: Running,
    /// To be run.
    pub(super) refresher: Option<Refresher<Provider, Store>>,
    /// To be told to the refresher that runs.
    pub(super) change: Option<(refresher::Config, Provider)>,
    /// Of another token, which nobody asks for any more.
    pub(super) retired: Option<Remote<Provider>>,
}

/// How connections are made; those that there are serve on while it is the same.
#[derive(PartialEq)]
struct Reached {
    scheme: Scheme,
    host: String,
    port: u16,
    authority: String,
    http2: bool,
    connect: Duration,
    first_byte: Duration,
    pool_idle: Duration,
}

/// How the token is had; its refresher goes on undisturbed while that is the same.
#[derive(Clone)]
struct TokenSettings {
    provider: provider::Config,
    refresher: refresher::Config,
}

impl Prepared {
    /// # Errors
    /// When TLS cannot be set up, or no certificate could have the host's name.
    pub(super) fn new(
        config: UpstreamConfig,
        running: Option<&Running>,
        holder: String,
        shared: &Shared,
    ) -> Result<Self, StartError> {
        let plain = config.base_url.scheme() == Scheme::Http;
        let trust = Trust::new(&config.tls, plain, running.map(|it| &it.trust))
            .map_err(|source| StartError::Tls { upstream: config.name.clone(), source })?;
        let reached = Reached::of(&config);
        let same_way = running.filter(|it| it.reached == reached && it.trust.is_same(&trust));
        let way = match same_way {
            Some(running) => running.way.clone(),
            None => Arc::new(way(&config, (!plain).then(|| trust.client.clone()))?),
        };
        let same_page = running.filter(|it| it.token.refresher.page == config.page);
        let holder = same_page.map_or(holder, |it| it.token.refresher.holder.clone());
        let token = token_settings(&config, trust.client.clone(), holder, shared);
        let provider = match same_page {
            Some(running) if running.token.same_as(&token) => None,
            _ => Some(Provider::new(token.provider.clone()).map_err(|source| {
                StartError::Provider { upstream: config.name.clone(), source }
            })?),
        };
        let authority = HeaderValue::from_str(config.identity.authority());
        let authority = authority.map_err(|_| bad_host(&config))?;
        let vendor_host: Host =
            config.identity.authority().parse().map_err(|_| bad_host(&config))?;
        let vendor_host = vendor_host.at_any_port();
        Ok(Self { config, trust, way, reached, authority, vendor_host, token, provider })
    }

    /// `place` is its own among all upstreams, `own_hosts` are the names of the listeners that it is
    /// reached by.
    pub(super) fn assemble(
        self,
        place: usize,
        own_hosts: Hosts,
        running: Option<Running>,
        shared: &Shared,
    ) -> Assembled {
        let Self { config, trust, way, reached, authority, vendor_host, token, provider } = self;
        let name = config.name.clone();
        let (vendor, base_url) = (config.vendor.name.clone(), config.base_url.to_string());
        let wait = token.refresher.wait;
        let (mut refresher, mut change, mut retired) = (None, None, None);
        let same = |it: &Running| it.token.refresher.page == token.refresher.page;
        let (tokens, remote) = match (running, provider) {
            (Some(running), provider) if same(&running) => {
                change = provider.map(|provider| (token.refresher.clone(), provider));
                (running.tokens.held_for(wait), running.remote)
            }
            (running, Some(provider)) => {
                retired = running.map(|running| running.remote);
                let part = shared.readiness.register(&name);
                let metrics = shared.metrics.token_of(&name);
                let (store, config) = (shared.store.clone(), token.refresher.clone());
                let (mut new, tokens) = Refresher::new(config, provider, store, part, metrics);
                let remote = new.remote();
                refresher = Some(new);
                (tokens, remote)
            }
            (_, None) => unreachable!("only a token that goes on needs no provider"),
        };
        let known = (authority, vendor_host);
        let settings = Arc::new(settings(place, config, own_hosts, tokens.clone(), known, shared));
        let status = status::Upstream {
            name: name.clone(),
            vendor,
            base_url,
            tokens: tokens.clone(),
            in_flight: settings.metrics.in_flight.clone(),
        };
        let blueprint = UpstreamBlueprint { settings, way: way.clone() };
        let running = Running { name, trust, way, reached, token, tokens, remote };
        Assembled { blueprint, status, running, refresher, change, retired }
    }
}

impl Reached {
    fn of(config: &UpstreamConfig) -> Self {
        let UpstreamConfig { base_url, identity, http2, timeouts, .. } = config;
        Self {
            scheme: base_url.scheme(),
            host: base_url.host().to_owned(),
            port: base_url.port(),
            authority: identity.authority().to_owned(),
            http2: *http2,
            connect: timeouts.connect,
            first_byte: timeouts.first_byte,
            pool_idle: timeouts.pool_idle,
        }
    }
}

impl TokenSettings {
    fn same_as(&self, other: &Self) -> bool {
        self.provider.same_as(&other.provider) && self.refresher == other.refresher
    }
}

/// Its token alone, for a process that ends soon.
pub(super) fn token(
    config: &UpstreamConfig,
    tls: Arc<rustls::ClientConfig>,
    shared: &Shared,
) -> Result<(Refresher<Provider, Store>, Tokens), StartError> {
    let holder = format!("{}/{}", shared.process, config.name);
    let TokenSettings { provider, refresher } = token_settings(config, tls, holder, shared);
    let provider = Provider::new(provider)
        .map_err(|source| StartError::Provider { upstream: config.name.clone(), source })?;
    let part = shared.readiness.register(&config.name);
    let metrics = shared.metrics.token_of(&config.name);
    Ok(Refresher::new(refresher, provider, shared.store.clone(), part, metrics))
}

fn token_settings(
    config: &UpstreamConfig,
    tls: Arc<rustls::ClientConfig>,
    holder: String,
    shared: &Shared,
) -> TokenSettings {
    let UpstreamConfig { name, vendor, refresh, .. } = config;
    let provider = provider::Config {
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
    };
    let refresher = refresher::Config {
        upstream: name.clone(),
        page: config.page.clone(),
        holder,
        lease: shared.lease,
        inject: vendor.inject.clone(),
        seed: config.seed.clone(),
        old_access_token: vendor.old_access_token,
        schedule: refresh.schedule,
        limits: refresh.limits,
        vendor_interval: vendor.limits.min_interval,
        wait: refresh.wait,
    };
    TokenSettings { provider, refresher }
}

fn way(config: &UpstreamConfig, tls: Option<Arc<rustls::ClientConfig>>) -> Result<Way, StartError> {
    Ok(Way { connector: connector(config, tls)?, pool: pool(config)? })
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
    (authority, vendor_host): (HeaderValue, Host),
    shared: &Shared,
) -> Settings {
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
    Settings {
        authority,
        scheme: base_url.scheme().as_str(),
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
    }
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
