//! What the reader of a connection and the service that answers on it tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::fault::Fault;

/// Shared by the two ends of one connection.
///
/// Both ends run in one task, so nothing waits here for anything; that they are atomic is for
/// hyper, which hands only what is `Send` over to an upgrade.
#[derive(Debug)]
pub struct Watch {
    /// Requests that the service has seen.
    seen: AtomicU64,
    /// Requests whose answers have ended.
    ended: AtomicU64,
    /// The number of the request that stands for a faulty one; `NONE` while there is none.
    faulty: AtomicU64,
    fault: AtomicU8,
    tunnel: AtomicBool,
}

/// A request is being answered for as long as this lives.
#[derive(Debug)]
pub struct Open(Arc<Watch>);

const NONE: u64 = u64::MAX;

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            seen: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            faulty: AtomicU64::new(NONE),
            fault: AtomicU8::new(0),
            tunnel: AtomicBool::new(false),
        })
    }

    /// To be called once for each request, in order. The pause before the next request begins when
    /// the guard is dropped. The fault is there when this request only stands for one that could
    /// not be read.
    pub fn begin(self: &Arc<Self>) -> (Open, Option<Fault>) {
        // One task calls this, so no increment can be lost.
        let number = self.seen.load(Ordering::Relaxed);
        self.seen.store(number + 1, Ordering::Relaxed);
        let is_faulty = number == self.faulty.load(Ordering::Acquire);
        let fault = is_faulty.then(|| Fault::of_code(self.fault.load(Ordering::Relaxed))).flatten();
        (Open(Arc::clone(self)), fault)
    }

    /// The request that asked for an upgrade gets it. To be called before its [`Open`] ends: that
    /// says that it was answered otherwise, and what follows is HTTP.
    pub fn tunnel(&self) {
        self.tunnel.store(true, Ordering::Release);
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Acquire)
    }

    pub(super) fn set_fault(&self, number: u64, fault: Fault) {
        self.fault.store(fault.code(), Ordering::Relaxed);
        self.faulty.store(number, Ordering::Release);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}
