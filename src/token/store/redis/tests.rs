use std::process::{Child, Command, Stdio};

use redis::cmd;
use tempfile::TempDir;

use super::super::contract;
use super::*;
use crate::clock;

/// A Redis server of the test's own, on a socket in a folder of its own.
struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--dir"])
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(folder.path().join("redis.sock"))
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let running = Self { child, folder };
        let socket = running.folder.path().join("redis.sock");
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            tokio::task::yield_now().await;
        }
        running
    }

    fn config(&self) -> Config {
        Config {
            server: Server::At(Place::Unix(self.folder.path().join("redis.sock"))),
            username: None,
            password: None,
            database: 0,
            key_prefix: "tokenward:".to_owned(),
        }
    }

    fn store(&self) -> RedisStore {
        RedisStore::new(self.config(), None)
    }

    /// A command past the store.
    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let connector = Connector::new(Arc::new(self.config()), None);
        let mut link = connector.open(None).await.expect("a connection");
        command.query_async(link.commands()).await.expect("an answer")
    }

    async fn ttl(&self, key: &str) -> i64 {
        self.ask(cmd("TTL").arg(key)).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn p17_redis_keeps_the_contract_of_a_store() {
    let server = Running::start().await;
    contract::holds(&server.store()).await;
    server.ask::<()>(&cmd("FLUSHALL")).await;
    let (one, two, three) = (server.store(), server.store(), server.store());
    contract::one_of_many_writers_wins(&[&one, &two, &three]).await;
}

#[tokio::test]
async fn p17_a_page_is_kept_as_long_as_it_is_of_use_and_for_ever_if_nobody_knows() {
    let server = Running::start().await;
    let store = server.store();
    let day = Duration::from_secs(86_400);
    let mut page = contract::page(1, 1, "x");
    for (until, left) in [
        (None, -1..=-1),
        (Some(clock::wall() + 30 * day), 30 * 86_400 - 60..=30 * 86_400),
        // Whose clock is right?
        (Some(clock::wall() - 30 * day), 86_400 - 60..=86_400),
        (None, -1..=-1),
    ] {
        let seen = store.read("p").await.expect("read").map_or(Revision::default(), |p| p.revision);
        page = Written { revision: Revision::fresh(), keep_until: until, ..page };
        let wrote = store.write("p", seen, page.clone()).await.expect("written");
        assert!(matches!(wrote, Wrote::Done), "{wrote:?}");
        let found = server.ttl("tokenward:{p}").await;
        assert!(left.contains(&found), "{until:?}: {found}");
    }
}

#[tokio::test]
async fn p17_a_script_that_the_server_has_forgotten_is_sent_again() {
    let server = Running::start().await;
    let store = server.store();
    let first = contract::page(1, 1, "x");
    store.write("p", Revision::default(), first.clone()).await.expect("written");
    server.ask::<()>(cmd("SCRIPT").arg("FLUSH")).await;
    let wrote = store.write("p", first.revision, contract::page(2, 1, "y")).await;
    assert!(matches!(wrote, Ok(Wrote::Done)), "{wrote:?}");
}

#[tokio::test]
async fn p15_a_write_whose_answer_was_lost_is_known_again() {
    let server = Running::start().await;
    let store = server.store();
    let page = contract::page(1, 1, "x");
    for _ in 0..2 {
        let wrote = store.write("p", Revision::default(), page.clone()).await;
        assert!(matches!(wrote, Ok(Wrote::Done)), "{wrote:?}");
    }
}

#[tokio::test]
async fn p17_what_is_no_page_is_left_as_it_is_and_told_without_its_content() {
    let server = Running::start().await;
    let store = server.store();
    server.ask::<()>(cmd("SET").arg("tokenward:{text}").arg("very-secret")).await;
    server.ask::<()>(cmd("HSET").arg("tokenward:{odd}").arg(&["revision", "very-secret"])).await;
    for name in ["text", "odd"] {
        let read = store.read(name).await.expect_err("no page").to_string();
        let wrote = store.write(name, Revision::default(), contract::page(1, 1, "x")).await;
        let wrote = wrote.expect_err("no page").to_string();
        for error in [read, wrote] {
            assert!(error.contains("store.key_prefix") && !error.contains("very-"), "{error}");
        }
    }
    assert_eq!(server.ask::<String>(cmd("GET").arg("tokenward:{text}")).await, "very-secret");
}

#[tokio::test]
async fn p17_changes_are_told_to_others_and_not_to_who_made_them() {
    let server = Running::start().await;
    let (one, two) = (server.store(), server.store());
    one.read("p").await.expect("read");
    two.read("p").await.expect("read");
    // The subscription stands when the first, empty, change is told.
    tokio::join!(one.changed("p"), two.changed("p"));
    let mut seen = Revision::default();
    for round in 0..20 {
        let next = contract::page(round, 1, "x");
        let told = two.changed("p");
        one.write("p", seen, next.clone()).await.expect("written");
        told.await;
        let read = two.read("p").await.expect("read").expect("a page");
        assert_eq!(read.revision, next.revision);
        seen = next.revision;
        // What was told while nobody waited is told to the next who does.
        let next = contract::page(round, 1, "y");
        one.write("p", seen, next.clone()).await.expect("written");
        two.changed("p").await;
        seen = next.revision;
        assert_eq!(two.read("p").await.expect("read").expect("a page").revision, seen);
    }
    let nothing = tokio::time::timeout(Duration::from_millis(50), one.changed("p")).await;
    assert!(nothing.is_err(), "it has made all the changes itself");
}

#[tokio::test]
async fn p17_a_server_that_is_not_there_is_said_at_once_and_not_asked_again_at_once() {
    let config = Config {
        server: Server::At(Place::Tcp { host: "127.0.0.1".to_owned(), port: 1 }),
        username: None,
        password: Some(Secret::new("very-secret")),
        database: 0,
        key_prefix: "tokenward:".to_owned(),
    };
    let store = RedisStore::new(config, None);
    for _ in 0..100 {
        let error = store.read("p").await.expect_err("nobody is there").to_string();
        assert!(error.contains("127.0.0.1:1 refused the connection"), "{error}");
        assert!(!error.contains("very-secret") && !format!("{store:?}").contains("very-secret"));
    }
}
