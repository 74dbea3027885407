//! One vendor's state behind one lock: its ledger of tokens, its faults, what it has seen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::{pin, sync::Notify, time::Instant};

use super::{
    Vendor,
    endpoint::{Endpoint, Grant},
    fault::{Fault, FaultKind, Faults, Scope},
    history::{Counts, History, Seen},
    settings::{Settings, TokenSettings},
    tokens::{Issued, Ledger, Policy, RefreshRefused, Standing},
};

/// Where requests to one vendor are dealt with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) vendor: Vendor,
    pub(super) settings: Settings,
    state: Mutex<State>,
    counted: Notify,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    faults: Faults,
    history: History,
}

/// One vendor's part of `GET /-/state`: no token, no secret.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    generation: u64,
    /// `None`: no access token lives.
    access_token_seconds_left: Option<u64>,
    counts: Counts,
    faults: Vec<String>,
    mistakes: Vec<String>,
}

impl Desk {
    pub(super) fn new(vendor: Vendor, settings: &Settings) -> Self {
        let first_refresh = match vendor {
            Vendor::Jing => None,
            Vendor::Aiclk => Some(settings.aiclk.first_refresh_token.clone()),
        };
        let tokens = token_settings(vendor, settings);
        let policy = Policy {
            access_life: tokens.access_life,
            refresh_life: tokens.refresh_life,
            refresh_ends_access: tokens.refresh_ends_access,
        };
        let ledger = Ledger::new(vendor.name(), policy, first_refresh, Instant::now());
        let state = State { ledger, faults: Faults::default(), history: History::default() };
        Self {
            vendor,
            settings: settings.clone(),
            state: Mutex::new(state),
            counted: Notify::new(),
        }
    }

    pub(super) fn tokens(&self) -> &TokenSettings {
        token_settings(self.vendor, &self.settings)
    }

    // === the way of a request ===

    pub(super) fn arrived(&self, endpoint: Endpoint) {
        let counts = &mut self.lock().history.counts;
        match endpoint {
            Endpoint::Mint => counts.mints += 1,
            Endpoint::Refresh => counts.refreshes += 1,
            Endpoint::Call(_) | Endpoint::Stream | Endpoint::WebSocket => counts.calls += 1,
            // Counted as a mistake.
            Endpoint::Unknown => {}
        }
        self.counted.notify_waiters();
    }

    pub(super) fn take_fault<T>(
        &self,
        scope: Scope,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        self.lock().faults.take(scope, pick)
    }

    pub(super) fn meets(&self, scope: Scope, kind: &FaultKind) -> bool {
        self.take_fault(scope, |set| (set == kind).then_some(())).is_some()
    }

    /// Hands out tokens; all in one step, so that of two requests with one single-use refresh
    /// token the second is refused.
    pub(super) fn grant(&self, asked: &Grant) -> Result<Issued, RefreshRefused> {
        let now = Instant::now();
        let State { ledger, faults, .. } = &mut *self.lock();
        let mut meets = |kind| faults.take(Scope::Token, |set| (*set == kind).then_some(()));

        if let Grant::Refresh(presented) = asked
            && (!ledger.is_live_refresh(presented, now)
                || meets(FaultKind::RefuseRefresh).is_some())
        {
            return Err(RefreshRefused);
        }
        if let Some(same) = ledger.same_again(now)
            && meets(FaultKind::SameToken).is_some()
        {
            return Ok(same);
        }
        match asked {
            Grant::Mint => Ok(ledger.mint(now)),
            Grant::Refresh(presented) => {
                let told = faults.take(Scope::Token, |kind| match kind {
                    FaultKind::Rotate(rotate) => Some(*rotate),
                    _ => None,
                });
                ledger.refresh(presented, told.unwrap_or(self.tokens().rotate), now)
            }
        }
    }

    pub(super) fn judge(&self, access_token: &str) -> Standing {
        self.lock().ledger.judge(access_token, Instant::now())
    }

    pub(super) fn mistake(&self, reason: &str) {
        self.lock().history.mistake(reason.to_owned());
    }

    pub(super) fn saw(&self, seen: Seen) {
        self.lock().history.saw(seen);
        self.counted.notify_waiters();
    }

    // === what tests and people ask and set ===

    pub(super) fn set(&self, fault: Fault) {
        let mut state = self.lock();
        match fault.kind {
            FaultKind::Expire => state.ledger.expire(Instant::now()),
            _ => state.faults.set(fault),
        }
    }

    pub(super) fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    pub(super) fn issue(&self) -> Issued {
        self.lock().ledger.mint(Instant::now())
    }

    pub(super) fn with_ledger<T>(&self, look: impl FnOnce(&Ledger, Instant) -> T) -> T {
        look(&self.lock().ledger, Instant::now())
    }

    pub(super) fn with_history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.lock().history)
    }

    /// Waits until `done` likes the counts.
    pub(super) async fn until(&self, done: impl Fn(&Counts) -> bool) -> Counts {
        loop {
            let counted = self.counted.notified();
            pin!(counted);
            // From here on no change is missed, so the look may come after.
            counted.as_mut().enable();
            let counts = self.with_history(|history| history.counts);
            if done(&counts) {
                return counts;
            }
            counted.await;
        }
    }

    pub(super) fn report(&self) -> Report {
        let state = self.lock();
        let live = state.ledger.live_access(Instant::now());
        Report {
            generation: state.ledger.generation(),
            access_token_seconds_left: live.map(|(_, left)| left.as_secs()),
            counts: state.history.counts,
            faults: state.faults.lines(),
            mistakes: state.history.mistakes(),
        }
    }

    /// Nothing that holds the lock can leave the state half changed, so a panic elsewhere does
    /// not matter.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token_settings(vendor: Vendor, settings: &Settings) -> &TokenSettings {
    match vendor {
        Vendor::Jing => &settings.jing.tokens,
        Vendor::Aiclk => &settings.aiclk.tokens,
    }
}
