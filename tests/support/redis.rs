//! Real Redis servers and sentinels, each in a folder of its own, killed when the test ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redis::{Cmd, FromRedisValue};
use tempfile::TempDir;
use tokenward::token::page::Page;
use tokenward::token::store::redis::{Config, Place, RedisStore, Server};
use tokenward::token::store::{Pages, Store};

use super::soon;

/// A running server. It keeps nothing on disk: killed and started again, it is empty.
pub struct Redis {
    program: &'static str,
    child: Child,
    folder: TempDir,
    pub port: u16,
    settings: Vec<String>,
}

impl Redis {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more lines of its configuration.
    pub async fn with(settings: &[&str]) -> Self {
        let own = ["save \"\"", "appendonly no", "repl-diskless-sync-delay 0"];
        let lines = own.iter().chain(settings).map(|line| (*line).to_owned()).collect();
        Self::run("redis-server", lines).await
    }

    /// A replica of another.
    pub async fn replica_of(master: &Redis) -> Self {
        let replica = Self::with(&[&format!("replicaof 127.0.0.1 {}", master.port)]).await;
        soon("the replica follows", async {
            let mut info = redis::cmd("INFO");
            info.arg("replication");
            while !replica.ask::<String>(&info).await.contains("master_link_status:up") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        replica
    }

    /// A sentinel that knows a server as `main`, and decides alone that it is dead.
    pub async fn sentinel(master: &Redis) -> Self {
        let lines = vec![
            format!("sentinel monitor main 127.0.0.1 {} 1", master.port),
            "sentinel down-after-milliseconds main 500".to_owned(),
            "sentinel failover-timeout main 5000".to_owned(),
        ];
        Self::run("redis-sentinel", lines).await
    }

    async fn run(program: &'static str, settings: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Somebody else may be faster at the port that was just free.
        for _ in 0..TRIES {
            let port = free_port();
            let mut child = spawn(program, &settings, folder.path(), port);
            if is_up(&mut child, folder.path()).await {
                return Self { program, child, folder, port, settings };
            }
        }
        panic!("{program} does not start");
    }

    /// The lines of a gateway's config that lead here.
    pub fn store(&self) -> String {
        format!("store.kind = 'redis'\nstore.url = 'redis://127.0.0.1:{}'", self.port)
    }

    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again where it was, and knows nothing any more.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.program, &self.settings, self.folder.path(), self.port);
        assert!(is_up(&mut self.child, self.folder.path()).await, "it does not start again");
    }

    /// Takes connections and commands, and does nothing about them.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()]);
        assert!(kill.status().expect("sh").success(), "no signal {name}");
    }

    /// A command from somebody who may do everything, by the socket.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let answer = soon("an answer of Redis", async {
            loop {
                match ask(&self.socket(), command).await {
                    // A server that changes its role hangs up on everybody.
                    Err(error) if error.is_io_error() => tokio::task::yield_now().await,
                    answer => return answer.expect("an answer"),
                }
            }
        });
        T::from_redis_value(answer.await).expect("one that fits")
    }

    /// The page of an upstream's account, as a gateway finds it.
    pub async fn page(&self, vendor: &str) -> Page {
        let keys: Vec<String> = self.ask(redis::cmd("KEYS").arg(format!("*{{{vendor}-*"))).await;
        let [key] = &keys[..] else { return Page::default() };
        let name = key.split(['{', '}']).nth(1).expect("a name");
        self.pages().load(name).await.expect("a page").page
    }

    /// A store past all gateways.
    pub fn pages(&self) -> Store {
        let config = Config {
            server: Server::At(Place::Unix(self.socket())),
            username: None,
            password: None,
            database: 0,
            key_prefix: "tokenward:".to_owned(),
        };
        RedisStore::new(config, None).into()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &str, settings: &[String], folder: &Path, port: u16) -> Child {
    let socket = socket(folder);
    // One that was killed has left it behind.
    let _ = std::fs::remove_file(&socket);
    let mut text = settings.join("\n");
    // A server that speaks TLS has the port for that.
    if !text.contains("tls-cert-file") {
        text.push_str(&format!("\nport {port}"));
    } else {
        text.push_str(&format!("\nport 0\ntls-port {port}"));
    }
    text.push_str(&format!("\nbind 127.0.0.1\nunixsocket {}\n", socket.display()));
    text.push_str(&format!("dir {}\n", folder.display()));
    let file = folder.join("redis.conf");
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new(program);
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{program} (see tests/packages.txt): {error}"))
}

/// Whether it answers; not, when it has ended.
async fn is_up(child: &mut Child, folder: &Path) -> bool {
    let ping = redis::cmd("PING");
    soon("Redis is up", async {
        loop {
            if child.try_wait().expect("a child").is_some() {
                return false;
            }
            if ask(&socket(folder), &ping).await.is_ok() {
                return true;
            }
            tokio::time::sleep(super::LOOK_AGAIN).await;
        }
    })
    .await
}

async fn ask(socket: &Path, command: &Cmd) -> redis::RedisResult<redis::Value> {
    let client = redis::Client::open(format!("unix://{}", socket.display()))?;
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await?;
    command.query_async(&mut connection).await
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

const TRIES: usize = 10;
