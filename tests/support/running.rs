//! The real program before a vendor of raw bytes, with an eye on its memory.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokenward::app::Address;

use super::process::{Ended, Process, gateway};
use super::vendors::{Home, get, get_until};
use super::{Caller, Message, RawVendor, soon};

pub struct Running {
    pub vendor: RawVendor,
    pub process: Process,
    pub address: Address,
    _home: Home,
}

impl Running {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more lines at the top of the config.
    pub async fn with(config: &str) -> Self {
        let vendor = RawVendor::start().await;
        let home = Home::with(&format!(
            r#"
{config}
admin.listen = "127.0.0.1:0"
store.kind = "memory"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://{}"
credentials = {{ client_id = "id", refresh_token = "seed" }}
"#,
            vendor.address
        ));
        let process = Process::start(gateway(&home.config()));
        get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
        let url = process.upstream("aiclk").await;
        let address = url.trim_start_matches("http://").parse().expect("an address");
        Self { vendor, process, address: Address::Tcp(address), _home: home }
    }

    pub fn tcp(&self) -> SocketAddr {
        let Address::Tcp(address) = self.address else { panic!("a TCP listener") };
        address
    }

    pub async fn caller(&self) -> Caller {
        Caller::to(&self.address).await
    }

    /// A call on a connection of its own.
    pub async fn get(&self, target: &str) -> Message {
        let mut caller = self.caller().await;
        caller.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        caller.answer().await
    }

    pub async fn metrics(&self) -> String {
        get(self.process.admin().await + "/metrics").await.body
    }

    /// Waits until no request is under way.
    pub async fn is_quiet(&self) {
        soon("no request is under way", async {
            let none = "tokenward_requests_in_flight{upstream=\"aiclk\"} 0";
            while !self.metrics().await.contains(none) {}
        })
        .await;
    }

    /// The memory that the program has now, and the most that it ever had, in KiB.
    pub fn memory(&self) -> (u64, u64) {
        let path = PathBuf::from(format!("/proc/{}/status", self.process.pid()));
        let status = std::fs::read_to_string(path).expect("the program runs");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
            number.parse::<u64>().expect("a number of kB")
        };
        (value("VmRSS"), value("VmHWM"))
    }

    /// Fails if the program ever had so many MiB more than at this beginning.
    #[track_caller]
    pub fn assert_grown_by_less_than(&self, mebibytes: u64, begun: u64, what: &str) {
        let (now, most) = self.memory();
        let grown = most.saturating_sub(begun);
        println!("{what}: {begun} KiB at the beginning, {most} KiB at most, {now} KiB at the end");
        assert!(grown < mebibytes * 1024, "{what}: {grown} KiB more");
    }

    /// Ends it, and fails if it has panicked.
    pub async fn end(self) -> Ended {
        self.process.signal("TERM").await;
        let ended = self.process.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    }
}
