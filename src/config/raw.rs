//! The config file as it is written: every key, with what it means to the operator.
//!
//! Nothing here has a default and nothing is compared with anything: that is the parser's.

mod listening;
mod one_or_more;

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::secrets::SecretSource;
use crate::telemetry::log::Format;
use crate::units::{BaseUrl, Listen, Size, Span};
use crate::upstream::tls;
use crate::vendor::rules::RawRule;

pub use listening::{RawClientsTls, RawSocket};
pub use one_or_more::{Described, OneOrMore};

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Threads that carry requests. Left out: one for each core.
    pub workers: Option<NonZeroU16>,
    /// Permits core dumps, which hold tokens.
    pub core_dumps: Option<bool>,
    pub log: RawLog,
    pub admin: RawAdmin,
    /// One address for all upstreams. Left out: only the upstreams' own addresses.
    pub gateway: Option<RawGateway>,
    /// Who may call. Left out: everybody on this machine.
    pub clients: Option<RawClients>,
    pub limits: RawLimits,
    pub store: RawStore,
    pub shutdown: RawShutdown,
    /// One API each, by a name of the operator's choice: it is part of paths, labels and logs.
    #[schemars(extend("propertyNames" = serde_json::json!({ "pattern": "^[a-z0-9_-]+$" })))]
    pub upstream: BTreeMap<String, RawUpstream>,
}

/// Lines on standard error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// `text` for people or `json` for machines.
    pub format: Option<Format>,
    /// `error`, `warn`, `info`, `debug` or `trace`; or a filter such as `info,tokenward=debug`.
    pub level: Option<String>,
}

/// Health, readiness, metrics and status.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawAdmin {
    pub listen: Option<Listen>,
    /// Permits an address that other machines can reach.
    pub allow_remote: Option<bool>,
    /// Hosts by which it may be called, beside localhost and the address that it listens on.
    pub allowed_hosts: Option<Vec<String>>,
}

/// The address for all upstreams, which are told apart by a path prefix, the `Host` or an
/// absolute-form target.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawGateway {
    pub listen: Option<Listen>,
    /// Permits an address that other machines can reach, where `clients.file` says who may call.
    pub allow_remote: Option<bool>,
    pub socket: RawSocket,
}

/// Who may call by TCP, and what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawClients {
    /// The list of clients, relative to the config file.
    pub file: Option<PathBuf>,
    pub tls: RawClientsTls,
}

/// How much a caller may ask of the process, whichever upstream it calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Callers' connections at one time.
    pub connections: Option<NonZeroU32>,
    /// The length of a request's target.
    pub target_bytes: Option<Size>,
    /// All field lines of a request's head together.
    pub header_bytes: Option<Size>,
    /// Field lines of a request's head.
    pub headers: Option<NonZeroU16>,
    /// From the first byte of a request's head to its last.
    pub head: Option<Span>,
    /// Between requests of one connection.
    pub keep_alive: Option<Span>,
    /// How long a caller may neither send more of its body nor read more of its answer.
    pub idle: Option<Span>,
}

/// Where tokens outlive the process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStore {
    pub kind: Option<StoreKind>,
    /// The file of a `file` store, relative to the config file.
    pub path: Option<PathBuf>,
    /// Other gateways on this machine may use the same file.
    pub share: Option<bool>,
    /// The server of a `redis` store, which may hold a password; or of a `kubernetes` store, where
    /// it is not the cluster's own.
    pub url: Option<SecretSource>,
    /// Of the `redis` server.
    pub username: Option<SecretSource>,
    pub password: Option<SecretSource>,
    /// What the keys of a `redis` store begin with.
    pub key_prefix: Option<String>,
    /// The sentinels that know a `redis` store's server, as `host:port`, instead of `url`.
    pub sentinels: Option<Vec<String>>,
    /// The name by which the sentinels know it.
    pub master: Option<String>,
    /// The Secret of a `kubernetes` store.
    pub secret: Option<String>,
    /// Left out: the service account's.
    pub namespace: Option<String>,
    /// The folder with the service account's `token`, `ca.crt` and `namespace`.
    pub service_account: Option<PathBuf>,
    pub tls: RawStoreTls,
    /// Encrypts the tokens that are stored. Of a list, the first encrypts and all decrypt.
    pub encryption_key: Option<OneOrMore<SecretSource>>,
    /// How long a replica that has died in the middle of a refresh keeps the others waiting.
    pub lease: Option<Span>,
}

