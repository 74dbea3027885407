//! Tokens that a request waits for, as a part of its trace if it has one.

use std::sync::Arc;

use crate::token::cache::Live;
use crate::token::{NoToken, Tokens};

use super::access::Entry;
use super::error::ProxyError;
use super::route::Settings;

/// The first one, where there is none.
pub(super) async fn current(
    settings: &Settings,
    entry: Option<&Entry>,
) -> Result<Arc<Live>, ProxyError> {
    let caused = caused(&settings.tokens, entry);
    let current = caused.as_ref().unwrap_or(&settings.tokens).current().await;
    current.map_err(|source| ProxyError::NoToken { upstream: settings.name.clone(), source })
}

/// One that is newer than this.
pub(super) async fn newer_than(
    settings: &Settings,
    entry: Option<&Entry>,
    generation: u64,
) -> Result<Arc<Live>, NoToken> {
    let caused = caused(&settings.tokens, entry);
    caused.as_ref().unwrap_or(&settings.tokens).newer_than(generation).await
}

fn caused(tokens: &Tokens, entry: Option<&Entry>) -> Option<Tokens> {
    Some(tokens.caused_by(entry?.context()?))
}
