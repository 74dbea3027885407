//! What requests ask of the refresher.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::telemetry::traces::Context;

use super::super::cache::Live;
use super::super::{NoToken, Reason};

/// Somebody needs a token of a later generation.
#[derive(Debug)]
pub struct Demand {
    /// `None`: any living token will do.
    pub(super) than: Option<u64>,
    pub(super) reason: Reason,
    pub(super) asked_at: Instant,
    /// What of a trace it is.
    pub(super) cause: Option<Context>,
    reply: Option<oneshot::Sender<Result<Arc<Live>, NoToken>>>,
}

// === impl Demand ===

impl Demand {
    pub(in super::super) fn newer_than(
        than: Option<u64>,
        reason: Reason,
        reply: Option<oneshot::Sender<Result<Arc<Live>, NoToken>>>,
    ) -> Self {
        Self { than, reason, asked_at: Instant::now(), cause: None, reply }
    }

    pub(in super::super) fn of(self, cause: Option<Context>) -> Self {
        Self { cause, ..self }
    }

    pub(super) fn answer(self, answer: Result<Arc<Live>, NoToken>) {
        if let Some(reply) = self.reply {
            // The caller may have gone away.
            let _ = reply.send(answer);
        }
    }
}
