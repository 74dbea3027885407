//! A gateway that asks who calls, and a folder with the list of those who may.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{Caller, Message, RawVendor, Stage};

pub const BILLING: &str = "billing-key-4f5d9c1b7a3e8602";
pub const REPORTS: &str = "reports-key-90b1d2c3e4f5a687";

/// The clients `billing`, who may everything, and `reports`, who may read of one upstream.
pub const LIST: &str = "\
[billing]
key = 'billing-key-4f5d9c1b7a3e8602'

[reports]
key = { file = 'reports.key' }
[reports.upstream.aiclk]
methods = ['GET']
paths = ['/openapi/v1/*']
";

pub struct Gated {
    pub vendor: RawVendor,
    pub stage: Stage,
    folder: tempfile::TempDir,
}

impl Gated {
    pub async fn start() -> Self {
        Self::with(LIST, "").await
    }

    /// With this list of clients, and more in the config, in which FOLDER and VENDOR are filled in.
    pub async fn with(list: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path().join("reports.key"), REPORTS);
        put(folder.path().join("clients.toml"), list);
        let vendor = RawVendor::start().await;
        let file = folder.path().join("clients.toml");
        let more = config
            .replace("FOLDER", &folder.path().display().to_string())
            .replace("VENDOR", &vendor.address.to_string());
        let config =
            format!("gateway.listen = '127.0.0.1:0'\nclients.file = '{}'\n{more}", file.display());
        let stage = Stage::plan().before(vendor.address).config(&config).start().await;
        Self { vendor, stage, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file in the place of another, in one step.
    pub fn replace(&self, name: &str, text: &str) {
        put(self.path("next"), text);
        fs::rename(self.path("next"), self.path(name)).expect("renamed");
    }

    /// One request over a connection of its own, with these lines after its first.
    pub async fn call(&self, line: &str, fields: &[&str]) -> Message {
        self.stage.call("aiclk", request(line, fields)).await
    }

    /// The same, at the address of all upstreams.
    pub async fn call_gateway(&self, line: &str, fields: &[&str]) -> Message {
        let mut caller = self.stage.gateway_caller().await;
        ask(&mut caller, line, fields).await
    }

    pub async fn refusals(&self, reason: &str) -> f64 {
        self.stage.metric("tokenward_guard_refusals_total", &[("reason", reason)]).await
    }

    /// No key has reached the vendor.
    #[track_caller]
    pub fn kept_keys(&self) {
        for call in self.vendor.calls() {
            let bytes = String::from_utf8_lossy(&call.request.raw).into_owned();
            for key in [BILLING, REPORTS] {
                let pair = encoded(&format!("billing:{key}"));
                let short = pair.trim_end_matches('=');
                assert!(!bytes.contains(key) && !bytes.contains(short), "{bytes}");
            }
            assert!(call.request.one("proxy-authorization").is_none(), "{bytes}");
        }
    }
}

/// One request and its answer.
pub async fn ask(caller: &mut Caller, line: &str, fields: &[&str]) -> Message {
    caller.send(request(line, fields)).await;
    caller.answer().await
}

/// `Basic` and what stands after it.
pub fn basic(name: &str, key: &str) -> String {
    format!("Basic {}", encoded(&format!("{name}:{key}")))
}

fn encoded(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(text)
}

fn request(line: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn put(path: PathBuf, text: &str) {
    fs::write(&path, text).expect("written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a mode");
}
