//! A Redis server, where replicas of the gateway meet.
//!
//! A page is one hash, `<prefix>{<page>}`. Every write is one script, which compares, writes, sets
//! how long the key is kept and publishes, so nobody sees a half of it. What was published may be
//! lost; whoever relies on it reads the page now and then.

mod connection;
mod keeper;
mod listen;
mod problem;
mod script;
mod sentinel;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use rustls::ClientConfig;

use crate::secret::Secret;

use super::{Backend, Revision, StoreError, Written, Wrote};
use connection::Connector;
use keeper::Keeper;
use listen::Changes;
use problem::{Problem, Then};
use script::{Order, Save};

/// Where the server is, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub server: Server,
    /// A user of its access control lists; `None`: the default one.
    pub username: Option<Secret>,
    pub password: Option<Secret>,
    pub database: u32,
    /// What every key, and the channel, begins with.
    pub key_prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    At(Place),
    /// The sentinels know which server is the master of this name.
    Watched {
        sentinels: Vec<Place>,
        master: String,
    },
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host is a name or an address, without brackets.
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// The pages of one Redis server. It connects when it is first asked, and again after a break.
#[derive(Debug)]
pub struct RedisStore {
    config: Arc<Config>,
    keeper: Keeper,
    changes: Changes,
}

impl RedisStore {
    /// With `tls`, sentinels and server are spoken to by TLS. Nothing is connected yet.
    pub fn new(config: Config, tls: Option<Arc<ClientConfig>>) -> Self {
        let config = Arc::new(config);
        let connector = Arc::new(Connector::new(config.clone(), tls));
        let changes = Changes::new(connector.clone());
        Self { config, keeper: Keeper::new(connector), changes }
    }

    /// The braces make all keys of one page, of which there is one now, neighbours in a cluster.
    fn key(&self, name: &str) -> String {
        format!("{}{{{name}}}", self.config.key_prefix)
    }

    /// Asks once, and once more over another connection when the first has turned out to be dead:
    /// servers close idle ones, and a former master's are of no use.
    async fn ask(&self, order: &Order<'_>) -> Result<Value, StoreError> {
        match self.ask_once(order).await {
            Err(problem) if problem.then == Then::Anew => self.ask_once(order).await,
            answer => answer,
        }
        .map_err(|problem| self.unavailable(problem))
    }

    async fn ask_once(&self, order: &Order<'_>) -> Result<Value, Problem> {
        let mut link = self.keeper.link().await?;
        order.carry_out(link.commands()).await.map_err(|error| {
            let problem = Problem::of(&error);
            if problem.then != Then::Keep {
                self.keeper.discard(&link);
            }
            problem
        })
    }

    fn page(&self, name: &str, fields: Value) -> Result<Option<Written>, StoreError> {
        script::page(fields).map_err(|problem| {
            let problem = Problem::keep(format!("has in its key {} {problem}", self.key(name)));
            self.unavailable(problem)
        })
    }

    fn unavailable(&self, problem: Problem) -> StoreError {
        StoreError::Unavailable { server: self.config.server.to_string(), problem: problem.text }
    }
}

impl Backend for RedisStore {
    async fn read(&self, name: &str) -> Result<Option<Written>, StoreError> {
        let fields = self.ask(&Order::Read { key: &self.key(name) }).await?;
        let page = self.page(name, fields)?;
        self.changes.known(name, page.as_ref().map_or(Revision::default(), |page| page.revision));
        Ok(page)
    }

    async fn write(&self, name: &str, seen: Revision, next: Written) -> Result<Wrote, StoreError> {
        let (key, channel) = (self.key(name), listen::channel(&self.config));
        // The server may tell of it before it answers.
        self.changes.known(name, next.revision);
        let save = Save { key: &key, channel: &channel, name, seen, next: &next };
        let stored = match self.ask(&Order::Save(save)).await? {
            Value::Int(_) => None,
            fields => Some(self.page(name, fields)?),
        };
        match stored {
            // The answer to a first try may have been lost, and this is the second.
            Some(stored) if stored.as_ref().is_none_or(|page| page.revision != next.revision) => {
                Ok(Wrote::Stale(stored))
            }
            _ => {
                self.changes.wrote(name);
                Ok(Wrote::Done)
            }
        }
    }

    async fn changed(&self, name: &str) {
        self.changes.of(name).await;
    }

    fn poll(&self) -> Duration {
        // Replicas that began together need not read together.
        POLL.mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

// === impl Config, Server, Place ===

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => write!(f, "{place}"),
            Self::Watched { sentinels, master } => {
                write!(f, "{master} (by the sentinels")?;
                for (index, sentinel) in sentinels.iter().enumerate() {
                    write!(f, "{} {sentinel}", if index == 0 { "" } else { "," })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is published is heard at once, unless it is lost.
const POLL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
