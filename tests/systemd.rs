//! What systemd hears of the real program: the start, reloads, the end, how things stand, and that it is
//! alive (p29). Its units fit the program.

use std::process::Stdio;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokenward::config::parse::GRACE;
use tokenward::sandbox::{Fault, FaultKind, Scope, Settings, Vendor};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::process::{Process, after, gateway};
use crate::support::systemd::Systemd;
use crate::support::vendors::{Home, Vendors};

/// Nobody answers at its vendor.
const LONELY: &str = r#"
workers = 2
admin.listen = "127.0.0.1:0"
store.kind = "memory"
[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials = { client_id = "id", refresh_token = "seed" }
"#;

fn micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[tokio::test]
async fn p29_systemd_hears_of_the_start_of_reloads_and_of_the_end() {
    let mut systemd = Systemd::at_a_path();
    let home = Home::with(LONELY);
    let mut command = gateway(&home.config());
    command.env("NOTIFY_SOCKET", &systemd.address).env("WATCHDOG_USEC", "400000");
    let process = Process::start(command);

    // Before there is a token, and there never is one.
    assert_eq!(systemd.next().await[0], "READY=1", "it serves");
    let status = systemd.heard[1].clone();
    assert!(status.starts_with("STATUS=1 upstream, 1 waits for a token: aiclk ("), "{status}");
    for _ in 0..3 {
        assert_eq!(systemd.hears("WATCHDOG=").await, "1");
    }

    let began = micros();
    process.signal("HUP").await;
    assert_eq!(systemd.hears("RELOADING=").await, "1");
    let told = systemd.heard.last().expect("a line").strip_prefix("MONOTONIC_USEC=");
    let told: i64 = told.expect("the time with it").parse().expect("a number");
    assert!(began <= told && told <= micros(), "{began} {told}");
    assert_eq!(systemd.hears("READY=").await, "1");

    home.put("tokenward.toml", "nonsense = true");
    process.signal("HUP").await;
    systemd.hears("RELOADING=").await;
    assert_eq!(systemd.hears("READY=").await, "1", "what was there before goes on");
    let status = systemd.heard.last().expect("a line");
    assert!(status.starts_with("STATUS=the config that is there now was refused"), "{status}");
    systemd.hears("WATCHDOG=").await;

    process.signal("TERM").await;
    assert_eq!(systemd.hears("STOPPING=").await, "1");
    assert_eq!(process.ended().await.code, Some(0));
    let heard = systemd.all();
    let stopping = heard.iter().position(|line| line == "STOPPING=1").expect("a line");
    assert!(!heard[stopping..].iter().any(|line| line == "READY=1"), "{heard:?}");
}

#[tokio::test]
async fn p29_systemd_hears_when_tokens_come_at_a_name_too() {
    let mut systemd = Systemd::in_abstract();
    let settings = Settings::default();
    let vendors = Vendors::start(settings.clone()).await;
    let slow = Fault::new(FaultKind::Slow(Duration::from_millis(300))).on(Scope::Token);
    vendors.sandbox.fault(Vendor::Jing, slow);
    let home = Home::with(&vendors.config(&settings));
    let mut command = after("export WATCHDOG_PID=$$;", &gateway(&home.config()));
    command.env("NOTIFY_SOCKET", &systemd.address).env("WATCHDOG_USEC", "100000");
    let process = Process::start(command);
    systemd.hears_status("2 upstreams, ready").await;
    assert!(systemd.heard.iter().any(|line| line.contains("waits for a token: jing")));
    systemd.hears("WATCHDOG=").await;
    process.signal("TERM").await;
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn p29_a_sign_of_life_is_for_whoever_asks_this_process() {
    let mut systemd = Systemd::at_a_path();
    let home = Home::with(LONELY);
    let mut command = gateway(&home.config());
    command.env("NOTIFY_SOCKET", &systemd.address);
    command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let process = Process::start(command);
    systemd.hears("READY=").await;
    process.signal("HUP").await;
    systemd.hears("RELOADING=").await;
    process.signal("TERM").await;
    assert_eq!(process.ended().await.code, Some(0));
    let heard = systemd.all();
    assert!(!heard.iter().any(|line| line.starts_with("WATCHDOG")), "{heard:?}");
}

/// Nobody listens there any more: that is in the log, and changes nothing else.
#[tokio::test]
async fn p29_a_systemd_that_is_gone_keeps_nobody_from_serving() {
    for address in ["/nowhere/notify", "vsock:2:1234"] {
        let home = Home::with(LONELY);
        let mut command = gateway(&home.config());
        command.env("NOTIFY_SOCKET", address).env("WATCHDOG_USEC", "100000");
        let process = Process::start(command);
        let tells = |it: &str| it.contains("NOTIFY_SOCKET");
        process.logged(|it| it["message"].as_str().is_some_and(tells)).await;
        process.upstream("aiclk").await;
        process.signal("TERM").await;
        assert_eq!(process.ended().await.code, Some(0), "{address}");
    }
}

#[tokio::test]
async fn p29_a_worker_that_hangs_ends_the_signs_of_life() {
    let mut systemd = Systemd::at_a_path();
    let home = Home::with(LONELY);
    let mut command = gateway(&home.config());
    command.env("NOTIFY_SOCKET", &systemd.address).env("WATCHDOG_USEC", "200000");
    // Otherwise only root could hold a thread of it.
    command.env("TOKENWARD__CORE_DUMPS", "true");
    let process = Process::start(command);
    systemd.hears("WATCHDOG=").await;

    let mut holder = Command::new("python3");
    holder.args(["-I", "-c", HOLD, &process.pid().to_string(), "worker-1"]);
    holder.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut holder = holder.spawn().expect("python3");
    let mut said = BufReader::new(holder.stdout.take().expect("a pipe")).lines();
    let said = said.next_line().await.expect("read").unwrap_or_default();
    if said != "held" {
        eprintln!("SKIPPED: no thread can be held here: {said}");
        return;
    }
    let hangs = |it: &str| it.starts_with("a worker hangs");
    process.logged(|it| it["message"].as_str().is_some_and(hangs)).await;
    let before = systemd.all().len();
    // The rest of it turns, and goes on to tell, but gives no sign of life.
    process.signal("HUP").await;
    systemd.hears("RELOADING=").await;
    let heard = &systemd.heard[before..];
    assert!(!heard.iter().any(|line| line.starts_with("WATCHDOG")), "{heard:?}");

    holder.stdin.take().expect("a pipe").write_all(b"\n").await.expect("written");
    holder.wait().await.expect("its end");
    systemd.hears("WATCHDOG=").await;
    process.signal("TERM").await;
    assert_eq!(process.ended().await.code, Some(0));
}

#[test]
fn p29_the_unit_fits_the_program() {
    let unit = include_str!("../config/systemd/tokenward.service");
    let key = |name: &str| {
        let mut lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = lines.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(lines.next().is_none(), "{name} twice");
        value
    };
    assert_eq!((key("Type"), key("NotifyAccess")), ("notify", "main"));
    assert_eq!(key("ExecReload"), "/bin/sh -c 'kill -HUP $MAINPID'");
    assert_eq!(key("ExecStart"), "/usr/bin/tokenward run --config /etc/tokenward/tokenward.toml");
    let time = |name: &str| humantime::parse_duration(key(name)).expect("a time");
    assert_eq!(time("WatchdogSec"), Duration::from_secs(30));
    let config = include_str!("../config/systemd/tokenward.toml");
    let config: toml::Table = config.parse().expect("TOML");
    assert!(!config.contains_key("shutdown"), "the default grace is what the unit has to fit");
    assert!(GRACE + Duration::from_secs(4) < time("TimeoutStopSec"));
    // Whatever systemd opens is a listener's, or the gateway would not start.
    let wanted: Vec<_> = config["upstream"].as_table().expect("upstreams").values().collect();
    let socket = include_str!("../config/systemd/tokenward.socket");
    let opened = socket.lines().filter_map(|line| line.strip_prefix("ListenStream="));
    let opened: Vec<_> = opened.collect();
    assert_eq!(opened.len(), 2);
    for address in opened {
        assert!(wanted.iter().any(|it| it["listen"].as_str() == Some(address)), "{address}");
    }
}

/// Holds one thread of a process until a line comes.
const HOLD: &str = r#"
import ctypes, os, sys
pid, name = sys.argv[1:]
tasks = f"/proc/{pid}/task"
tid = next(int(t) for t in os.listdir(tasks) if open(f"{tasks}/{t}/comm").read().strip() == name)
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT, DETACH, ALL = 0x4206, 0x4207, 17, 0x40000000
if ptrace(SEIZE, tid, None, None) or ptrace(INTERRUPT, tid, None, None):
    sys.exit(print(os.strerror(ctypes.get_errno())))
os.waitpid(tid, ALL)
print("held", flush=True)
sys.stdin.readline()
ptrace(DETACH, tid, None, None)
"#;
