//! What requests ask of the refresher.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::clock::{self, BootTime};

use super::super::cache::Live;
use super::super::provider::TokenEndpoint;
use super::super::store::Pages;
use super::super::{NoToken, NoTokenKind, Reason};
use super::{FIRST_RETRY, Failure, Refresher};

/// Somebody needs a token of a later generation.
#[derive(Debug)]
pub struct Demand {
    /// `None`: any living token will do.
    pub(super) than: Option<u64>,
    pub(super) reason: Reason,
    pub(super) asked_at: Instant,
    reply: Option<oneshot::Sender<Result<Arc<Live>, NoToken>>>,
}

// === impl Demand ===

impl Demand {
    pub(in super::super) fn newer_than(
        than: Option<u64>,
        reason: Reason,
        reply: Option<oneshot::Sender<Result<Arc<Live>, NoToken>>>,
    ) -> Self {
        Self { than, reason, asked_at: Instant::now(), reply }
    }

    pub(super) fn answer(self, answer: Result<Arc<Live>, NoToken>) {
        if let Some(reply) = self.reply {
            // The caller may have gone away.
            let _ = reply.send(answer);
        }
    }
}

// === impl Refresher ===

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    /// The vendor calls a token dead and hands out the same one again.
    pub(super) fn same_again(&mut self) -> NoToken {
        let same = self.known.as_ref().and_then(|page| page.failure.as_ref());
        let retry_after = same.map_or(FIRST_RETRY, |failure| clock::until(failure.until));
        let error = NoToken {
            kind: NoTokenKind::Unavailable,
            detail: "the vendor called the token dead, and handed out the same one again".into(),
            retry_after,
        };
        self.failure = Some(Failure {
            error: error.clone(),
            at: Instant::now(),
            until: BootTime::now() + retry_after,
            only_schedule: false,
            needs_a_person: false,
        });
        error
    }
}
