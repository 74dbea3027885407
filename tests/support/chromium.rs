//! A real web browser without a window.

use std::net::SocketAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;
use tokio::process::Command;

use super::process::Process;
use super::{Caller, until};

pub struct Chromium {
    process: Process,
    /// Dropped behind the process, which writes there.
    profile: TempDir,
}

impl Chromium {
    /// `names` are resolved to this machine, whatever a name service says. What newer versions do on
    /// their own account against pages that reach for this machine is off: the gateway is what is
    /// tested.
    pub fn start(names: &[&str]) -> Self {
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
            // It leaves things there when it is killed.
            .env("TMPDIR", profile.path());
        Self { process: Process::start(command), profile }
    }

    /// Opens a tab, as a person does who types a URL or whose mail program hands one over.
    pub async fn open(&self, url: &str) {
        let port = self.port().await;
        let mut tools = Caller::tcp(SocketAddr::from(([127, 0, 0, 1], port))).await;
        // It is decoded there, once.
        let url = utf8_percent_encode(url, NON_ALPHANUMERIC);
        let head = format!("PUT /json/new?{url} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        tools.send(head).await;
        let answer = tools.answer().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    /// Where it speaks its DevTools protocol.
    pub async fn port(&self) -> u16 {
        let port = self.profile.path().join("DevToolsActivePort");
        let read = || std::fs::read_to_string(&port).unwrap_or_default();
        until("the browser starts", || read().contains('\n')).await;
        read().lines().next().and_then(|line| line.parse().ok()).expect("a port")
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
    // Tabs are opened there.
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