/// The TLS connection to a store. Paths are relative to the config file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStoreTls {
    /// Trusted beside the system's roots; by a kubernetes store alone, and by default the service
    /// account's `ca.crt`.
    pub ca_file: Option<PathBuf>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    File,
    Redis,
    Kubernetes,
    Memory,
}

/// The way out after SIGTERM.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawShutdown {
    /// How long requests under way may take to end.
    pub grace: Option<Span>,
}

/// One API, and who may call it how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstream {
    /// The name of a built-in description, or the path of one, relative to the config file.
    pub vendor: Option<String>,
    /// An address for this upstream alone.
    pub listen: Option<Listen>,
    /// Permits an address that other machines can reach, where `clients.file` says who may call.
    pub allow_remote: Option<bool>,
    pub socket: RawSocket,
    /// Left out: the vendor's.
    pub base_url: Option<BaseUrl>,
    /// Speaks HTTP/2 to the vendor where its TLS offers it.
    pub http2: Option<bool>,
    /// What the vendor's description asks for, by name; `refresh_token` is the first one, the seed.
    pub credentials: BTreeMap<String, SecretSource>,
    /// `false` by the name of a header or query item that the description injects: left out.
    pub inject: BTreeMap<String, bool>,
    /// Rules that come before the vendor's own.
    pub reject: Vec<RawRule>,
    pub replay: RawReplay,
    pub look: RawLook,
    pub refresh: RawRefresh,
    pub guard: RawGuard,
    pub tls: RawTls,
    pub limits: RawUpstreamLimits,
    pub timeouts: RawTimeouts,
}

/// How much of one upstream its callers may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstreamLimits {
    /// The largest request body.
    pub body: Option<Size>,
    /// Requests whose answers have not ended.
    pub in_flight: Option<NonZeroU32>,
}

/// Sending a rejected request once more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawReplay {
    /// The largest body that is kept for a second try.
    pub max_body: Option<Size>,
    /// Path patterns whose requests are never sent twice, beside the vendor's own.
    pub never: Option<Vec<String>>,
}

/// Looking into answers for a rejection.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLook {
    /// How much of a body is looked at, after decompression.
    pub max_bytes: Option<Size>,
}

/// Renewing the token.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRefresh {
    /// How long before its end a token is renewed; never more than 20 % of its life.
    pub margin: Option<Span>,
    /// The least time between renewals by schedule.
    pub min_interval: Option<Span>,
    /// How often the refresh token is used at least, so that it does not lapse.
    pub keep_alive: Option<Span>,
    /// How many refreshes rejections may cause in a minute.
    pub per_minute: Option<NonZeroU32>,
    /// Calls in the vendor's day; 0: no cap. Left out: the description's.
    pub daily_limit: Option<u32>,
    /// How long a caller is held while a refresh is under way.
    pub wait: Option<Span>,
    /// How long a call of the token endpoint may take.
    pub timeout: Option<Span>,
}

/// Who may call, and what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawGuard {
    /// Hosts by which callers may address the gateway, beside localhost, the address that it
    /// listens on and the vendor's host.
    pub allowed_hosts: Option<Vec<String>>,
    /// Left out: all.
    pub methods: Option<Vec<String>>,
    /// Path patterns, each perhaps with a method before it; left out: all.
    pub paths: Option<Vec<String>>,
    /// A list of the vendor's description, by its name.
    pub preset: Option<String>,
    /// What a caller meets at the vendor's token endpoint.
    pub token_endpoint: Option<TokenEndpoint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenEndpoint {
    /// 403.
    Refuse,
    /// A placeholder for a token, for clients that insist on fetching one.
    Emulate,
}

/// The TLS connection to the vendor. Paths are relative to the config file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTls {
    /// Certificates in PEM that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate chain in PEM, for a vendor that asks for one.
    pub client_cert: Option<PathBuf>,
    /// Its private key in PEM.
    pub client_key: Option<PathBuf>,
    /// The vendor's name, where `base_url` names an address or another way to it.
    pub server_name: Option<String>,
    /// The oldest version that is spoken.
    pub min_version: Option<tls::Version>,
}

