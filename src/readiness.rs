//! Who is ready, and if not, why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Ready when every registered part is, and the process is not stopping.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

/// One part's say in the matter. Dropping it leaves the last word standing.
#[derive(Clone, Debug)]
pub struct Part {
    readiness: Readiness,
    name: Arc<str>,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    /// What each part still waits for; `None`: nothing.
    waiting: BTreeMap<Arc<str>, Option<String>>,
}

// === impl Readiness ===

impl Readiness {
    /// Adds a part, not ready until it says so.
    pub fn register(&self, name: &str) -> Part {
        let name: Arc<str> = name.into();
        self.with(|state| state.waiting.insert(name.clone(), Some("starting".to_owned())));
        Part { readiness: self.clone(), name }
    }

    /// From now on not ready, whatever the parts say: the first step of a shutdown.
    pub fn stop(&self) {
        self.with(|state| state.stopping = true);
    }

    pub fn is_ready(&self) -> bool {
        self.with(|state| !state.stopping && state.waiting.values().all(Option::is_none))
    }

    pub fn is_stopping(&self) -> bool {
        self.with(|state| state.stopping)
    }

    /// Every part with the reason it waits, or `None` when it is ready.
    pub fn parts(&self) -> Vec<(Arc<str>, Option<String>)> {
        self.with(|state| state.waiting.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Part ===

impl Part {
    pub fn ready(&self) {
        self.readiness.with(|state| state.waiting.insert(self.name.clone(), None));
    }

    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = Some(reason.into());
        self.readiness.with(|state| state.waiting.insert(self.name.clone(), reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p29_ready_only_when_every_part_is_and_nothing_stops() {
        let readiness = Readiness::default();
        let (one, two) = (readiness.register("one"), readiness.register("two"));
        one.ready();
        assert!(!readiness.is_ready());
        two.ready();
        assert!(readiness.is_ready());
        one.not_ready("no token");
        assert!(!readiness.is_ready());
        assert_eq!(readiness.parts()[0].1.as_deref(), Some("no token"));
        one.ready();
        readiness.stop();
        assert!(!readiness.is_ready() && readiness.is_stopping());
    }
}
