//! How the store is, as operators see it: a gauge, a count, a line for each change, and `/status`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::causes::causes;
use crate::clock;
use crate::telemetry::metrics::StoreMetrics;

use super::{StoreError, Unreadable, Written, Wrote};

/// The store as `/status` shows it. No secret is in it.
#[derive(Clone, Debug)]
pub struct Condition {
    pub kind: &'static str,
    /// Whether it can be read and written, as last heard.
    pub up: bool,
    /// Since when it is so; at first, since the start.
    pub since: SystemTime,
    /// What is wrong.
    pub detail: Option<String>,
}

/// Remembers how reads and writes have ended, and tells changes once.
#[derive(Debug)]
pub(super) struct Health {
    kind: &'static str,
    metrics: StoreMetrics,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Why the last read failed.
    reading: Option<String>,
    /// Why the last write failed. That something can be read says nothing of writing.
    writing: Option<String>,
    down: bool,
    /// When `down` last changed.
    changed: Instant,
    since: SystemTime,
    /// The log says that it is down, since then.
    told: Option<Instant>,
    /// How often it went down since then.
    outages: u32,
    /// When the log last said that it is back.
    back: Option<Instant>,
    /// When a write was last tried for its own sake.
    tried: Option<Instant>,
    /// Pages that can be had, but not be understood, and why.
    unreadable: BTreeMap<String, String>,
}

// === impl Health ===

impl Health {
    pub(super) fn new(kind: &'static str, metrics: StoreMetrics) -> Self {
        let state = State {
            reading: None,
            writing: None,
            down: false,
            changed: Instant::now(),
            since: clock::wall(),
            told: None,
            outages: 0,
            back: None,
            tried: None,
            unreadable: BTreeMap::new(),
        };
        Self { kind, metrics, state: Mutex::new(state) }
    }

    pub(super) fn measured(self, metrics: StoreMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// A page was asked for.
    pub(super) fn read(&self, result: &Result<Option<Written>, StoreError>) {
        let problem = result.as_ref().err().map(|error| causes(error));
        // What comes of a page that was had is counted when it has been opened.
        if problem.is_some() {
            self.metrics.done(READ, "failed");
        }
        let mut state = self.state();
        state.reading = problem;
        self.turn(&mut state, READ);
    }

    /// A page was to be replaced.
    pub(super) fn wrote(&self, result: &Result<Wrote, StoreError>) {
        let mut state = self.state();
        match result {
            Ok(Wrote::Done) => {
                self.metrics.done(WRITE, "ok");
                (state.reading, state.writing) = (None, None);
            }
            // It has been read, and not been written.
            Ok(Wrote::Stale(_)) => {
                self.metrics.done(WRITE, "stale");
                state.reading = None;
            }
            Err(error) => {
                self.metrics.done(WRITE, "failed");
                state.writing = Some(causes(error));
            }
        }
        self.turn(&mut state, WRITE);
    }

    /// A page that was had was opened, or could not be: a person must act, and is told once.
    pub(super) fn opened(&self, page: &str, result: Result<(), &Unreadable>) {
        let mut state = self.state();
        match result {
            Ok(()) => {
                if state.unreadable.remove(page).is_some() {
                    info!(page, "the store's page can be read again");
                }
            }
            Err(error) => {
                self.metrics.done(READ, "unreadable");
                let problem = causes(error);
                if state.unreadable.get(page) != Some(&problem) {
                    error!(page, problem, "the store's page cannot be read; it is left as it is");
                    state.unreadable.insert(page.to_owned(), problem);
                }
            }
        }
    }

    pub(super) fn understood(&self) {
        self.metrics.done(READ, "ok");
    }

    /// Whether nothing but a write can show that it can be written again: the last one has failed,
    /// and nobody else has tried for a while.
    pub(super) fn wants_a_write(&self) -> bool {
        let mut state = self.state();
        let last = state.tried.unwrap_or(state.changed);
        let wanted = state.reading.is_none() && state.writing.is_some();
        let wanted = wanted && last.elapsed() >= BETWEEN_TRIES;
        if wanted {
            state.tried = Some(Instant::now());
        }
        wanted
    }

    pub(super) fn condition(&self) -> Condition {
        let state = self.state();
        let outage = state.reading.as_ref().or(state.writing.as_ref()).cloned();
        let unreadable = state.unreadable.iter().next();
        let unreadable = unreadable.map(|(page, problem)| format!("page {page}: {problem}"));
        Condition {
            kind: self.kind,
            up: !state.down,
            since: state.since,
            detail: outage.or(unreadable),
        }
    }

    /// Tells a change. A store that comes and goes is told to be back when it has stayed.
    fn turn(&self, state: &mut State, operation: &'static str) {
        let problem = state.reading.as_ref().or(state.writing.as_ref());
        let down = problem.is_some();
        let now = Instant::now();
        self.metrics.up(!down);
        if down != state.down {
            (state.down, state.changed, state.since) = (down, now, clock::wall());
            state.outages += u32::from(down);
        }
        match (state.told, problem) {
            (None, Some(problem)) => {
                warn!(
                    kind = self.kind,
                    operation,
                    problem,
                    "the token store fails: tokens in hand are served while they live, and none is \
                     renewed before it is back"
                );
                state.told = Some(now);
            }
            (Some(began), None) => {
                let flaps = state.back.is_some_and(|back| began - back < FLAPPING);
                if flaps && now - state.changed < FLAPPING {
                    return;
                }
                let away = whole_millis(state.changed - began);
                let outages = state.outages;
                info!(kind = self.kind, %away, outages, "the token store is back");
                (state.told, state.back, state.outages) = (None, Some(now), 0);
            }
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole_millis(span: Duration) -> humantime::FormattedDuration {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(millis))
}

const READ: &str = "read";
const WRITE: &str = "write";
/// A store that fails again so soon after it was back flaps: it is told to be back when it has
/// stayed for as long.
const FLAPPING: Duration = Duration::from_secs(60);
/// Between writes that are tried for their own sake.
const BETWEEN_TRIES: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
