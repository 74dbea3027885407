//! Unix sockets as files: whose they are, from the first instant to the last (p21).

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokenward::sandbox::Settings;
use tokio::process::Command;

use crate::support::process::{Process, gateway, run};
use crate::support::soon;
use crate::support::vendors::{Home, Vendors};

/// A gateway that listens on a socket in a folder that everybody may enter.
struct Place {
    vendors: Vendors,
    home: Home,
    path: PathBuf,
}

impl Place {
    async fn new(socket: &str) -> Self {
        let vendors = Vendors::start(Settings::default()).await;
        let home = Home::with("");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
        let path = home.path().join("x.sock");
        let config = format!(
            r#"
store.kind = "memory"
admin.listen = "127.0.0.1:0"
[upstream.aiclk]
vendor = "aiclk"
listen = "unix:{}"
base_url = "http://{}"
credentials.client_id = "sandbox-client-id"
credentials.refresh_token = "sandbox-aiclk-refresh-first"
{socket}
"#,
            path.display(),
            vendors.address
        );
        home.put("tokenward.toml", &config);
        Self { vendors, home, path }
    }

    /// Starts the gateway with a umask that leaves every mode as it is.
    fn start(&self) -> Process {
        Process::start(without_umask(gateway(&self.home.config())))
    }

    async fn listens(&self) -> Process {
        let process = self.start();
        process.upstream("aiclk").await;
        process
    }

    /// Calls by curl, as the user with this number and no other group than its own.
    async fn call_as(&self, user: u32, group: u32) -> Output {
        let mut call = Command::new("setpriv");
        call.args([format!("--reuid={user}"), format!("--regid={group}")]);
        call.args(["--clear-groups", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        call.arg("--unix-socket").arg(&self.path).arg("http://localhost/openapi/v1/x");
        soon("curl ends", call.output()).await.expect("setpriv")
    }
}

fn without_umask(command: Command) -> Command {
    let command = command.into_std();
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// Looks at the file again and again until told to stop, and returns all modes and owners that it saw.
fn observe(path: &Path) -> impl FnOnce() -> BTreeSet<(u32, u32, u32)> {
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped) = (path.to_owned(), stop.clone());
    let looking = std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !stopped.load(Ordering::Relaxed) {
            if let Ok(found) = fs::symlink_metadata(&path) {
                seen.insert((found.mode() & 0o7777, found.uid(), found.gid()));
            }
        }
        seen
    });
    move || {
        stop.store(true, Ordering::Relaxed);
        looking.join().expect("no panic")
    }
}

#[tokio::test]
async fn p21_at_no_instant_is_a_socket_open_to_others() {
    let own = fs::metadata("/proc/self").expect("Linux");
    let (me, ours) = (own.uid(), own.gid());
    let mut cases = vec![
        ("", vec![(0o600, me, ours)]),
        ("socket.mode = '0660'", vec![(0o600, me, ours), (0o660, me, ours)]),
    ];
    if is_root() {
        cases.push((
            "socket = { mode = '0660', owner = '12345', group = '23456' }",
            vec![
                (0o600, me, ours),
                // A mode, owner and group are not seen in one look.
                (0o600, 12345, ours),
                (0o600, 12345, 23456),
                (0o660, 12345, 23456),
            ],
        ));
    }
    for (socket, allowed) in cases {
        let place = Place::new(socket).await;
        let mut seen = BTreeSet::new();
        for _ in 0..10 {
            let observed = observe(&place.path);
            let process = place.listens().await;
            seen.extend(observed());
            process.kill().await;
            fs::remove_file(&place.path).expect("a killed gateway leaves its socket");
        }
        let allowed: BTreeSet<_> = allowed.into_iter().collect();
        assert!(seen.is_subset(&allowed), "{socket}: {seen:?}");
        assert!(seen.contains(allowed.last().expect("one")), "{socket}: {seen:?}");
    }
}

#[tokio::test]
async fn p21_who_is_not_meant_cannot_connect() {
    if !is_root() {
        return eprintln!("only root can call as others");
    }
    for (socket, group_may) in [
        ("socket.owner = '12345'", false),
        ("socket = { mode = '0600', owner = '12345', group = '23456' }", false),
        ("socket = { mode = '0660', owner = '12345', group = '23456' }", true),
    ] {
        let place = Place::new(socket).await;
        let _process = place.listens().await;
        for (user, group, may) in
            [(12345, 1, true), (777, 23456, group_may), (777, 777, false), (65534, 65534, false)]
        {
            let called = place.call_as(user, group).await;
            let status = String::from_utf8_lossy(&called.stdout).into_owned();
            assert_eq!(status == "200", may, "{socket}: {user}:{group}: {called:?}");
            // 7: curl could not connect.
            assert_eq!(called.status.code() == Some(7), !may, "{socket}: {user}:{group}");
        }
    }
}

