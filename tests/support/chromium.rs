//! A real web browser without a window.

use tempfile::TempDir;
use tokio::process::Command;

use super::process::Process;

pub struct Chromium {
    process: Process,
    /// Dropped behind the process, which writes there.
    _profile: TempDir,
}

impl Chromium {
    /// Opens these URLs, each in a tab, as a person does who types them or whose mail program hands
    /// them over.
    ///
    /// `names` are resolved to this machine, whatever a name service says. What newer versions do on
    /// their own account against pages that reach for this machine is off: the gateway is what is
    /// tested.
    pub fn open(urls: &[String], names: &[&str]) -> Self {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|it| it.join(PROGRAM).is_file()));
        assert!(found, "there is no {PROGRAM} on the PATH: install what tests/packages.txt lists");
        let profile = tempfile::tempdir().expect("a folder");
        let rules: Vec<_> = names.iter().map(|name| format!("MAP {name} 127.0.0.1")).collect();
        let mut command = Command::new(PROGRAM);
        command
            .args(FLAGS)
            .arg(format!("--disable-features={}", OFF.join(",")))
            .arg(format!("--host-resolver-rules={}", rules.join(",")))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(urls);
        Self { process: Process::start(command), _profile: profile }
    }

    pub async fn close(self) {
        self.process.kill().await;
    }
}

const PROGRAM: &str = "chromium";
const FLAGS: [&str; 14] = [
    "--headless=new",
    // Needs rights that containers do not give.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-popup-blocking",
    "--password-store=basic",
    // Without one, headless Chromium ends with its first page.
    "--remote-debugging-port=0",
];
/// Local Network Access and, before it, Private Network Access.
const OFF: [&str; 6] = [
    "LocalNetworkAccessChecks",
    "LocalNetworkAccessChecksWebSockets",
    "LocalNetworkAccessChecksWebRTC",
    "BlockInsecurePrivateNetworkRequests",
    "PrivateNetworkAccessRespectPreflightResults",
    "PrivateNetworkAccessSendPreflights",
];
