//! One connection to a Redis server: TCP, TLS or a Unix socket, signed on and known to answer.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisResult, Value, cmd,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::causes::causes;

use super::problem::{Problem, Then};
use super::sentinel::Sentinels;
use super::{Config, Place, Server};

/// Makes connections.
pub(super) struct Connector {
    config: Arc<Config>,
    tls: Option<TlsConnector>,
    sentinels: Sentinels,
}

/// A connection, which many may use at a time. It is closed when the last of them drops it.
#[derive(Clone)]
pub(super) struct Link {
    commands: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// What comes unasked, and the end of the connection.
pub(super) type Pushes = Box<dyn Fn(PushInfo) + Send + Sync>;

/// The task that moves the bytes.
struct Driver(JoinHandle<()>);

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Connector {
    pub(super) fn new(config: Arc<Config>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { config, tls: tls.map(TlsConnector::from), sentinels: Sentinels::default() }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// A connection to the server that takes writes now, as far as can be told.
    ///
    /// # Errors
    /// When there is none within [`CONNECT`], and a little more where sentinels are asked first.
    pub(super) async fn open(&self, pushes: Option<Pushes>) -> Result<Link, Problem> {
        match &self.config.server {
            Server::At(place) => self.open_at(place, pushes).await,
            Server::Watched { sentinels, master } => {
                let place = self.sentinels.ask(self, sentinels, master).await?;
                let mut link = self.open_at(&place, pushes).await.map_err(|problem| {
                    self.sentinels.doubt();
                    Problem { text: format!("at {place} {}", problem.text), ..problem }
                })?;
                match link.is_master().await {
                    true => Ok(link),
                    false => {
                        self.sentinels.doubt();
                        Err(Problem::drop(format!("at {place} is no master (yet, or any more)")))
                    }
                }
            }
        }
    }

    async fn open_at(&self, place: &Place, pushes: Option<Pushes>) -> Result<Link, Problem> {
        let signed_on = async {
            let wire = self.wire(place).await?;
            let mut link = Link::over(wire, &self.login(pushes.is_some()), pushes).await;
            if let Ok(link) = &mut link {
                link.answers().await?;
            }
            link
        };
        let made = timeout(CONNECT, signed_on).await;
        made.unwrap_or_else(|_| Err(Problem::silent(CONNECT))).map_err(|problem| {
            match (problem.then, &self.tls) {
                (Then::Anew, Some(_)) => Problem::drop(
                    "hung up before it said anything; does it speak TLS on this port, and does it \
                     want to see a certificate (`store.tls.client_cert`)?",
                ),
                (Then::Anew, None) => {
                    Problem::drop("hung up before it said anything; does it speak TLS (rediss://)?")
                }
                _ => problem,
            }
        })
    }

    /// A connection to a sentinel, which has no databases, and seldom a password.
    pub(super) async fn open_sentinel(&self, place: &Place, login: bool) -> Result<Link, Problem> {
        let login = if login { self.login(false).set_db(0) } else { plain_login() };
        Link::over(self.wire(place).await?, &login, None).await
    }

    fn login(&self, pushes: bool) -> RedisConnectionInfo {
        let mut login = plain_login().set_db(self.config.database.into());
        if let Some(username) = &self.config.username {
            login = login.set_username(username.expose());
        }
        if let Some(password) = &self.config.password {
            login = login.set_password(password.expose());
        }
        if pushes {
            login = login.set_protocol(ProtocolVersion::RESP3);
        }
        login
    }

    async fn wire(&self, place: &Place) -> Result<Box<dyn Wire>, Problem> {
        let (host, port) = match place {
            Place::Tcp { host, port } => (host, *port),
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                return Ok(Box::new(stream.map_err(|error| Problem::connect(&error))?));
            }
        };
        let stream = TcpStream::connect((host.as_str(), port)).await;
        let stream = stream.map_err(|error| Problem::connect(&error))?;
        // Commands are small, and somebody waits for each. A socket without it is slower, no worse.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.clone());
        let name = name.map_err(|_| Problem::drop("has a name that no certificate can have"))?;
        let stream = tls.connect(name, stream).await.map_err(|error| {
            let error = causes(&error);
            Problem::drop(format!(
                "is not to be spoken to by TLS ({error}); see `store.url` and `store.tls`"
            ))
        })?;
        Ok(Box::new(stream))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("config", &self.config).finish_non_exhaustive()
    }
}

// === impl Link ===

impl Link {
    async fn over(
        wire: Box<dyn Wire>,
        login: &RedisConnectionInfo,
        pushes: Option<Pushes>,
    ) -> Result<Self, Problem> {
        let mut config = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE));
        if let Some(pushes) = pushes {
            config = config.set_push_sender(move |push| -> Result<(), redis::aio::SendError> {
                pushes(push);
                Ok(())
            });
        }
        let made = MultiplexedConnection::new_with_config(login, wire, config).await;
        let (commands, driver) = made.map_err(|error| Problem::of(&error))?;
        Ok(Self { commands, driver: Arc::new(Driver(tokio::spawn(driver))) })
    }

    pub(super) fn commands(&mut self) -> &mut MultiplexedConnection {
        &mut self.commands
    }

    pub(super) fn is(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver)
    }

    /// Whether somebody is there: a paused server's machine takes connections, too.
    ///
    /// # Errors
    /// When nobody is, or the server will not speak to us.
    pub(super) async fn answers(&mut self) -> Result<(), Problem> {
        match cmd("PING").query_async::<Value>(&mut self.commands).await {
            Err(error) if error.code() != Some("NOPERM") => Err(Problem::of(&error)),
            _ => Ok(()),
        }
    }

    /// Asked of a server that sentinels have named, which may have been another's replica since.
    async fn is_master(&mut self) -> bool {
        let role: RedisResult<Value> = cmd("ROLE").query_async(&mut self.commands).await;
        match role {
            Ok(Value::Array(parts)) => match parts.first() {
                Some(Value::BulkString(role)) => role == b"master",
                _ => true,
            },
            // Not every user may ask; a write will tell.
            _ => true,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The library's name and version are of no use to the server.
fn plain_login() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}

/// Until a connection stands: name look-up, TLS and password included.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// For one command. A server takes a fraction of a millisecond.
pub(super) const RESPONSE: Duration = Duration::from_secs(1);
