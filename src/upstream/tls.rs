//! Whom TLS trusts, and how sessions are resumed.

mod roots;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::pem::{Named, PemError};

/// The files that the operator names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Ours, for a vendor that wants to see one: the chain and its key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    pub min_version: Version,
}

impl Config {
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.client_cert.iter().flat_map(|(chain, key)| [chain, key]);
        self.ca_file.iter().chain(own).cloned().collect()
    }
}

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] PemError),
    #[error(
        "SSL_CERT_FILE or SSL_CERT_DIR is set and leads to no CA certificate, and `tls.ca_file` \
         names none: nobody would be trusted"
    )]
    NoRoots,
    #[error("this is not the key of the certificate in `tls.client_cert`")]
    OtherKey,
    #[error("the client certificate and its key cannot be used")]
    Client(#[source] rustls::Error),
}

/// Whether a certificate can have this name.
pub fn is_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// Reads the files, and does not look at the machine's own certificates.
///
/// # Errors
/// When a file cannot be read or used.
pub fn check(config: &Config) -> Result<(), TlsError> {
    build(config, Arc::new(RootCertStore::empty())).map(|_| ())
}

/// What upstream connections and calls of the token endpoint share. `plain` upstreams trust nobody,
/// for they ask nobody.
///
/// # Errors
/// When a file cannot be read or used, or nobody would be trusted.
pub fn client_config(config: &Config, plain: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let platform = if plain { Arc::new(RootCertStore::empty()) } else { roots::platform() };
    if platform.is_empty() && !plain && config.ca_file.is_none() {
        return Err(TlsError::NoRoots);
    }
    build(config, platform).map(Arc::new)
}

fn build(config: &Config, mut roots: Arc<RootCertStore>) -> Result<ClientConfig, TlsError> {
    if let Some(path) = &config.ca_file {
        let roots = Arc::make_mut(&mut roots);
        let file = Named { key: CA_FILE, path };
        for certificate in file.certificates()? {
            roots.add(certificate).map_err(|error| file.bad(error.to_string()))?;
        }
    }
    let builder = ClientConfig::builder_with_protocol_versions(config.min_version.and_newer());
    let builder = builder.with_root_certificates(roots);
    let mut client = match &config.client_cert {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = Named { key: CLIENT_CERT, path: chain }.certificates()?;
            let key = Named { key: CLIENT_KEY, path: key }.private_key()?;
            builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::OtherKey,
                other => TlsError::Client(other),
            })?
        }
    };
    // All workers share this config, and so the sessions in it.
    client.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(client)
}

// === impl Version ===

impl Version {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => NEWEST,
        }
    }
}

// === impl TlsError ===

impl TlsError {
    /// Which key of the table `tls` is to be corrected.
    pub fn key(&self) -> &'static str {
        match self {
            Self::File(error) => error.key(),
            Self::NoRoots => CA_FILE,
            Self::OtherKey => CLIENT_KEY,
            Self::Client(_) => CLIENT_CERT,
        }
    }
}

static NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

const CA_FILE: &str = "ca_file";
const CLIENT_CERT: &str = "client_cert";
const CLIENT_KEY: &str = "client_key";

/// Of one upstream: the newest eight for each of four names, and a vendor has one or two. Room is
/// taken up for all of them at the start.
const SESSIONS: usize = 32;

#[cfg(test)]
mod tests;
