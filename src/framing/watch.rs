//! What the reader of a connection and the service that answers on it tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::fault::Fault;

/// Shared by the two ends of one connection.
///
/// Both ends run in one task, so nothing waits here for anything.
#[derive(Debug)]
pub struct Watch {
    /// Requests that the service has seen.
    seen: AtomicU64,
    /// Requests whose answers have ended.
    ended: AtomicU64,
    /// The number of the request that stands for a faulty one; `NONE` while there is none.
    faulty: AtomicU64,
    fault: AtomicU8,
    upgrade: AtomicU8,
    unfinished: AtomicBool,
}

/// A request is being answered for as long as this lives.
#[derive(Debug)]
pub struct Open(Arc<Watch>);

/// What became of a request that asked for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Upgrade {
    Unknown,
    Http,
    Tunnel,
}

const NONE: u64 = u64::MAX;

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            seen: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            faulty: AtomicU64::new(NONE),
            fault: AtomicU8::new(0),
            upgrade: AtomicU8::new(Upgrade::Unknown as u8),
            unfinished: AtomicBool::new(false),
        })
    }

    /// To be called once for each request, in order. The fault, when this request only stands for
    /// one that could not be read.
    pub fn next_request(&self) -> Option<Fault> {
        // One task calls this, so no increment can be lost.
        let number = self.seen.load(Ordering::Relaxed);
        self.seen.store(number + 1, Ordering::Relaxed);
        if number != self.faulty.load(Ordering::Acquire) {
            return None;
        }
        Fault::of_code(self.fault.load(Ordering::Relaxed))
    }

    /// To be called once for each request. The pause before the next request begins when what is
    /// returned is dropped.
    pub fn open(self: &Arc<Self>) -> Open {
        Open(Arc::clone(self))
    }

    /// The request that asked for an upgrade was answered otherwise: what follows is HTTP. The end
    /// of its [`Open`] says the same.
    pub fn resume_http(&self) {
        self.upgrade.store(Upgrade::Http as u8, Ordering::Release);
    }

    /// The request that asked for an upgrade gets it. To be called before its [`Open`] ends.
    pub fn tunnel(&self) {
        self.upgrade.store(Upgrade::Tunnel as u8, Ordering::Release);
    }

    /// The caller was in the middle of a message, or sent a faulty one: bytes of it may still be
    /// under way, and closing at once could destroy the answer.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn upgrade(&self) -> Upgrade {
        match self.upgrade.load(Ordering::Acquire) {
            upgrade if upgrade == Upgrade::Http as u8 => Upgrade::Http,
            upgrade if upgrade == Upgrade::Tunnel as u8 => Upgrade::Tunnel,
            _ => Upgrade::Unknown,
        }
    }

    pub(super) fn ask_for_upgrade(&self) {
        self.upgrade.store(Upgrade::Unknown as u8, Ordering::Release);
    }

    pub(super) fn set_fault(&self, number: u64, fault: Fault) {
        self.fault.store(fault.code(), Ordering::Relaxed);
        self.faulty.store(number, Ordering::Release);
    }

    pub(super) fn set_unfinished(&self, unfinished: bool) {
        self.unfinished.store(unfinished, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}
