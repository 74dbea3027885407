//! A gateway with TLS for its callers, and curl to call it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokenward::app::Address;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::authority::Authority;
use crate::support::{RawVendor, Stage, soon};

/// Files for a gateway that does not run yet.
pub(super) struct Prepared {
    folder: TempDir,
    pub(super) ours: Authority,
    pub(super) callers: Authority,
    client_ca: bool,
}

pub(super) struct TlsStage {
    folder: TempDir,
    /// Vouches for the gateway.
    pub(super) ours: Authority,
    /// Vouches for callers.
    pub(super) callers: Authority,
    pub(super) vendor: RawVendor,
    pub(super) stage: Stage,
}

/// A certificate and its key, in files.
pub(super) struct Shown(String, String);

/// What curl said.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) code: Option<i32>,
    /// Head, body, and `version status` on the last line.
    pub(super) stdout: String,
}

pub(super) const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

impl Prepared {
    pub(super) fn put(&self, name: &str, text: &str) -> PathBuf {
        put(&self.folder, name, text)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn without_client_ca(self) -> Self {
        Self { client_ca: false, ..self }
    }

    pub(super) async fn start(self, clients: &str, config: &str) -> TlsStage {
        let Self { folder, ours, callers, client_ca } = self;
        put(&folder, "clients.toml", clients);
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut tls = format!(
            "clients = {{ file = '{}', tls.cert = '{}', tls.key = '{}' }}",
            at("clients.toml"),
            at("server.pem"),
            at("server.key")
        );
        if client_ca {
            tls = tls.replace(" }", &format!(", tls.client_ca = '{}' }}", at("callers.pem")));
        }
        let vendor = RawVendor::start().await;
        let plan = Stage::plan().before(vendor.address).config(&tls).config(config);
        let stage = plan.start().await;
        TlsStage { folder, ours, callers, vendor, stage }
    }
}

impl TlsStage {
    pub(super) fn prepare() -> Prepared {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, callers) = (Authority::new("the gateway's"), Authority::new("the callers'"));
        put(&folder, "ours.pem", &ours.pem());
        put(&folder, "callers.pem", &callers.pem());
        let (certificate, key) = ours.server_pem(&NAMES);
        put(&folder, "server.pem", &certificate);
        put(&folder, "server.key", &key);
        Prepared { folder, ours, callers, client_ca: true }
    }

    pub(super) async fn with(clients: &str, config: &str) -> Self {
        Self::prepare().start(clients, config).await
    }

    pub(super) fn put(&self, name: &str, text: &str) -> PathBuf {
        put(&self.folder, name, text)
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self.stage.address("aiclk") {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{}", path.display()),
        }
    }

    /// A certificate and its key, as files that curl can read.
    pub(super) fn files(&self, (certificate, key): &(String, String)) -> Shown {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let put = |name: String, text: &str| self.put(&name, text).display().to_string();
        Shown(put(format!("{number}.pem"), certificate), put(format!("{number}.key"), key))
    }

    /// Calls with curl, which trusts our authority.
    pub(super) async fn curl(&self, arguments: &[&str]) -> Called {
        let url = format!("https://{}/openapi/x", self.address());
        self.curl_at(&url, arguments).await
    }

    pub(super) async fn curl_at(&self, url: &str, arguments: &[&str]) -> Called {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-i", "--noproxy", "*", "-w", "\n%{http_version} %{http_code}"]);
        curl.arg("--cacert").arg(self.folder.path().join("ours.pem")).args(arguments).arg(url);
        let output = soon("curl ends", curl.kill_on_drop(true).output()).await.expect("curl");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Called { code: output.status.code(), stdout }
    }

    /// A handshake as a client that trusts our authority and says these protocols (ALPN).
    pub(super) async fn dial(&self, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        self.dial_with(self.client(alpn)).await
    }

    pub(super) async fn dial_with(
        &self,
        client: Arc<ClientConfig>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address()).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        soon("a handshake", TlsConnector::from(client).connect(name, stream)).await
    }

    pub(super) fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(self.folder.path().join("ours.pem")).expect("a file");
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.expect("PEM")).expect("an authority");
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut client = builder.with_no_client_auth();
        client.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(client)
    }

    pub(super) async fn handshakes(&self, outcome: &str) -> f64 {
        self.stage.metric("tokenward_caller_handshakes_total", &[("outcome", outcome)]).await
    }
}

impl Shown {
    pub(super) fn arguments(&self) -> [&str; 4] {
        ["--cert", &self.0, "--key", &self.1]
    }
}

impl Called {
    pub(super) fn version(&self) -> &str {
        self.last().0
    }

    pub(super) fn status(&self) -> u16 {
        self.last().1.parse().expect("a status")
    }

    pub(super) fn body(&self) -> &str {
        let (all, _) = self.stdout.rsplit_once('\n').expect("a last line");
        all.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    fn last(&self) -> (&str, &str) {
        let (_, last) = self.stdout.rsplit_once('\n').expect("a last line");
        last.split_once(' ').expect("two words")
    }
}

fn put(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("written");
    path
}
