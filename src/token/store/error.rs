//! Why a store has not done what was asked of it.

use std::path::PathBuf;
use std::time::Duration;

use super::Unreadable;
use super::kubernetes::ApiError;
use super::seal::Unsealed;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: {doing} failed", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{}: {problem}; it is left as it is: mend it, or move it away and seed again",
        path.display()
    )]
    Damaged { path: PathBuf, problem: String },
    #[error("{}: in use by another tokenward ({holder}): {advice}", path.display())]
    Held { path: PathBuf, holder: String, advice: &'static str },
    #[error(
        "{}: another process has been about to write it for {}, as its lock file (.write) says",
        path.display(),
        humantime::format_duration(*waited)
    )]
    Busy { path: PathBuf, waited: Duration },
    #[error("the store at {server} {problem}")]
    Unavailable {
        /// Without a password.
        server: String,
        /// A clause about it, and what helps.
        problem: String,
    },
    #[error(transparent)]
    Kubernetes(#[from] ApiError),
    #[error("the store's page {page} cannot be read; it is left as it is")]
    Unreadable {
        page: String,
        #[source]
        source: Unreadable,
    },
    #[error("the store's page {page} was not written")]
    Unsealed {
        page: String,
        #[source]
        source: Unsealed,
    },
}
