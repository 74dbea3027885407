//! The token that requests carry now.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::vendor::injection::Injection;

/// One published token, ready to be put into requests.
#[derive(Debug)]
pub struct Live {
    /// Grows by one with every new access token; a rejection of an older one costs no refresh.
    pub generation: u64,
    /// From then on it is not sent any more.
    pub over_at: Instant,
    pub injection: Injection,
}

/// Read by every request with one atomic load, written by the refresher alone.
#[derive(Debug, Default)]
pub struct Cache {
    slot: ArcSwapOption<Live>,
}

impl Cache {
    /// The token, unless there is none or it is over.
    pub fn living(&self, now: Instant) -> Option<Arc<Live>> {
        self.slot.load_full().filter(|live| live.over_at > now)
    }

    /// The generation last published; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.slot.load().as_ref().map_or(0, |live| live.generation)
    }

    pub(super) fn publish(&self, live: Live) {
        self.slot.store(Some(Arc::new(live)));
    }
}
