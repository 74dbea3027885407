//! TLS from callers, and what becomes of it when its files change.

use std::path::PathBuf;

use crate::causes::causes;
use crate::proxy::tls::{Config, Shared};

use super::StartError;

pub(super) struct CallersTls {
    config: Config,
    pub(super) shared: Shared,
}

impl CallersTls {
    /// Reads the files.
    pub(super) fn read(config: Config) -> Result<Self, StartError> {
        let shared = Shared::new(config.read().map_err(StartError::CallersTls)?);
        Ok(Self { config, shared })
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.config.files()
    }

    /// Reads them again, for the next handshake.
    ///
    /// # Errors
    /// What is wrong with which of them; then nothing changes.
    pub(super) fn reread(&self) -> Result<(), String> {
        let read = self.config.read();
        let read =
            read.map_err(|error| format!("clients.tls.{}: {}", error.key(), causes(&error)))?;
        self.shared.replace(read);
        Ok(())
    }
}
