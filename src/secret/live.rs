//! The list of all secrets that live: none can be made without being on it.
//!
//! Secrets are made at start and at refreshes, never for a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Inner, Secret};

/// A place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u64);

/// Keeps every secret that is made, and those that there are, until it is dropped: a failure may be
/// told after what it speaks of has gone.
#[derive(Debug)]
#[must_use = "secrets are held until this is dropped"]
pub struct Hold(());

struct List {
    live: BTreeMap<Number, Weak<Inner>>,
    holds: usize,
    held: Vec<Secret>,
}

/// All secrets that are to be looked for, and the version of the list.
pub fn all() -> (u64, Vec<Secret>) {
    let list = list();
    let version = version();
    // A secret that is dropped takes itself off the list, and must not find it locked.
    let live = list.live.values().filter_map(Weak::upgrade).map(Secret).collect();
    drop(list);
    (version, live)
}

/// Grows whenever the list changes.
pub fn version() -> u64 {
    VERSION.load(Ordering::Acquire)
}

/// Begins to keep secrets.
pub fn hold() -> Hold {
    let mut list = list();
    list.holds += 1;
    let live: Vec<_> = list.live.values().filter_map(Weak::upgrade).map(Secret).collect();
    list.held.extend(live);
    Hold(())
}

pub(super) fn number() -> Number {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Number(NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn enter(number: Number, secret: &Arc<Inner>) {
    let mut list = list();
    list.live.insert(number, Arc::downgrade(secret));
    if list.holds > 0 {
        list.held.push(Secret(secret.clone()));
    }
    VERSION.fetch_add(1, Ordering::Release);
}

pub(super) fn leave(number: Number) {
    let left = list().live.remove(&number);
    VERSION.fetch_add(1, Ordering::Release);
    drop(left);
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut list = list();
        list.holds -= 1;
        let held = if list.holds == 0 { std::mem::take(&mut list.held) } else { Vec::new() };
        drop(list);
        drop(held);
    }
}

fn list() -> MutexGuard<'static, List> {
    // Nothing panics half-way through a change.
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

static LIST: Mutex<List> = Mutex::new(List { live: BTreeMap::new(), holds: 0, held: Vec::new() });
static VERSION: AtomicU64 = AtomicU64::new(0);
