//! Whom TLS trusts, and how sessions are resumed.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

/// The files that the operator names.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Ours, for a vendor that wants to see one: the chain and its key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// The name that is asked for and that the certificate must bear; `None`: the host's.
    pub server_name: Option<String>,
    pub min_version: Version,
}

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },
    #[error(
        "the system has no CA certificates, and `tls.ca_file` names none: install or mount them \
         (Debian: the package ca-certificates), or set SSL_CERT_FILE"
    )]
    NoRoots,
    #[error("the client certificate and its key cannot be used")]
    ClientCertificate(#[source] rustls::Error),
}

/// What upstream connections and calls of the token endpoint share. `plain` upstreams need no
/// roots, and a system without any is no mistake for them.
///
/// # Errors
/// When a file cannot be read or used, or nobody would be trusted.
pub fn client_config(config: &Config, plain: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    // What cannot be parsed among the system's certificates is no reason to trust none of them.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| content(path, error.to_string()))?;
        }
    }
    if roots.is_empty() && !plain {
        return Err(TlsError::NoRoots);
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let client = match &config.client_cert {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates(chain)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| content(key, format!("no private key in PEM ({error})")))?;
            builder.with_client_auth_cert(chain, key).map_err(TlsError::ClientCertificate)?
        }
    };
    Ok(Arc::new(client))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file =
        File::open(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(BufReader::new(file)).collect();
    let found = found.map_err(|error| content(path, format!("bad PEM ({error})")))?;
    if found.is_empty() {
        return Err(content(path, "no certificate in PEM".to_owned()));
    }
    Ok(found)
}

fn content(path: &Path, problem: String) -> TlsError {
    TlsError::Content { path: path.to_owned(), problem }
}
