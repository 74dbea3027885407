//! The real program as a child process: started on free ports, read by its log lines, ended by
//! signals, and never waited for without a deadline.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::leaks;

/// A running program. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
    /// Which has said nothing that must not come to light.
    _watch: Watch,
}

/// How a program ended, and what it said.
pub(crate) struct Ended {
    /// `None`: by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Searches what a program has said of itself, when the test is done with it.
struct Watch(Output);

/// All that a program has written to one of its two outputs so far.
#[derive(Clone)]
struct Output(watch::Receiver<String>);

/// The program under test, with nothing of its configuration from the test's own environment.
pub(crate) fn tokenward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenward"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_systemd = ["NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_"];
        if text.starts_with("TOKENWARD") || of_systemd.iter().any(|start| text.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
}

/// `tokenward run` with JSON lines.
pub(crate) fn gateway(config: &Path) -> Command {
    let mut command = tokenward();
    command.args(["run", "--log-format", "json", "--config"]).arg(config);
    command
}

/// Sends a signal by its name to a process by its number.
pub(crate) async fn send(signal: &str, pid: &str) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$0\" \"$1\"", signal, pid]);
    assert!(kill.status().await.expect("sh").success(), "no signal {signal}");
}

/// The same program after a piece of shell, in the same process: `$$` is its own number.
pub(crate) fn after(shell: &str, program: &Command) -> Command {
    let program = program.as_std();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} exec \"$@\""), "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs a program to its end.
pub(crate) async fn run(command: Command) -> Ended {
    Process::start(command).ended().await
}

// === impl Process ===

impl Process {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null(), Stdio::piped())
    }

    pub(crate) fn start_with(mut command: Command, stdin: Stdio, stdout: Stdio) -> Self {
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the program starts");
        let stdout = match child.stdout.take() {
            Some(stdout) => Output::of(stdout),
            None => Output::of(tokio::io::empty()),
        };
        let stderr = Output::of(child.stderr.take().expect("a pipe"));
        Self { child, stderr: stderr.clone(), stdout, _watch: Watch(stderr) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the program runs")
    }

    /// Where the admin address is reached: `http://127.0.0.1:PORT`.
    pub(crate) async fn admin(&self) -> String {
        self.address("the admin address listens", None).await
    }

    /// Where the gateway listens for one upstream.
    pub(crate) async fn upstream(&self, name: &str) -> String {
        self.address("the upstream's address listens", Some(name)).await
    }

    /// The first line of the log, in JSON, that `wanted` likes.
    pub(crate) async fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let find = |text: &str| {
            let mut records = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            records.find(|record| wanted(record))
        };
        let text = self.stderr.until(|text| find(text).is_some()).await;
        find(&text).expect("it was found a moment ago")
    }

    /// What stands on standard output, once `enough` likes it.
    pub(crate) async fn said(&self, enough: impl Fn(&str) -> bool) -> String {
        self.stdout.until(enough).await
    }

    /// `kill -9`. Returns when nothing of the process runs any more.
    pub(crate) async fn kill(mut self) {
        self.child.start_kill().expect("the program runs");
        let waited = timeout(DEADLINE, self.child.wait()).await;
        waited.expect("a killed program ends").expect("it can be waited for");
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        send(name, &self.pid().to_string()).await;
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Ended {
        let Ok(status) = timeout(DEADLINE, self.child.wait()).await else {
            panic!("the program does not end; it said:\n{}", self.stderr.so_far());
        };
        let code = status.expect("it can be waited for").code();
        Ended { code, stdout: self.stdout.all().await, stderr: self.stderr.all().await }
    }

    async fn address(&self, message: &str, upstream: Option<&str>) -> String {
        let wanted = |record: &Value| {
            record["message"] == message && record["upstream"].as_str() == upstream
        };
        let record = self.logged(wanted).await;
        record["address"].as_str().expect("an address").to_owned()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        leaks::look_into("a program's log", self.0.so_far().as_bytes());
        leaks::assert_none();
    }
}

// === impl Output ===

impl Output {
    fn of(pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (written, text) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                written.send_modify(|text| {
                    text.push_str(&line);
                    text.push('\n');
                });
            }
        });
        Self(text)
    }

    fn so_far(&self) -> String {
        self.0.borrow().clone()
    }

    async fn until(&self, enough: impl Fn(&str) -> bool) -> String {
        let mut text = self.0.clone();
        let found = timeout(DEADLINE, text.wait_for(|text| enough(text))).await;
        match found {
            Ok(Ok(text)) => text.clone(),
            Ok(Err(_)) => panic!("the program ended, and all it said was:\n{}", self.so_far()),
            Err(_) => panic!("this is not what was waited for:\n{}", self.so_far()),
        }
    }

    /// What was written until the pipe closed.
    async fn all(&self) -> String {
        let mut text = self.0.clone();
        let closed = async { while text.changed().await.is_ok() {} };
        timeout(DEADLINE, closed).await.expect("the pipe closes with the program");
        self.so_far()
    }
}

/// Far more than anything here takes, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(30);
