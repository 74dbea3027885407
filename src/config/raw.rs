//! The config file as it is written: every key, with what it means to the operator.
//!
//! Nothing here has a default and nothing is compared with anything: that is the parser's.

mod listening;
mod logging;
mod one_or_more;
mod traces;
mod upstream;

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::secrets::SecretSource;
use crate::units::{Listen, Size, Span};

pub use listening::{RawClientsTls, RawSocket};
pub use logging::{RawAccess, RawLog};
pub use one_or_more::{Described, OneOrMore};
pub use traces::RawTraces;
pub use upstream::*;

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Threads that carry requests. A core is one that the process may use: CPU affinity
    /// counts, and the quota of its cgroup, rounded down (1.5 CPUs: one). Left out: one for
    /// each core.
    pub workers: Option<NonZeroU16>,
    /// `true` permits core dumps, which hold tokens and credentials.
    #[schemars(extend("default" = false))]
    pub core_dumps: Option<bool>,
    pub log: RawLog,
    /// Left out: there are none.
    pub traces: Option<RawTraces>,
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

/// Health, readiness, metrics and status.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawAdmin {
    /// `host:port`.
    #[schemars(extend("default" = "127.0.0.1:9464"))]
    pub listen: Option<Listen>,
    /// Permits an admin address that other machines reach: they read it without a key, and
    /// `POST` with an admin's.
    #[schemars(extend("default" = false))]
    pub allow_remote: Option<bool>,
    /// Names by which it may be called, beside localhost, 127.0.0.1, `[::1]` and the address that
    /// it listens on. If it listens on all addresses (`0.0.0.0`, `[::]`), any IP address names
    /// it. Left out: none.
    pub allowed_hosts: Option<Vec<String>>,
}

/// The address for all upstreams.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawGateway {
    /// One address for all upstreams, which are told apart by a path prefix, the `Host` or an
    /// absolute-form target. Left out: none.
    pub listen: Option<Listen>,
    /// Permits an address that other machines reach, where `clients.file` says who may call.
    #[schemars(extend("default" = false))]
    pub allow_remote: Option<bool>,
    pub socket: RawSocket,
}

/// Who may call by TCP, and what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawClients {
    /// The list of clients, relative to the config file. Left out: a mistake.
    pub file: Option<PathBuf>,
    pub tls: RawClientsTls,
}

/// How much a caller may ask of the process, whichever upstream it calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Callers' connections at one time, tunnels too. Beyond it, those of the same worker that
    /// have waited longest without a request make room. Fewer where the process may open too
    /// few files.
    #[schemars(extend("default" = 10000))]
    pub connections: Option<NonZeroU32>,
    /// Path and query of a request, as sent; at most 65,534 bytes.
    #[schemars(extend("default" = "16KiB"))]
    pub target_bytes: Option<Size>,
    /// All header lines of a request together, or all its trailers.
    #[schemars(extend("default" = "64KiB"))]
    pub header_bytes: Option<Size>,
    /// The number of these lines.
    #[schemars(extend("default" = 100))]
    pub headers: Option<NonZeroU16>,
    /// From the first byte of a request's head to its last.
    #[schemars(extend("default" = "30s"))]
    pub head: Option<Span>,
    /// Between requests of one connection, and before the first.
    #[schemars(extend("default" = "75s"))]
    pub keep_alive: Option<Span>,
    /// How long a caller may neither send more of its body nor read more of its answer.
    #[schemars(extend("default" = "90s"))]
    pub idle: Option<Span>,
}

/// Where tokens outlive the process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStore {
    /// `file`, `redis`, `kubernetes`, or `memory`: tokens end with the process.
    #[schemars(extend("default" = "file"))]
    pub kind: Option<StoreKind>,
    /// The file of a `file` store, relative to the config file. `.lock` and `.write` stand
    /// beside it.
    #[schemars(extend("default" = "tokens.json"))]
    pub path: Option<PathBuf>,
    /// `true`: other gateways on this machine use the same file.
    #[schemars(extend("default" = false))]
    pub share: Option<bool>,
    /// The server of a `redis` store, which may hold a password; or of a `kubernetes` store,
    /// where it is not the pod's own.
    pub url: Option<SecretSource>,
    /// Of a user of the `redis` server.
    pub username: Option<SecretSource>,
    /// That user's.
    pub password: Option<SecretSource>,
    /// What the keys of a `redis` store begin with.
    #[schemars(extend("default" = "tokenward:"))]
    pub key_prefix: Option<String>,
    /// The sentinels that know a `redis` store's server, as `host:port`, instead of `url`.
    pub sentinels: Option<Vec<String>>,
    /// The name by which the sentinels know it.
    pub master: Option<String>,
    /// The Secret of a `kubernetes` store.
    #[schemars(extend("default" = "tokenward-tokens"))]
    pub secret: Option<String>,
    /// Where that Secret is. Left out: the service account's.
    pub namespace: Option<String>,
    /// The folder with the service account's `token`, `ca.crt` and `namespace`. Left out: the pod's,
    /// `/var/run/secrets/kubernetes.io/serviceaccount`.
    pub service_account: Option<PathBuf>,
    pub tls: RawStoreTls,
    /// Seals the tokens that are stored. Of a list, the first seals and all open. Left out:
    /// they are kept as they are.
    pub encryption_key: Option<OneOrMore<SecretSource>>,
    /// How long a replica that has died in the middle of a refresh keeps the others from
    /// refreshing; 1 s to 5 min.
    #[schemars(extend("default" = "6s"))]
    pub lease: Option<Span>,
}

/// The TLS connection to a store. Paths are relative to the config file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStoreTls {
    /// Trusted beside the system's roots; by a `kubernetes` store alone, and by default the
    /// service account's `ca.crt`.
    pub ca_file: Option<PathBuf>,
    /// Our certificate chain in PEM, for a server that asks for one.
    pub client_cert: Option<PathBuf>,
    /// Its private key in PEM.
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
    /// How long after the signal new connections are still taken, for load balancers that take a while to
    /// notice; less than `grace`.
    #[schemars(extend("default" = "0s"))]
    pub minimum: Option<Span>,
    /// How long after the signal what has not ended is cut.
    #[schemars(extend("default" = "25s"))]
    pub grace: Option<Span>,
}

#[cfg(test)]
mod tests;
