//! One token of an upstream, got as a gateway gets it and saved where gateways look: for a command
//! that wants to know whether the credentials are good.

use std::sync::Arc;

use crate::config::{StoreConfig, StorePlace, UpstreamConfig};
use crate::readiness::Readiness;
use crate::telemetry::metrics::Metrics;
use crate::token::Status;
use crate::units::Scheme;
use crate::upstream::tls;

use super::assemble::{self, Shared};
use super::{Opener, StartError, open_store, process_name};

/// Gets tokens beside the gateways that may run on the same store.
#[derive(Debug)]
pub struct TryOut {
    shared: Shared,
    /// What is got is known to nobody when the process has ended.
    forgets: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum Tried {
    Got(Box<Status>),
    /// It was not tried, as the refresh token might be lost by it.
    WouldSpend,
}

#[derive(Debug, thiserror::Error)]
pub enum TryError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    NoToken(#[from] crate::token::NoToken),
}

impl TryOut {
    /// # Errors
    /// When the store cannot be opened.
    pub fn new(config: &StoreConfig) -> Result<Self, StartError> {
        let shared = Shared {
            store: Arc::new(open_store(config, Opener::Command)?),
            process: process_name(),
            lease: config.lease,
            readiness: Readiness::default(),
            metrics: Metrics::new(env!("CARGO_PKG_VERSION"), "")?,
        };
        Ok(Self { shared, forgets: matches!(config.place, StorePlace::Memory) })
    }

    /// A refresh token may be good for one call. What comes in its place is saved before this
    /// returns; where there is no place for it, the vendor is only asked to mint.
    ///
    /// # Errors
    /// When there is no token, with what a person must do.
    pub async fn token(&self, mut config: UpstreamConfig) -> Result<Tried, TryError> {
        if self.forgets && config.seed.take().is_some() && config.vendor.mint.is_none() {
            return Ok(Tried::WouldSpend);
        }
        let plain = config.base_url.scheme() == Scheme::Http;
        let tls = tls::client_config(&config.tls, plain)
            .map_err(|source| StartError::Tls { upstream: config.name.clone(), source })?;
        let (refresher, _tokens) = assemble::token(&config, tls, &self.shared)?;
        let status = refresher.once().await?;
        Ok(Tried::Got(Box::new(status)))
    }
}
