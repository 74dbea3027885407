//! The real program with a config that changes under it, before a vendor of raw bytes.

use std::fs;
use std::path::PathBuf;

use super::leaks;
use super::process::{Process, gateway};
use super::vendors::{Answered, Home, client, get, get_until, send};
use super::{Caller, Message, RawVendor, soon};

pub struct Reloading {
    pub vendor: RawVendor,
    pub process: Process,
    pub home: Home,
    pub admin: String,
}

/// The first refresh token, in a file of its own.
pub const SEED: &str = "seed-of-the-first-start-1234";

/// One upstream of the vendor at VENDOR.
pub const CONFIG: &str = r#"
workers = 2
admin.listen = "127.0.0.1:0"
store.kind = "memory"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://VENDOR"
credentials = { client_id = "id", refresh_token = { file = "seed" } }
"#;

/// Another one, behind it.
pub const SECOND: &str = r#"
[upstream.second]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://VENDOR"
credentials = { client_id = "another-id", refresh_token = "another-seed-of-the-test" }
"#;

impl Reloading {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more lines at the end of the config.
    pub async fn with(more: &str) -> Self {
        let home = Home::with("");
        Self::start_in(home, more).await
    }

    pub async fn start_in(home: Home, more: &str) -> Self {
        let vendor = RawVendor::start().await;
        leaks::secret(SEED);
        home.put("seed", SEED);
        let config = config(&vendor, more);
        put(&home, "tokenward.toml", &config);
        let process = Process::start(gateway(&home.config()));
        let admin = process.admin().await;
        get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
        Self { vendor, process, home, admin }
    }

    /// Puts the config with these lines at its end in the place of the one that there is.
    pub fn write(&self, more: &str) {
        self.replace("tokenward.toml", &config(&self.vendor, more));
    }

    pub fn replace(&self, name: &str, text: &str) {
        put(&self.home, name, text);
    }

    pub async fn post(&self) -> Answered {
        let answered = send(client().post(format!("{}/-/reload", self.admin))).await;
        answered.expect("an answer")
    }

    /// A config with these lines at its end is taken over.
    #[track_caller]
    pub fn takes(&self, more: &str) -> impl Future<Output = ()> {
        self.write(more);
        self.reloads()
    }

    #[track_caller]
    pub fn reloads(&self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let answered = self.post().await;
            assert_eq!(answered.status, 200, "{caller}: {}", answered.body);
        }
    }

    /// It is refused, and this is said of it.
    #[track_caller]
    pub fn refuses(&self, more: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        self.write(more);
        async move {
            let answered = self.post().await;
            assert_eq!(answered.status, 422, "{caller}: {}", answered.body);
            answered.body
        }
    }

    pub async fn caller(&self, upstream: &str) -> Caller {
        let url = self.process.upstream(upstream).await;
        Caller::tcp(url.trim_start_matches("http://").parse().expect("an address")).await
    }

    pub async fn metrics(&self) -> String {
        get(format!("{}/metrics", self.admin)).await.body
    }

    /// Waits for a line of the metrics.
    pub async fn metric(&self, line: &str) {
        soon(line, async { while !self.metrics().await.lines().any(|it| it == line) {} }).await;
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().to_owned()
    }
}

pub async fn call(caller: &mut Caller, line: &str) -> Message {
    caller.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    caller.answer().await
}

pub fn config(vendor: &RawVendor, more: &str) -> String {
    format!("{CONFIG}{more}").replace("VENDOR", &vendor.address.to_string())
}

/// In one step.
fn put(home: &Home, name: &str, text: &str) {
    let next = home.put("next", text);
    fs::rename(next, home.path().join(name)).expect("renamed");
}
