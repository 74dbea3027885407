//! TLS from callers: what the gateway shows them, whose certificates it takes from them, and the
//! handshake.

mod handshake;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::pem::{Named, PemError};

pub use handshake::Terminator;
pub(super) use handshake::{Accepted, Protocol, Refused};

/// The files that the operator names.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates callers may show.
    pub client_ca: Option<PathBuf>,
    /// Which of these certificates are revoked: a list of every authority.
    pub client_crl: Option<PathBuf>,
}

/// What the next handshake is made with; all workers share it, and it can be replaced.
#[derive(Clone, Debug)]
pub struct Shared(Arc<ArcSwap<ServerConfig>>);

// === impl Config ===

impl Config {
    pub fn files(&self) -> Vec<PathBuf> {
        let Self { cert, key, client_ca, client_crl } = self;
        [Some(cert), Some(key), client_ca.as_ref(), client_crl.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be read or used.
    pub fn read(&self) -> Result<Arc<ServerConfig>, PemError> {
        let builder = ServerConfig::builder();
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(self.verifier(path)?),
        };
        let cert = Named { key: CERT, path: &self.cert };
        let key = Named { key: KEY, path: &self.key };
        let (chain, private) = (cert.certificates()?, key.private_key()?);
        let server = builder.with_single_cert(chain, private).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                key.bad("this is not the key of the certificate in `clients.tls.cert`")
            }
            other => cert.bad(format!("the certificate and its key cannot be used ({other})")),
        });
        let mut server = server?;
        server.alpn_protocols = Protocol::names();
        if self.client_ca.is_some() {
            // A session that is resumed is not asked for its certificate again, which may have
            // ended or been revoked since.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        Ok(Arc::new(server))
    }

    /// A certificate is asked for and may be left out: then the request needs a key. One that is
    /// shown has to be good.
    fn verifier(&self, authorities: &Path) -> Result<Arc<dyn ClientCertVerifier>, PemError> {
        let file = Named { key: CLIENT_CA, path: authorities };
        let mut roots = RootCertStore::empty();
        for certificate in file.certificates()? {
            roots.add(certificate).map_err(|error| file.bad(error.to_string()))?;
        }
        let mut builder = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
        let mut blamed = file;
        if let Some(path) = &self.client_crl {
            blamed = Named { key: CLIENT_CRL, path };
            builder = builder.with_crls(blamed.revocation_lists()?).enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|error| blamed.bad(error.to_string()))?;
        Ok(verifier)
    }
}

// === impl Shared ===

impl Shared {
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(ArcSwap::new(config)))
    }

    /// From the next handshake on. Connections that there are go on as they began.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    fn load(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

const CERT: &str = "cert";
const KEY: &str = "key";
const CLIENT_CA: &str = "client_ca";
const CLIENT_CRL: &str = "client_crl";
