//! How callers come in: by Unix sockets and by TLS.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::FileMode;

/// The file of a `unix:` address: who may connect. Whoever can is asked for nothing more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSocket {
    /// In octal digits.
    #[schemars(extend("default" = "0600"))]
    pub mode: Option<FileMode>,
    /// A user by name or number. Left out: whoever runs the gateway.
    pub owner: Option<String>,
    /// A group by name or number. Left out: that of whoever runs the gateway.
    pub group: Option<String>,
}

/// TLS that callers by TCP speak. All files are PEM, relative to the config file, and read again when
/// they change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawClientsTls {
    /// Our certificate chain; with `key`, callers by TCP speak TLS.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The authorities whose certificates callers may show. Left out: none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Their revocation lists; needs `client_ca`.
    pub client_crl: Option<PathBuf>,
}
