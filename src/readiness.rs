//! Who is ready, and if not, why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Ready when every registered part is, and the process is not stopping.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Inner>);

/// One part's say in the matter. Dropping it leaves the last word standing.
#[derive(Clone, Debug)]
pub struct Part {
    readiness: Readiness,
    name: Arc<str>,
    number: u64,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Told of every change.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    /// By its name.
    parts: BTreeMap<Arc<str>, Entry>,
    /// How many were registered ever.
    registered: u64,
}

#[derive(Debug)]
struct Entry {
    /// The part that has the say under this name: the last that was registered.
    number: u64,
    /// What it still waits for; `None`: nothing.
    waits_for: Option<String>,
}

// === impl Readiness ===

impl Readiness {
    /// Adds a part, not ready until it says so. One that had this name has no more say.
    pub fn register(&self, name: &str) -> Part {
        let name: Arc<str> = name.into();
        let number = self.change(|state| {
            state.registered += 1;
            let number = state.registered;
            let entry = Entry { number, waits_for: Some("starting".to_owned()) };
            state.parts.insert(name.clone(), entry);
            number
        });
        Part { readiness: self.clone(), name, number }
    }

    /// Whoever had this name has no more say.
    pub fn remove(&self, name: &str) {
        self.change(|state| state.parts.remove(name));
    }

    /// From now on not ready, whatever the parts say: the first step of a shutdown.
    pub fn stop(&self) {
        self.change(|state| state.stopping = true);
    }

    /// Sees every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    pub fn is_ready(&self) -> bool {
        self.with(|state| !state.stopping && state.parts.values().all(|it| it.waits_for.is_none()))
    }

    pub fn is_stopping(&self) -> bool {
        self.with(|state| state.stopping)
    }

    /// Every part with the reason it waits, or `None` when it is ready.
    pub fn parts(&self) -> Vec<(Arc<str>, Option<String>)> {
        self.with(|state| {
            state.parts.iter().map(|(k, v)| (k.clone(), v.waits_for.clone())).collect()
        })
    }

    fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let done = self.with(act);
        self.0.changes.send_replace(());
        done
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Part ===

impl Part {
    pub fn ready(&self) {
        self.say(None);
    }

    pub fn not_ready(&self, reason: impl Into<String>) {
        self.say(Some(reason.into()));
    }

    fn say(&self, waits_for: Option<String>) {
        self.readiness.change(|state| {
            let entry = state.parts.get_mut(&self.name);
            let own = entry.filter(|entry| entry.number == self.number);
            own.into_iter().for_each(|entry| entry.waits_for = waits_for.clone());
        });
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

    #[test]
    fn p30_a_part_that_was_removed_or_replaced_has_no_more_say() {
        let readiness = Readiness::default();
        let old = readiness.register("one");
        old.ready();
        let new = readiness.register("one");
        assert!(!readiness.is_ready());
        old.ready();
        assert!(!readiness.is_ready(), "it is the other's turn");
        new.ready();
        old.not_ready("gone");
        assert!(readiness.is_ready());
        readiness.remove("one");
        new.not_ready("gone");
        assert!(readiness.is_ready() && readiness.parts().is_empty());
    }
}
