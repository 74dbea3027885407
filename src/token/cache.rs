//! The token that requests carry now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::BootTime;
use crate::vendor::injection::Injection;
use arc_swap::ArcSwapOption;

/// One published token, ready to be put into requests.
#[derive(Debug)]
pub struct Live {
    /// Grows by one with every new access token; a rejection of an older one costs no refresh.
    pub generation: u64,
    /// From then on it is not sent any more.
    pub over_at: BootTime,
    pub injection: Injection,
    /// The vendor has accepted it.
    worked: AtomicBool,
}

impl Live {
    pub fn new(generation: u64, over_at: BootTime, injection: Injection) -> Self {
        Self { generation, over_at, injection, worked: AtomicBool::new(false) }
    }

    /// Notes that the vendor has accepted it.
    pub fn note_worked(&self) {
        // Read first: the line is shared by all workers.
        if !self.worked() {
            self.worked.store(true, Ordering::Relaxed);
        }
    }

    pub fn worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }
}

/// Read by every request with one atomic load, written by the refresher alone.
#[derive(Debug, Default)]
pub struct Cache {
    slot: ArcSwapOption<Live>,
}

impl Cache {
    /// The token, unless there is none or it is over.
    pub fn living(&self, now: BootTime) -> Option<Arc<Live>> {
        self.slot.load_full().filter(|live| live.over_at > now)
    }

    /// The generation last published; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.slot.load().as_ref().map_or(0, |live| live.generation)
    }

    /// Whether the vendor has accepted the token of this generation.
    pub(super) fn has_worked(&self, generation: u64) -> bool {
        let live = self.slot.load();
        live.as_ref().is_some_and(|live| live.generation == generation && live.worked())
    }

    pub(super) fn publish(&self, live: Live) {
        self.slot.store(Some(Arc::new(live)));
    }
}
