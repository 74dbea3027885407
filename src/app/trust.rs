//! Whom an upstream's TLS trusts: read again when its files have changed, and kept, with the sessions in
//! it, when they have not.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::upstream::tls::{self, Config, TlsError};

use super::watch::{Content, look_now};

#[derive(Clone)]
pub(super) struct Trust {
    config: Config,
    plain: bool,
    /// What stood in the files.
    seen: Vec<Content>,
    pub(super) client: Arc<ClientConfig>,
}

impl Trust {
    /// # Errors
    /// When a file cannot be read or used.
    pub(super) fn new(
        config: &Config,
        plain: bool,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        // Looked at first: another content that comes in between is found out at the next look.
        let seen = look_now(&config.files());
        let same = before.filter(|it| it.config == *config && it.plain == plain && it.seen == seen);
        let client = match same {
            Some(before) => before.client.clone(),
            None => tls::client_config(config, plain)?,
        };
        Ok(Self { config: config.clone(), plain, seen, client })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.client, &other.client)
    }
}
