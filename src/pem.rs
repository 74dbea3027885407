//! Certificates, keys and revocation lists in PEM files, with errors that name the config's key.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// Why a file is not what its key says.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("{}: cannot be read", path.display())]
    Read {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {problem}", path.display())]
    Content { key: &'static str, path: PathBuf, problem: String },
}

/// A file, and the key of the config that names it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub key: &'static str,
    pub path: &'a Path,
}

impl Named<'_> {
    /// A chain, or a bundle of authorities.
    ///
    /// # Errors
    /// When there is none.
    pub fn certificates(self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        self.all("certificate")
    }

    /// # Errors
    /// When there is none.
    pub fn revocation_lists(self) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
        self.all("revocation list (X509 CRL)")
    }

    /// # Errors
    /// When there is none.
    pub fn private_key(self) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_file(self.path).map_err(|error| match error {
            pem::Error::Io(source) => self.unreadable(source),
            error => self.bad(format!("no private key in PEM ({error})")),
        })
    }

    /// The content cannot be used.
    pub fn bad(self, problem: impl Into<String>) -> PemError {
        let Self { key, path } = self;
        PemError::Content { key, path: path.to_owned(), problem: problem.into() }
    }

    fn all<T: PemObject>(self, what: &str) -> Result<Vec<T>, PemError> {
        let file = File::open(self.path).map_err(|source| self.unreadable(source))?;
        let found: Result<Vec<_>, _> = T::pem_reader_iter(BufReader::new(file)).collect();
        let found = found.map_err(|error| self.bad(format!("bad PEM ({error})")))?;
        if found.is_empty() {
            return Err(self.bad(format!("no {what} in PEM")));
        }
        Ok(found)
    }

    fn unreadable(self, source: io::Error) -> PemError {
        PemError::Read { key: self.key, path: self.path.to_owned(), source }
    }
}

impl PemError {
    /// Which key is to be corrected.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Read { key, .. } | Self::Content { key, .. } => key,
        }
    }
}
