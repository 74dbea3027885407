//! Why a renewal brought nothing, from whatever kind of failure.

use std::time::Duration;

use crate::causes::causes;

use super::super::budget::Spent;
use super::super::store::StoreError;
use super::super::wire::Denied;
use super::super::{NoTokenKind, Outcome};

/// A renewal that brought nothing. No credential is lost by it.
#[derive(Debug)]
pub(super) struct Setback {
    pub(super) outcome: Outcome,
    pub(super) detail: String,
    /// When to try again, where that is known.
    pub(super) wait: Option<Duration>,
    /// Trying again will not help.
    pub(super) needs_a_person: bool,
}

// === impl Setback ===

impl Setback {
    pub(super) fn kind(&self) -> NoTokenKind {
        match self.outcome {
            Outcome::Budget => NoTokenKind::Budget,
            _ => NoTokenKind::Unavailable,
        }
    }
}

impl From<Denied> for Setback {
    fn from(denied: Denied) -> Self {
        let outcome = match denied {
            Denied::Refused(_) => Outcome::Refused,
            Denied::Unreachable(_) | Denied::NotSent(_) => Outcome::Unreachable,
            Denied::Malformed(_) => Outcome::Malformed,
        };
        Self { outcome, detail: denied.to_string(), wait: None, needs_a_person: false }
    }
}

impl From<Spent> for Setback {
    fn from(spent: Spent) -> Self {
        Self {
            outcome: Outcome::Budget,
            detail: spent.to_string(),
            wait: Some(spent.opens_in()),
            needs_a_person: false,
        }
    }
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        Self {
            outcome: Outcome::Unsaved,
            detail: causes(&error),
            wait: None,
            needs_a_person: false,
        }
    }
}
