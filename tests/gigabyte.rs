//! A gibibyte each way through the real program, in bounded memory (p03).

use std::path::PathBuf;

use tokenward::app::Address;

use crate::support::bulk::{drink, pour};
use crate::support::message::find;
use crate::support::process::{Process, gateway};
use crate::support::vendors::{Home, get_until};
use crate::support::{Caller, RawVendor, soon};

const GIBIBYTE: usize = 1 << 30;

/// The program before a vendor of raw bytes.
struct Running {
    vendor: RawVendor,
    process: Process,
    address: Address,
    _home: Home,
}

impl Running {
    async fn start() -> Self {
        let vendor = RawVendor::start().await;
        let home = Home::with(&format!(
            r#"
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

    /// The memory that the program has now, and the most that it ever had, in KiB.
    fn memory(&self) -> (u64, u64) {
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
    fn assert_grown_by_less_than(&self, mebibytes: u64, begun: u64, what: &str) {
        let (now, most) = self.memory();
        let grown = most.saturating_sub(begun);
        println!("{what}: {begun} KiB at the beginning, {most} KiB at most, {now} KiB at the end");
        assert!(grown < mebibytes * 1024, "{what}: {grown} KiB more");
    }
}

#[tokio::test]
async fn p03_a_gibibyte_passes_each_way_in_bounded_memory() {
    let running = Running::start().await;
    let (begun, _) = running.memory();

    let hand = running.vendor.by_hand();
    let mut caller = Caller::to(&running.address).await;
    caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut hand = hand.arrives().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";
    hand.send(format!("{head}Content-Length: {GIBIBYTE}\r\n\r\n")).await;
    caller.answer_so_far(|_| true).await;
    let (mut down, read) = caller.into_parts();
    let mut up = hand.into_parts().0;
    tokio::join!(pour(&mut up, GIBIBYTE), drink(&mut down, body_of(&read), GIBIBYTE));
    running.assert_grown_by_less_than(32, begun, "download");
    // Else the upload would come on this connection.
    drop(up);

    let hand = running.vendor.by_hand();
    let mut caller = Caller::to(&running.address).await;
    let head = "PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n";
    caller.send(format!("{head}Content-Length: {GIBIBYTE}\r\n\r\n")).await;
    let mut hand = hand.arrives().await;
    hand.request_so_far(|_| true).await;
    let (mut up, read) = hand.into_parts();
    let (mut down, _) = caller.into_parts();
    let both =
        async { tokio::join!(pour(&mut down, GIBIBYTE), drink(&mut up, body_of(&read), GIBIBYTE)) };
    both.await;
    running.assert_grown_by_less_than(32, begun, "upload");
}

/// What waits for each of them is what its two connections hold: less than 1 MiB.
#[tokio::test]
async fn p03_callers_who_do_not_read_cost_little_memory() {
    const CALLERS: u64 = 50;
    let running = Running::start().await;
    let (begun, _) = running.memory();
    let mut pourers = tokio::task::JoinSet::new();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let hand = running.vendor.by_hand();
        let mut caller = Caller::to(&running.address).await;
        caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        callers.push(caller);
        let mut hand = hand.arrives().await;
        hand.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
        pourers.spawn(async move { (hand.send_until_blocked(64 << 20).await, hand) });
    }
    let mut hands = Vec::new();
    let mut sent = 0;
    while let Some(one) = soon("all are blocked", pourers.join_next()).await {
        let (count, hand) = one.expect("no panic");
        sent += count;
        hands.push(hand);
    }
    println!("{sent} bytes were taken for {CALLERS} callers who do not read");
    running.assert_grown_by_less_than(CALLERS, begun, "unread answers");
}

/// Besides, `replay.max_body` may be kept of each until it has passed: 1 MiB.
#[tokio::test]
async fn p03_vendors_who_do_not_read_cost_little_memory() {
    const UPLOADS: u64 = 50;
    let running = Running::start().await;
    let (begun, _) = running.memory();
    let mut pourers = tokio::task::JoinSet::new();
    let mut hands = Vec::new();
    for _ in 0..UPLOADS {
        let hand = running.vendor.by_hand();
        let mut caller = Caller::to(&running.address).await;
        let head = "PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n";
        caller.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{GIBIBYTE:x}\r\n")).await;
        hands.push(hand.arrives().await);
        pourers.spawn(async move { (caller.send_until_blocked(64 << 20).await, caller) });
    }
    let mut callers = Vec::new();
    let mut sent = 0;
    while let Some(one) = soon("all are blocked", pourers.join_next()).await {
        let (count, caller) = one.expect("no panic");
        sent += count;
        callers.push(caller);
    }
    println!("{sent} bytes were taken for {UPLOADS} vendors who do not read");
    running.assert_grown_by_less_than(2 * UPLOADS, begun, "unread uploads");
}

fn body_of(read: &[u8]) -> &[u8] {
    &read[find(read, b"\r\n\r\n").expect("a head") + 4..]
}
