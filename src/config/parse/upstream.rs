//! One upstream: what the vendor's description says, and what the operator says over it.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::raw::{RawClients, RawGuard, RawRefresh, RawUpstream, TokenEndpoint};
use crate::config::secrets::SecretSource;
use crate::config::{RefreshConfig, Timeouts, UpstreamConfig, UpstreamLimits};
use crate::document::nearest;
use crate::proxy::guard;
use crate::secret::Secret;
use crate::token::budget::Limits;
use crate::token::schedule::Schedule;
use crate::units::Scheme;
use crate::vendor::description::Description;
use crate::vendor::path::PathPattern;
use crate::vendor::rules::{RawRule, Rule, Rules};
use crate::vendor::template::Values;

use super::allow::{RawAllow, allow_list};
use super::listen::Written;
use super::{LOOK_LIMIT, Parser, built_in_names, looks_like_path};

impl Parser<'_> {
    pub(super) fn upstream(
        &mut self,
        name: &str,
        mut raw: RawUpstream,
        has_gateway: bool,
        clients: Option<&RawClients>,
    ) -> Option<UpstreamConfig> {
        let good = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
        };
        if name.is_empty() || !name.bytes().all(good) {
            let problem = "a name has lower-case letters, digits, `-` and `_`: it is part of paths";
            self.report.push(self.document.mistake_at_key(&["upstream", name], problem));
        }
        if raw.listen.is_none() && !has_gateway {
            let problem =
                format!("`upstream.{name}.listen` is missing, and there is no `[gateway]`");
            self.note(&["upstream", name], problem);
        }
        let (address, socket) = (raw.listen.take(), std::mem::take(&mut raw.socket));
        let table = &["upstream", name];
        let listen = self
            .listener(Written { table, address, allow_remote: raw.allow_remote, socket }, clients);
        self.refuse_no_time(name, &raw);
        let mut vendor = self.vendor(name, raw.vendor.as_deref())?;
        let off: Vec<_> =
            raw.inject.iter().filter(|(_, on)| !**on).map(|(n, _)| n.clone()).collect();
        if let Err(item) = vendor.without_items(&off) {
            let problem = format!("vendor {} injects nothing of this name", vendor.name);
            self.report
                .push(self.document.mistake_at_key(&["upstream", name, "inject", &item], problem));
        }
        let (credentials, seed) = self.credentials(name, &vendor, &raw.credentials);
        let rules = self.rules(name, raw.reject, &vendor);
        let mut never_resend = vendor.never_resend.clone();
        never_resend.extend(self.never_resend(name, raw.replay.never.as_deref()));
        let guard = self.guard(name, &raw.guard, &vendor);
        let timeouts = Timeouts {
            connect: raw.timeouts.connect.map_or(CONNECT, Duration::from),
            first_byte: raw.timeouts.first_byte.map_or(FIRST_BYTE, Duration::from),
            idle: raw.timeouts.idle.map_or(IDLE, Duration::from),
            total: raw.timeouts.total.map(Duration::from),
            proceed: raw.timeouts.proceed.map_or(CONTINUE, Duration::from),
            pool_idle: raw.timeouts.pool_idle.map_or(POOL_IDLE, Duration::from),
        };
        let limits = UpstreamLimits {
            body: raw.limits.body.map_or(BODY, |size| size.as_len() as u64),
            in_flight: raw.limits.in_flight.map_or(IN_FLIGHT, NonZeroU32::get),
        };
        let base_url = raw.base_url.unwrap_or_else(|| vendor.base_url.clone());
        let (tls, identity) = self.tls(name, raw.tls, &base_url);
        let http2 = raw.http2.unwrap_or_default();
        if http2 && base_url.scheme() == Scheme::Http {
            let problem = "HTTP/2 is agreed on in the TLS handshake, and this `base_url` has none";
            self.note(&["upstream", name, "http2"], problem);
        }
        Some(UpstreamConfig {
            name: name.to_owned(),
            listen,
            base_url,
            identity,
            http2,
            rules: rules?,
            page: page(name, &vendor, &credentials),
            credentials,
            seed,
            look_limit: raw.look.max_bytes.map_or(LOOK_LIMIT, |size| size.as_len()),
            replay_limit: raw.replay.max_body.map_or(REPLAY_LIMIT, |size| size.as_len()),
            never_resend,
            refresh: refresh(&raw.refresh, &vendor),
            guard,
            tls,
            limits,
            timeouts,
            vendor,
        })
    }

    /// With no time for something, nothing could ever be served.
    fn refuse_no_time(&mut self, upstream: &str, raw: &RawUpstream) {
        for (table, key, span) in [
            ("timeouts", "connect", raw.timeouts.connect),
            ("timeouts", "first_byte", raw.timeouts.first_byte),
            ("timeouts", "idle", raw.timeouts.idle),
            ("timeouts", "total", raw.timeouts.total),
            ("refresh", "keep_alive", raw.refresh.keep_alive),
            ("refresh", "wait", raw.refresh.wait),
            ("refresh", "timeout", raw.refresh.timeout),
        ] {
            if span.is_some_and(|span| Duration::from(span).is_zero()) {
                let problem = format!("`{table}.{key}` must be more than nothing");
                self.note(&["upstream", upstream, table, key], problem);
            }
        }
    }

    fn vendor(&mut self, upstream: &str, named: Option<&str>) -> Option<Description> {
        let path = ["upstream", upstream, "vendor"];
        let Some(named) = named else {
            let problem =
                format!("`upstream.{upstream}.vendor` is missing: a built-in name, or a path");
            self.note(&["upstream", upstream], problem);
            return None;
        };
        let file = self.folder.join(named);
        let looks_like_path = looks_like_path(named);
        if super::built_in(named).is_none() && !looks_like_path {
            let names = built_in_names();
            let mut mistake =
                self.document.mistake(&path, format!("there is no built-in vendor {named:?}"));
            mistake = mistake
                .expected(format!("expected {} or the path of a description", names.join(", ")));
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            if let Some(near) = nearest(named, &known) {
                mistake = mistake.help(format!("did you mean {near:?}?"));
            }
            self.report.push(mistake);
            return None;
        }
        if looks_like_path {
            self.files.push(file.clone());
        }
        let source = if looks_like_path { file.display().to_string() } else { named.to_owned() };
        match super::vendor(&source) {
            Ok(description) => Some(description),
            Err(report) => {
                self.report.merge(report);
                None
            }
        }
    }

    fn credentials(
        &mut self,
        upstream: &str,
        vendor: &Description,
        raw: &std::collections::BTreeMap<String, SecretSource>,
    ) -> (Values, Option<Secret>) {
        let mut values = Values::new();
        let mut seed = None;
        for (name, source) in raw {
            let path = ["upstream", upstream, "credentials", name];
            let is_seed = name == SEED && vendor.refresh.is_some();
            if !is_seed && !vendor.credentials.contains(name) {
                let problem = format!("vendor {} has no credential `{name}`", vendor.name);
                let mut known: Vec<&str> = vendor.credentials.iter().map(String::as_str).collect();
                known.extend(vendor.refresh.is_some().then_some(SEED));
                let expected = format!("expected {}", known.join(", "));
                let mistake = self.document.mistake_at_key(&path, problem);
                self.report.push(mistake.expected(expected));
                continue;
            }
            let found = match vendor.account.as_ref() == Some(name) {
                true => self.identifier(&path, source),
                false => self.secret(&path, source),
            };
            let Some(secret) = found else { continue };
            if is_seed {
                seed = Some(secret);
            } else {
                values.insert(name.clone(), secret);
            }
        }
        for name in vendor.credentials.iter().filter(|name| !raw.contains_key(*name)) {
            let problem = format!("`upstream.{upstream}.credentials.{name}` is missing");
            let mistake = self.document.mistake(&["upstream", upstream, "credentials"], problem);
            self.report
                .push(mistake.help("give a text, { env = \"NAME\" } or { file = \"PATH\" }"));
        }
        (values, seed)
    }

    fn rules(&mut self, upstream: &str, raw: Vec<RawRule>, vendor: &Description) -> Option<Rules> {
        let mut rules = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let index = index.to_string();
            match Rule::new(raw) {
                Ok(rule) if vendor.answer.is_success_for(&rule) => {
                    let problem = "this rule matches an answer that the vendor calls a success";
                    self.note(&["upstream", upstream, "reject", &index], problem);
                }
                Ok(rule) => rules.push(rule),
                Err(error) => {
                    let path = ["upstream", upstream, "reject", &index, error.key()];
                    self.note(&path, error.to_string());
                }
            }
        }
        rules.extend(vendor.rules.iter().cloned());
        Rules::new(rules)
            .map_err(|error| self.note(&["upstream", upstream, "reject"], error.to_string()))
            .ok()
    }

    fn guard(&mut self, upstream: &str, raw: &RawGuard, vendor: &Description) -> guard::Config {
        let emulates = raw.token_endpoint == Some(TokenEndpoint::Emulate);
        if emulates && vendor.emulated.is_empty() {
            let path = ["upstream", upstream, "guard", "token_endpoint"];
            let problem =
                format!("the description of vendor {} does not say how to emulate it", vendor.name);
            let mistake = self.document.mistake(&path, problem);
            let help = "add a table `[emulate.body]` to it, with what the vendor answers";
            self.report.push(mistake.help(help));
        }
        let lists = RawAllow {
            methods: raw.methods.as_deref(),
            paths: raw.paths.as_deref(),
            preset: raw.preset.as_deref(),
        };
        let at = ["upstream", upstream, "guard"];
        guard::Config {
            hosts: self.hosts(&["upstream", upstream, "guard"], raw.allowed_hosts.as_deref()),
            allowed: allow_list(self.document, self.report, &at, lists, vendor),
            token_endpoints: vendor.token_endpoints.clone(),
            emulated: if emulates { vendor.emulated.clone() } else { Vec::new() },
        }
    }

    fn never_resend(&mut self, upstream: &str, raw: Option<&[String]>) -> Vec<PathPattern> {
        let mut patterns = Vec::new();
        for (index, text) in raw.unwrap_or_default().iter().enumerate() {
            match PathPattern::new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    let path = ["upstream", upstream, "replay", "never", &index.to_string()];
                    self.note(&path, error.to_string());
                }
            }
        }
        patterns
    }
}

