//! The simulated vendors in the test's own process, the config for a gateway before them, and the
//! calls that a test makes itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokenward::sandbox::tour::{self, Ports};
use tokenward::sandbox::{Sandbox, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::leaks;

/// Both vendors, listening.
pub(crate) struct Vendors {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) address: SocketAddr,
    served: JoinHandle<()>,
    stop: CancellationToken,
}

/// A folder with a config, and where the token store will be.
pub(crate) struct Home {
    folder: TempDir,
}

/// An answer as a caller gets it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

// === impl Vendors ===

impl Vendors {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::serve(Sandbox::new(settings)).await
    }

    /// The same vendors at another address, with all that they have handed out.
    pub(crate) async fn serve(sandbox: Arc<Sandbox>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let served = tokio::spawn(sandbox.clone().serve(listener, stop.clone()));
        Self { sandbox, address, served, stop }
    }

    /// Ends every connection; nothing that was sent is carried out after this.
    pub(crate) async fn hang_up(self) -> Arc<Sandbox> {
        self.stop.cancel();
        let served = timeout(Duration::from_secs(10), self.served).await;
        served.expect("connections are closed").expect("no panic in the sandbox");
        self.sandbox
    }

    /// A config for both vendors, on free ports, with a store in memory.
    pub(crate) fn config(&self, settings: &Settings) -> String {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        tour::config(self.address, settings, Ports { admin: any, vendors: [any, any] })
    }
}

// === impl Home ===

impl Home {
    pub(crate) fn with(config: &str) -> Self {
        // What does not parse is a test of just that.
        let _ = config.parse().map(|config| leaks::secrets_of(&config));
        let folder = tempfile::tempdir().expect("a folder");
        let home = Self { folder };
        std::fs::write(home.config(), config).expect("written");
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("tokenward.toml")
    }

    /// Puts a file beside the config.
    pub(crate) fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }
}

// === calls ===

/// GET, on a connection of its own.
pub(crate) async fn get(url: String) -> Answered {
    try_get(url).await.expect("an answer")
}

pub(crate) async fn try_get(url: String) -> reqwest::Result<Answered> {
    send(client().get(url)).await
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answered> {
    let response = request.timeout(Duration::from_secs(30)).send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await?;
    if headers.contains_key("tokenward-error") {
        leaks::look_into("an answer of ours", body.as_bytes());
    }
    Ok(Answered { status, headers, body })
}

/// Made once: reading the system's certificates takes longer than most calls.
pub(crate) fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        client.build().expect("a client")
    });
    &CLIENT
}

/// Asks again and again, until `wanted` likes the answer.
pub(crate) async fn get_until(url: String, wanted: impl Fn(&Answered) -> bool) -> Answered {
    let asking = async {
        loop {
            match try_get(url.clone()).await {
                Ok(answered) if wanted(&answered) => return answered,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let found = timeout(Duration::from_secs(30), asking).await;
    found.unwrap_or_else(|_| panic!("{url} never gives what is waited for"))
}

// === impl Answered ===

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }
}
