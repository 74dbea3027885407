//! The table of one upstream as it is written.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawSocket;
use crate::config::secrets::SecretSource;
use crate::units::{BaseUrl, Listen, Size, Span};
use crate::upstream::tls;
use crate::vendor::rules::RawRule;

/// One API, and who may call it how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstream {
    /// The name of a built-in description, or the path of one, relative to the config file.
    /// Left out: a mistake.
    pub vendor: Option<String>,
    /// An address for this upstream alone. Left out: none.
    pub listen: Option<Listen>,
    /// Permits an address that other machines reach, where `clients.file` says who may call.
    #[schemars(extend("default" = false))]
    pub allow_remote: Option<bool>,
    pub socket: RawSocket,
    /// Where the API is. A path in it is put before every path. Left out: the vendor's.
    pub base_url: Option<BaseUrl>,
    /// `true`: HTTP/2 where the vendor's TLS offers it, else HTTP/1.1.
    #[schemars(extend("default" = false))]
    pub http2: Option<bool>,
    /// What the vendor's description asks for, by name. `refresh_token` is the first
    /// one, the seed, for vendors that refresh. Left out: a mistake.
    pub credentials: BTreeMap<String, SecretSource>,
    /// `false` by the name of a header or query item leaves out what the description injects;
    /// the caller's own then passes. Left out: everything is injected.
    pub inject: BTreeMap<String, bool>,
    /// Rules that are tried before the vendor's own.
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
    #[schemars(extend("default" = "10GiB"))]
    pub body: Option<Size>,
    /// Requests whose answers have not ended, tunnels too, of all callers together.
    #[schemars(extend("default" = 1000))]
    pub in_flight: Option<NonZeroU32>,
}

/// Sending a rejected request once more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawReplay {
    /// The largest body that is kept for a second send.
    #[schemars(extend("default" = "1MiB"))]
    pub max_body: Option<Size>,
    /// Path patterns whose requests are never sent twice, beside the vendor's own. Left out:
    /// none.
    pub never: Option<Vec<String>>,
}

/// Looking into answers for a rejection.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLook {
    /// How much of an answer is looked at, decompressed.
    #[schemars(extend("default" = "64KiB"))]
    pub max_bytes: Option<Size>,
}

/// Renewing the token.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRefresh {
    /// How long before its end a token is renewed; never more than 20 % of its life.
    #[schemars(extend("default" = "5m"))]
    pub margin: Option<Span>,
    /// The least time between renewals by schedule, and never less than the vendor's.
    #[schemars(extend("default" = "1s"))]
    pub min_interval: Option<Span>,
    /// How often the refresh token is used at least, so that it does not lapse. Left out: two
    /// thirds of its life, if that is known.
    pub keep_alive: Option<Span>,
    /// How many refreshes rejections may cause in a minute.
    #[schemars(extend("default" = 20))]
    pub per_minute: Option<NonZeroU32>,
    /// Calls in the vendor's day; 0: no cap. Left out: the vendor's.
    pub daily_limit: Option<u32>,
    /// How long a caller is held while a refresh is under way.
    #[schemars(extend("default" = "10s"))]
    pub wait: Option<Span>,
    /// How long a call of the token endpoint may take.
    #[schemars(extend("default" = "10s"))]
    pub timeout: Option<Span>,
}

/// Who may call, and what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawGuard {
    /// Names by which callers may address the gateway, beside localhost, 127.0.0.1, `[::1]`, the
    /// address that it listens on and the vendor's host. Left out: none.
    pub allowed_hosts: Option<Vec<String>>,
    /// In capitals. Left out: all.
    pub methods: Option<Vec<String>>,
    /// Path patterns, where `*` is any run of characters, `/` too; with a method before it, for
    /// that alone. Left out: all.
    pub paths: Option<Vec<String>>,
    /// A list of the vendor's description, by its name. Left out: none.
    pub preset: Option<String>,
    /// What a caller meets at the vendor's token endpoint: `refuse`, or `emulate`, a
    /// placeholder for SDKs that insist on fetching a token.
    #[schemars(extend("default" = "refuse"))]
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
    /// The vendor's name in SNI, in the certificate and in `Host`, where `base_url` is an
    /// address or another way to it. Left out: the host of `base_url`.
    pub server_name: Option<String>,
    /// The oldest version that is spoken, for calls and for the token endpoint: `1.2` or `1.3`.
    #[schemars(extend("default" = "1.2"))]
    pub min_version: Option<tls::Version>,
}

/// How long the vendor may be silent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTimeouts {
    /// Name, TCP and TLS together. A further address of the name is tried every 250 ms, or at
    /// once when one refuses.
    #[schemars(extend("default" = "5s"))]
    pub connect: Option<Span>,
    /// From the last move of the request's body to the head of the answer.
    #[schemars(extend("default" = "60s"))]
    pub first_byte: Option<Span>,
    /// Between two pieces of an answer; and the longest that a look waits for more.
    #[schemars(extend("default" = "90s"))]
    pub idle: Option<Span>,
    /// From a request's head to the end of its answer; not for tunnels. Left out: no bound.
    pub total: Option<Span>,
    /// How long a body whose caller expects a `100 Continue` waits for the vendor's.
    #[schemars(extend("default" = "1s"))]
    #[serde(rename = "continue")]
    pub proceed: Option<Span>,
    /// How long a connection to the vendor may lie unused; keep it below the vendor's own
    /// limit.
    #[schemars(extend("default" = "55s"))]
    pub pool_idle: Option<Span>,
}