#[tokio::test]
async fn p21_a_socket_cannot_be_given_away_without_the_privilege() {
    if !is_root() {
        return eprintln!("only root can run as another");
    }
    let place = Place::new("socket.owner = 'root'").await;
    std::os::unix::fs::chown(place.home.path(), Some(12345), Some(12345)).expect("root may");
    let gateway = gateway(&place.home.config()).into_std();
    let mut other = Command::new("setpriv");
    other.args(["--reuid=12345", "--regid=12345", "--clear-groups"]);
    other.arg(gateway.get_program()).args(gateway.get_args());
    let ended = run(other).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for said in ["x.sock", "upstream.aiclk.listen", "user 0", "CAP_CHOWN", "not permitted"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert!(!place.path.exists(), "nothing is left");
}

#[tokio::test]
async fn p21_a_socket_goes_with_its_gateway_and_with_no_other() {
    let place = Place::new("").await;
    let process = place.listens().await;
    // Another one may not take it.
    let second = run(gateway(&place.home.config())).await;
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains("another process listens there"), "{}", second.stderr);
    assert!(place.path.exists());
    process.signal("TERM").await;
    assert_eq!(process.ended().await.code, Some(0));
    assert!(!place.path.exists(), "a clean end takes the file along");

    // What a killed one leaves is replaced; what stands in its place by the end is not touched.
    place.listens().await.kill().await;
    assert!(place.path.exists());
    let process = place.listens().await;
    fs::remove_file(&place.path).expect("removed");
    let _other = UnixListener::bind(&place.path).expect("bound");
    process.signal("TERM").await;
    assert_eq!(process.ended().await.code, Some(0));
    assert!(place.path.exists(), "it is not ours");
    drop(place.vendors);
}

#[tokio::test]
async fn p21_what_is_no_stale_socket_is_not_replaced() {
    let place = Place::new("").await;
    // A listener that takes nothing more: its queue is full.
    let busy = UnixListener::bind(&place.path).expect("bound");
    let mut waiting = Vec::new();
    let full = loop {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        match socket.connect(&socket2::SockAddr::unix(&place.path).expect("a path")) {
            Ok(()) => waiting.push(socket),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(full, ErrorKind::WouldBlock);
    let ended = run(gateway(&place.home.config())).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    drop((busy, waiting));

    // Files and links stay as they are.
    fs::remove_file(&place.path).expect("removed");
    fs::write(&place.path, "precious").expect("written");
    assert_eq!(run(gateway(&place.home.config())).await.code, Some(1));
    assert_eq!(fs::read_to_string(&place.path).expect("a file"), "precious");
    let elsewhere = place.home.put("elsewhere", "precious");
    fs::remove_file(&place.path).expect("removed");
    std::os::unix::fs::symlink(&elsewhere, &place.path).expect("a link");
    assert_eq!(run(gateway(&place.home.config())).await.code, Some(1));
    assert_eq!(fs::read_to_string(&elsewhere).expect("a file"), "precious");
    let mode = fs::metadata(&elsewhere).expect("a file").mode();
    assert!(!fs::symlink_metadata(&place.path).expect("a link").file_type().is_socket());
    assert_ne!(mode & 0o777, 0o777);
}

/// Who stands in the way is told, though the socket is not its own business.
#[tokio::test]
async fn p21_a_start_that_fails_leaves_no_socket() {
    let place = Place::new("[upstream.jing]\nvendor = 'jing'").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let mut command = gateway(&place.home.config());
    command.env("TOKENWARD__UPSTREAM__JING__LISTEN", address.to_string());
    command.env("TOKENWARD__UPSTREAM__JING__CREDENTIALS__APP_ID", "a");
    command.env("TOKENWARD__UPSTREAM__JING__CREDENTIALS__APP_SECRET", "b");
    let ended = run(command).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("upstream.jing.listen"), "{}", ended.stderr);
    assert!(!place.path.exists(), "nothing is left");
}
