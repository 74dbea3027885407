//! One run: replicas that start, pause and die, callers, and whatever befalls store and vendor.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::super::cache::{Cache, Live};
use super::super::super::store::Store;
use super::super::super::{NoToken, Tokens};
use super::super::Refresher;
use super::audit::{Books, State};
use super::plan::Plan;
use super::shaky::{Shaky, Shelf, empty_store};
use super::vendor::{Endpoint, Vendor, number, text};
use super::{chance, gap};
use crate::clock::BootTime;
use crate::readiness::Readiness;
use crate::secret::Secret;
use crate::telemetry::metrics::Metrics;

/// What everybody in a run reaches.
pub(super) type Shared = Arc<World>;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) store: Store,
    state: Mutex<State>,
    handles: Mutex<Vec<Tokens>>,
    metrics: Arc<Metrics>,
}

/// One process from its start to its end: the place where it runs, and the how manieth it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Replica {
    pub(super) place: usize,
    pub(super) life: u32,
}

/// A replica that runs.
pub(super) struct Running {
    pub(super) who: Replica,
    gate: Arc<Mutex<Gate>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// While it is closed, the process is not scheduled, as after SIGSTOP.
#[derive(Default)]
struct Gate {
    closed: bool,
    waker: Option<Waker>,
}

/// A replica's task, as the system's scheduler sees it.
struct Process<F> {
    inner: Pin<Box<F>>,
    gate: Arc<Mutex<Gate>>,
    cache: Arc<Cache>,
    shared: Shared,
    who: Replica,
    /// How often it has run without any time passing.
    runs: (Instant, u32),
}

// === impl World ===

impl World {
    pub(super) fn new(plan: Plan, metrics: Arc<Metrics>, traced: bool) -> Shared {
        let books = Books::new(plan.caps(), traced);
        let vendor = Vendor::new(plan.terms.clone(), plan.vendor_faults);
        let shelf = Shelf::new(plan.store_faults, plan.poll, plan.notices);
        let state = Mutex::new(State { vendor, shelf, books });
        let (store, handles) = (empty_store(), Mutex::default());
        Arc::new(Self { plan, store, state, handles, metrics })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handles(&self) -> MutexGuard<'_, Vec<Tokens>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle for requests, as long as anybody has been started there.
    pub(super) fn tokens(&self, place: usize) -> Option<Tokens> {
        self.handles().get(place).cloned()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().books.violation.is_some()
    }

    pub(super) fn start(self: &Arc<Self>, who: Replica, seed: Option<usize>) -> Running {
        self.state().say(|| format!("{who} starts with the seed {seed:?}"));
        let config = self.plan.config(who, seed.map(text));
        let endpoint = Endpoint { shared: self.clone(), who };
        let store = Arc::new(Shaky { shared: self.clone(), who });
        let part = Readiness::default().register("vendor");
        let metrics = self.metrics.token_of("vendor");
        let (refresher, tokens) = Refresher::new(config, endpoint, store, part, metrics);
        let (stop, gate) = (CancellationToken::new(), Arc::<Mutex<Gate>>::default());
        let task = tokio::spawn(Process {
            inner: Box::pin(refresher.run(stop.clone().cancelled_owned())),
            gate: gate.clone(),
            cache: tokens.cache.clone(),
            shared: self.clone(),
            who,
            runs: (Instant::now(), 0),
        });
        let mut handles = self.handles();
        match handles.get_mut(who.place) {
            Some(handle) => *handle = tokens,
            None => handles.push(tokens),
        }
        Running { who, gate, stop, task }
    }

    /// Requests that come to one place now and then, for as long as the run lasts.
    pub(super) async fn calls_of(self: Arc<Self>, place: usize) {
        loop {
            sleep(gap(self.plan.between_calls)).await;
            let mistaken = chance(self.plan.mistaken);
            self.request(place, mistaken).await;
        }
    }

    /// One request: it takes the token, meets the vendor's verdict, and asks for a newer one. The
    /// result is that of its last step.
    pub(super) async fn request(
        &self,
        place: usize,
        mistaken: bool,
    ) -> Option<Result<Arc<Live>, NoToken>> {
        let tokens = self.tokens(place)?;
        let live = match self.in_time(tokens.current()).await {
            Ok(live) => live,
            Err(error) => return Some(Err(error)),
        };
        let alive = self.state().vendor.is_alive(access_of(&live));
        if alive && !mistaken {
            return Some(Ok(live));
        }
        self.state().say(|| format!("a caller at {place} meets a rejection"));
        if chance(0.1) {
            tokens.refresh_soon(live.generation);
            return None;
        }
        let newer = self.in_time(tokens.newer_than(live.generation)).await;
        if newer.as_ref().is_ok_and(|newer| newer.generation <= live.generation) {
            self.state().fail(format!("a caller got the token again that was rejected at {place}"));
        }
        Some(newer)
    }

    async fn in_time<T>(&self, asked: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let got = asked.await;
        let took = began.elapsed();
        if took > self.plan.wait + Duration::from_millis(10) {
            self.state().fail(format!("a caller was held for {took:?}"));
        }
        got
    }
}

pub(super) fn access_of(live: &Live) -> usize {
    let text = live.injection.headers[0].1.to_str().expect("a token is text");
    number(&Secret::new(text))
}

// === impl Running ===

impl Running {
    pub(super) fn pause(&self) {
        self.gate().closed = true;
    }

    pub(super) fn go_on(&self) {
        let mut gate = self.gate();
        gate.closed = false;
        if let Some(waker) = gate.waker.take() {
            waker.wake();
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends at once, wherever it stands.
    pub(super) async fn kill(&mut self, shared: &World) {
        self.task.abort();
        let _ = (&mut self.task).await;
        shared.state().ended(self.who, "is killed");
    }

    /// Ends in good order: what is under way is brought to its end.
    pub(super) async fn stop(&mut self, shared: &World) {
        self.stop.cancel();
        self.go_on();
        if (&mut self.task).await.is_err() {
            shared.state().fail(format!("{} has panicked", self.who));
        }
        shared.state().ended(self.who, "has stopped");
    }

    /// A task that has ended without being told to has panicked.
    pub(super) fn check(&self, shared: &World) {
        if self.task.is_finished() {
            shared.state().fail(format!("{} has ended by itself", self.who));
        }
    }
}

// === impl Process ===

impl<F: Future<Output = ()>> Future for Process<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            if gate.closed {
                gate.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let polled = self.inner.as_mut().poll(cx);
        let now = Instant::now();
        self.runs = if self.runs.0 == now { (now, self.runs.1 + 1) } else { (now, 0) };
        if let Some(live) = self.cache.living(BootTime::now()) {
            self.shared.state().watch(self.who, &live);
        }
        if self.runs.1 > MOST_RUNS {
            self.shared.state().fail(format!("{} spins", self.who));
            return Poll::Ready(());
        }
        polled
    }
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.place, self.life)
    }
}

/// At one instant a task may be woken by a crowd of callers, and not for ever.
const MOST_RUNS: u32 = 5000;
