//! The operator's file, read, checked and typed.

mod builtin;
pub mod clients;
pub mod fixed;
pub mod parse;
pub mod raw;
pub mod schema;
pub mod secrets;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::browsers::Hosts;
use crate::framing;
use crate::proxy::access;
use crate::proxy::clients::Config as Client;
use crate::proxy::guard;
use crate::proxy::tls as callers_tls;
use crate::secret::Secret;
use crate::telemetry::log::Format;
use crate::telemetry::traces;
use crate::token::budget::Limits;
use crate::token::schedule::Schedule;
use crate::token::store::{kubernetes, redis, seal};
use crate::units::{BaseUrl, FileMode, Listen};
use crate::upstream::tls;
use crate::vendor::description::Description;
use crate::vendor::path::PathPattern;
use crate::vendor::rules::Rules;
use crate::vendor::template::Values;

use clients::ClientsFile;

/// Everything that a gateway is started with, or reloads. It can hold no bad value.
#[derive(Debug)]
pub struct Config {
    pub admin: SocketAddr,
    /// Names of the admin address, beside its own.
    pub admin_hosts: Hosts,
    /// One address for all upstreams.
    pub gateway: Option<ListenConfig>,
    /// Who may call by TCP; `None`: everybody who can.
    pub clients: Option<ClientsConfig>,
    /// What callers by TCP speak; `None`: plain HTTP.
    pub callers_tls: Option<callers_tls::Config>,
    pub limits: CallerLimits,
    pub store: StoreConfig,
    /// Threads that serve requests; `None`: one for each core.
    pub workers: Option<usize>,
    pub log: LogConfig,
    /// `None`: there are none.
    pub traces: Option<traces::Config>,
    pub shutdown: ShutdownConfig,
    pub upstreams: Vec<UpstreamConfig>,
    /// The kernel may write this process' memory to a file when it crashes.
    pub core_dumps: bool,
    /// What was read for it, but for the list of clients and callers' TLS, which name their own.
    pub files: Vec<PathBuf>,
    /// What is no mistake, but should be known: files that others can read, say.
    pub warnings: Vec<String>,
}

/// The way out, in times from the signal on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// So long new connections are taken: whoever sends them may not know yet.
    pub minimum: Duration,
    /// What has not ended by then is cut.
    pub grace: Duration,
}

/// The clients, and where they were read.
#[derive(Clone, Debug)]
pub struct ClientsConfig {
    pub file: ClientsFile,
    pub clients: Vec<Client>,
    /// What was read for them.
    pub files: Vec<PathBuf>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    pub address: Listen,
    /// Of a Unix socket.
    pub socket: SocketConfig,
}

/// Who may connect to a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    pub mode: FileMode,
    /// `None`: whoever runs the gateway.
    pub owner: Option<u32>,
    pub group: Option<u32>,
}

/// What callers may ask of the process, whichever upstream they call.
#[derive(Clone, Copy, Debug)]
pub struct CallerLimits {
    /// At one time.
    pub connections: usize,
    pub request: framing::Limits,
}

/// Where tokens are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub place: StorePlace,
    /// The first seals the tokens, all open them. None: they are kept as they are.
    pub keys: Vec<seal::Key>,
    /// How long a lease lasts whose holder gives no sign of life.
    pub lease: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// Several gateways on one machine may share it.
    File {
        path: PathBuf,
        share: bool,
    },
    Memory,
    Redis {
        redis: redis::Config,
        /// `None`: spoken to without TLS.
        tls: Option<tls::Config>,
    },
    Kubernetes {
        kubernetes: kubernetes::Config,
        /// Whose `ca_file`, if there is one, is the only one that is trusted.
        tls: tls::Config,
    },
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, share: false } => path.display().fmt(f),
            Self::File { path, share: true } => write!(f, "{}, shared", path.display()),
            Self::Memory => f.write_str("memory: tokens end with the process"),
            Self::Kubernetes {
                kubernetes: kubernetes::Config { server, namespace, secret, .. },
                ..
            } => {
                write!(f, "kubernetes: the Secret {secret} in {namespace}, at {server}")
            }
            Self::Redis { redis, tls: None } => write!(f, "redis at {}", redis.server),
            Self::Redis { redis, tls: Some(_) } => write!(f, "redis at {}, by TLS", redis.server),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub format: Format,
    pub level: String,
    /// `None`: there is no access log.
    pub access: Option<access::Config>,
}

#[derive(Debug)]
pub struct UpstreamConfig {
    pub name: String,
    pub listen: Option<ListenConfig>,
    /// The way to the vendor.
    pub base_url: BaseUrl,
    /// The same by the vendor's own name, which its certificate, SNI and `Host` have: another only
    /// where `tls.server_name` says so.
    pub identity: BaseUrl,
    /// Offered to the vendor, which may decline.
    pub http2: bool,
    pub vendor: Description,
    /// The page in the store: of the account, so that all who use it share it.
    pub page: String,
    /// The operator's rules before the vendor's.
    pub rules: Rules,
    pub credentials: Values,
    /// The first refresh token.
    pub seed: Option<Secret>,
    pub look_limit: usize,
    pub replay_limit: usize,
    pub never_resend: Vec<PathPattern>,
    pub refresh: RefreshConfig,
    pub guard: guard::Config,
    pub tls: tls::Config,
    pub limits: UpstreamLimits,
    pub timeouts: Timeouts,
}

/// How much of one upstream its callers may use.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamLimits {
    /// Bytes of a request's body.
    pub body: u64,
    /// Requests whose answers have not ended.
    pub in_flight: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct RefreshConfig {
    pub schedule: Schedule,
    pub limits: Limits,
    /// The longest that a request is held while a refresh is under way.
    pub wait: Duration,
    /// The longest that one call of the token endpoint may take.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// From a request's head to the end of its answer.
    pub total: Option<Duration>,
    /// How long a body waits for the vendor's `100 Continue`, when its caller does.
    pub proceed: Duration,
    /// How long a connection may lie unused.
    pub pool_idle: Duration,
}