/// How long the vendor may be silent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTimeouts {
    /// Until the connection stands, TLS included.
    pub connect: Option<Span>,
    /// From the request to the first byte of the answer.
    pub first_byte: Option<Span>,
    /// Between two pieces of an answer.
    pub idle: Option<Span>,
    /// From a request's head to the end of its answer. Left out: no bound.
    pub total: Option<Span>,
    /// How long a body whose caller expects a `100 Continue` waits for the vendor's.
    #[serde(rename = "continue")]
    pub proceed: Option<Span>,
    /// How long a connection to the vendor may lie unused.
    pub pool_idle: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    const EXAMPLE: &str = include_str!("../../config/tokenward.toml");

    fn read(text: &str) -> RawConfig {
        let (document, mut report) = Document::parse("config/tokenward.toml", text);
        let config = document.read(&mut report);
        assert!(report.is_empty(), "{report}");
        config.unwrap()
    }

    /// The example with its optional settings switched on: they stand behind a `#` without a space.
    fn example_in_full() -> String {
        let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn p32_the_example_is_a_config_without_mistakes() {
        let config = read(EXAMPLE);
        assert!(config.upstream.values().all(|upstream| !upstream.credentials.is_empty()));
    }

    #[test]
    fn p32_the_example_shows_every_key() {
        let mut config = read(&example_in_full());
        let lacks_a_key = |shown: String| shown.contains("None");
        let is_full = |mut upstream: RawUpstream| {
            // A rule has keys that exclude each other.
            let rules = std::mem::take(&mut upstream.reject);
            !rules.is_empty()
                && !upstream.inject.is_empty()
                && !lacks_a_key(format!("{upstream:?}"))
        };
        let mut upstreams = std::mem::take(&mut config.upstream).into_values();
        assert!(upstreams.any(is_full));
        assert!(!lacks_a_key(format!("{config:?}")), "{config:#?}");
    }

    #[test]
    fn p32_unknown_keys_are_mistakes_at_every_level() {
        let text = "nope = 1\nlog.nope = 1\nadmin.nope = 1\ngateway.nope = 1\nclients.nope = 1\nstore.nope = 1\n\
                    limits.nope = 1\n\
                    shutdown.nope = 1\n[upstream.x]\nnope = 1\nreplay.nope = 1\nlook.nope = 1\n\
                    refresh.nope = 1\nguard.nope = 1\ntls.nope = 1\ntimeouts.nope = 1\n\
                    limits.nope = 1\n\
                    credentials.a = { nope = \"x\" }\n[[upstream.x.reject]]\nnope = 1\n";
        let (document, mut report) = Document::parse("c", text);
        document.read::<RawConfig>(&mut report).unwrap();
        let unknown = report.messages().filter(|message| *message == "unknown key `nope`").count();
        assert_eq!(unknown, text.matches("nope").count(), "{report}");
    }

    #[test]
    fn p32_values_of_the_wrong_kind_are_mistakes() {
        let text = "workers = 0\nlog.format = \"xml\"\nadmin.listen = 9464\nstore.kind = \"disk\"\n\
                    shutdown.grace = 10\n[upstream.x]\nbase_url = \"x\"\ninject.a = \"no\"\n\
                    replay.max_body = \"1 M\"\nrefresh.daily_limit = -1\nrefresh.per_minute = 0\n\
                    guard.token_endpoint = \"emulat\"\ncredentials.a = 5\ncredentials.b = {}\n";
        let (document, mut report) = Document::parse("c", text);
        document.read::<RawConfig>(&mut report).unwrap();
        let expected = [
            "`workers` is out of range",
            "`format` cannot be `xml`",
            "`listen`: a port without its host",
            "`kind` cannot be `disk`",
            "`grace`: a number without a unit of time",
            "`base_url`: the URL lacks its scheme",
            "`a` is a string",
            "`max_body`: unknown unit of size",
            "`daily_limit` is out of range",
            "`per_minute` is out of range",
            "`token_endpoint` cannot be `emulat`",
            "`a` is a whole number",
            "`b` is a table that does not fit",
        ];
        assert_eq!(report.messages().collect::<Vec<_>>(), expected, "{report}");
    }
}