/// The name of the account's page in the store. Where the description does not say what names an
/// account, each upstream is one.
fn page(upstream: &str, vendor: &Description, credentials: &Values) -> String {
    let account = vendor.account.as_ref().and_then(|name| credentials.get(name));
    match account {
        Some(account) => format!("{}-{}", vendor.name, account.fingerprint()),
        None => upstream.to_owned(),
    }
}

fn refresh(raw: &RawRefresh, vendor: &Description) -> RefreshConfig {
    let min_interval = raw.min_interval.map_or(MIN_INTERVAL, Duration::from);
    RefreshConfig {
        schedule: Schedule {
            margin: raw.margin.map_or(MARGIN, Duration::from),
            min_interval: min_interval.max(vendor.limits.min_interval),
            keep_alive: raw.keep_alive.map(Duration::from),
        },
        limits: Limits {
            per_day: raw.daily_limit.unwrap_or(vendor.limits.per_day),
            day_offset: vendor.limits.day_offset,
            per_minute: raw.per_minute.map_or(PER_MINUTE, NonZeroU32::get),
        },
        wait: raw.wait.map_or(WAIT, Duration::from),
        timeout: raw.timeout.map_or(TOKEN_CALL, Duration::from),
    }
}

/// The credential that is not the operator's to keep: the vendor may replace it.
const SEED: &str = "refresh_token";

const CONNECT: Duration = Duration::from_secs(5);
const FIRST_BYTE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(90);
/// Clients that wait for a `100 Continue` give up after a second or so, and send.
const CONTINUE: Duration = Duration::from_secs(1);
/// Shorter than what most servers allow an idle connection (60 s and more).
const POOL_IDLE: Duration = Duration::from_secs(55);
const BODY: u64 = 10 << 30;
const IN_FLIGHT: u32 = 1000;
const REPLAY_LIMIT: usize = 1024 * 1024;
const MARGIN: Duration = Duration::from_secs(300);
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const PER_MINUTE: u32 = 20;
const WAIT: Duration = Duration::from_secs(10);
const TOKEN_CALL: Duration = Duration::from_secs(10);
