//! The one task that owns an upstream's token in this process: it renews by the clock and on demand,
//! one renewal at a time, follows what others write into the store, and publishes what is newest.

mod carry_out;
mod demand;
mod failure;
mod follow;
mod lease;
mod once;
mod order;
mod report;
mod shifts;
#[cfg(test)]
mod simulation;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::watch::Watch;
use crate::clock::{self, BootTime};
use crate::readiness::Part;
use crate::secret::{Fingerprint, Secret};
use crate::telemetry::metrics::TokenMetrics;
use crate::telemetry::traces;
use crate::vendor::description::OldToken;
use crate::vendor::injection::{Inject, Injection};

use super::budget::Limits;
use super::cache::{Cache, Live};
use super::page::{Gain, Life, Page};
use super::provider::TokenEndpoint;
use super::renewal::{End, Rules, Setback, Task};
use super::schedule::Schedule;
use super::store::Pages;
use super::{LastRefresh, NoToken, Outcome, Reason, Status, Tokens};
pub use demand::Demand;
use failure::Failure;
use lease::LeaseWatch;
use order::Order;
pub use order::Remote;
use shifts::reached;

/// What the refresher of one upstream must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The upstream's name: its label.
    pub upstream: String,
    /// The account's page in the store.
    pub page: String,
    /// This process and upstream, as no other is called: it signs leases with it.
    pub holder: String,
    /// How long a lease lasts whose holder gives no sign of life.
    pub lease: Duration,
    pub inject: Vec<Inject>,
    /// The refresh token that the operator configured.
    pub seed: Option<Secret>,
    pub old_access_token: OldToken,
    pub schedule: Schedule,
    pub limits: Limits,
    /// The least time between any two calls of the vendor's token endpoint.
    pub vendor_interval: Duration,
    /// The longest that a request is held while a refresh is under way.
    pub wait: Duration,
}

/// Owns an upstream's token. Nobody else in this process writes the cache.
#[derive(Debug)]
pub struct Refresher<E, S> {
    config: Config,
    rules: Rules,
    endpoint: E,
    store: Arc<S>,
    cache: Arc<Cache>,
    demands: mpsc::Receiver<Demand>,
    orders: mpsc::Receiver<Order<E>>,
    status: watch::Sender<Status>,
    part: Part,
    metrics: TokenMetrics,

    /// The newest page that is known; `None` until the store could be read.
    known: Option<Page>,
    /// A new pair that could not be saved yet; requests do not see it.
    unsaved: Option<Gain>,
    /// A lease that was perhaps taken, for a call that was not made.
    unanswered: Option<u64>,
    lease: LeaseWatch,
    /// Between tries of a store that cannot be reached.
    backoff: Backoff,
    failure: Option<Failure>,
    renew_at: BootTime,
    renew_reason: Reason,
    /// When the store is read again, in case that somebody has written and nobody told.
    poll_at: Instant,
    /// A refresh token put into the store by hand that was noticed.
    noticed: Option<Fingerprint>,
    /// What of a trace the next renewal is.
    cause: Option<traces::Context>,
    /// Nothing was tried yet.
    first: bool,
    /// When the published token is over, until that has been reported.
    over_at: Option<BootTime>,
    /// The life of the token that was published last, and its end.
    published: Option<(Life, BootTime)>,
    clocks: Watch,
    /// Another speaks for the upstream, or nobody does.
    is_retired: bool,
}

// === impl Refresher ===

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    /// The task, to be [run](Self::run), and the handle for requests.
    pub fn new(
        config: Config,
        endpoint: E,
        store: Arc<S>,
        part: Part,
        metrics: TokenMetrics,
    ) -> (Self, Tokens) {
        let (sender, demands) = mpsc::channel(LONGEST_QUEUE);
        let (status, statuses) = watch::channel(Status::default());
        let cache = Arc::new(Cache::default());
        let tokens = Tokens {
            cache: cache.clone(),
            demands: sender,
            status: statuses,
            wait: config.wait,
            cause: None,
        };
        let rules = config.rules(&endpoint);
        // Nobody gives any before there is a remote.
        let (_, orders) = mpsc::channel(1);
        let now = Instant::now();
        let refresher = Self {
            lease: LeaseWatch::new(config.lease),
            config,
            rules,
            endpoint,
            store,
            cache,
            demands,
            orders,
            status,
            part,
            metrics,
            known: None,
            unsaved: None,
            unanswered: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            failure: None,
            renew_at: BootTime::now(),
            renew_reason: Reason::Schedule,
            poll_at: now,
            noticed: None,
            cause: None,
            first: true,
            over_at: None,
            published: None,
            clocks: Watch::new(),
            is_retired: false,
        };
        (refresher, tokens)
    }

    /// Runs until `stop` completes or every handle is gone. A renewal that is under way is brought
    /// to its end first: what the vendor has answered must be saved.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        self.start().await;
        loop {
            let changed = self.store.changed(&self.config.page);
            // In this order, so that no flood of demands keeps the clock from being looked at.
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(order) = self.orders.recv() => match order {
                    Order::Change(change) => self.change(*change).await,
                    Order::Retire => {
                        self.serve_the_last(stop.as_mut()).await;
                        break;
                    }
                },
                shift = self.clocks.shift() => self.shifted(shift).await,
                () = self.renew_at.reached() => self.renew_when_due().await,
                () = reached(self.over_at) => self.tell_end(),
                () = changed => self.follow().await,
                () = sleep_until(self.poll_at) => self.follow().await,
                demand = self.demands.recv() => match demand {
                    Some(demand) => self.meet(demand).await,
                    None => break,
                },
                // The day turns, and with it the budget, though nothing else happens.
                () = sleep(REPORT_INTERVAL) => self.report(None),
            }
        }
        self.save_at_last().await;
    }

    /// A stored, living token makes ready, whatever the token endpoint does.
    async fn start(&mut self) {
        let page = match self.store.load(&self.config.page).await {
            Ok(seen) => seen.page,
            Err(_) => {
                let _ = self.renew(Reason::Start, 0).await;
                return;
            }
        };
        self.lease.observe(&page);
        self.poll_at = Instant::now() + self.store.poll();
        let doubtful = page.is_doubtful();
        if let Some(intent) = &page.intent {
            let begun = humantime::format_rfc3339_seconds(intent.at);
            warn!(upstream = %self.config.upstream, %begun,
                "a refresh was cut off by the end of its process, or is still under way in another; its answer may be lost");
        }
        // Ready before the vendor is asked: the token in hand may be dead already, but it is better
        // than none, and a token endpoint may be silent for long.
        let living = self.is_living(&page) && self.publish(&page).is_ok();
        let seed_is_new = self.rules.seed_is_new(&page);
        let unproven = page.unproven;
        self.known = Some(page);
        if living {
            info!(upstream = %self.config.upstream, generation = self.cache.generation(),
                "serving with the token from the store");
            self.report(None);
        }
        let doubtful = doubtful && self.config.old_access_token == OldToken::Dies;
        if !living || doubtful || seed_is_new || unproven {
            let _ = self.renew(Reason::Start, self.generation()).await;
        }
    }

    /// Answers one demand: from the cache, with the failure that it waited for, or by a renewal.
    async fn meet(&mut self, demand: Demand) {
        let than = demand.than.unwrap_or(0);
        if let Some(live) = self.cache.living(BootTime::now()).filter(|live| live.generation > than)
        {
            return demand.answer(Ok(live));
        }
        if let Some(error) = self.failure.as_ref().and_then(|it| it.shared_with(&demand)) {
            return demand.answer(Err(error));
        }
        self.cause = demand.cause.clone();
        let renewed = self.renew(demand.reason, than).await;
        let newer = self.cache.living(BootTime::now()).filter(|live| live.generation > than);
        demand.answer(match (newer, renewed) {
            (Some(live), _) => Ok(live),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(self.same_again()),
        });
    }

    /// One renewal, with everything that must be noted about it.
    async fn renew(&mut self, reason: Reason, than: u64) -> Result<(), NoToken> {
        let began = Instant::now();
        let task = Task {
            reason,
            than,
            worked: self.cache.has_worked(than),
            first: std::mem::replace(&mut self.first, false),
            known: self.known.clone().unwrap_or_default(),
            unsaved: self.unsaved.take(),
            unanswered: self.unanswered.take(),
            chance: fastrand::u16(..),
        };
        let span = traces::refresh(self.cause.take());
        let end = traces::within(span.as_ref(), self.carry_out_watched(task)).await;
        let (outcome, detail) = match &end.result {
            Ok(outcome) => (*outcome, String::new()),
            Err(setback) => (setback.outcome, setback.detail.clone()),
        };
        self.metrics.refreshed(reason.as_str(), outcome.as_str(), began.elapsed());
        report::end_span(span, &self.config.upstream, reason, outcome);
        let death = end.death.is_some();
        let result = self.take_over(end);
        if death {
            self.note_early_death();
        }
        match result {
            Ok(()) => {
                self.failure = None;
                self.backoff.reset();
                info!(
                    upstream = %self.config.upstream,
                    reason = reason.as_str(),
                    outcome = outcome.as_str(),
                    generation = self.cache.generation(),
                    seconds_left = self.seconds_left(),
                    "token renewed"
                );
            }
            Err(setback) => self.put_off(reason, setback),
        }
        self.report(Some(LastRefresh {
            at: clock::wall(),
            reason,
            outcome,
            detail: detail.into(),
        }));
        match &self.failure {
            Some(failure) => Err(failure.error.clone()),
            None => Ok(()),
        }
    }

    /// What a renewal leaves behind becomes what is known; a newer token is published.
    fn take_over(&mut self, end: End) -> Result<(), Setback> {
        let End { result, page, unsaved, unanswered, refusals, .. } = end;
        (self.unsaved, self.unanswered) = (unsaved, unanswered);
        // The store may have lost a newer token meanwhile: it is given back, and not forgotten here.
        let page = match &self.known {
            Some(known) => page.restored(known),
            None => page,
        };
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(setback) => {
                // A page that was never read is not known.
                if self.known.is_some() || page != Page::default() {
                    self.known = Some(page);
                }
                return Err(setback);
            }
        };
        if outcome == Outcome::Ok {
            self.tell_refusals(&refusals);
        }
        let published = self.publish(&page);
        self.known = Some(page);
        published
    }

    /// Makes a page's token what requests carry, and sets the time of its renewal.
    fn publish(&mut self, page: &Page) -> Result<(), Setback> {
        let (Some(access_token), Some(life)) = (&page.tokens.access, page.life) else {
            return Err(Setback::malformed("there is no access token"));
        };
        let mut values = self.endpoint.credentials().clone();
        values.insert("access_token".to_owned(), access_token.clone());
        if let Some(refresh_token) = &page.tokens.refresh {
            values.insert("refresh_token".to_owned(), refresh_token.clone());
        }
        let injection = Injection::render(&self.config.inject, &values)
            .map_err(|error| Setback::malformed(&error.to_string()))?;
        let left = self.left(page);
        let now = BootTime::now();
        let over_at = now + left;
        self.over_at = Some(over_at);
        self.published = Some((life, over_at));
        self.cache.publish(Live::new(page.generation, over_at, injection));
        let due = self.config.schedule.due(&life, left, fastrand::f64());
        self.renew_at = now + due.after;
        self.renew_reason = due.reason;
        Ok(())
    }

    /// A renewal has failed: everybody shares its failure until the next try.
    fn put_off(&mut self, reason: Reason, setback: Setback) {
        let wait = setback.wait.unwrap_or_else(|| self.backoff.after_failure());
        self.tell(reason, &setback, wait);
        let by_itself = matches!(reason, Reason::Schedule | Reason::KeepAlive);
        let failure = Failure::new(&setback, by_itself, wait);
        self.renew_at = failure.until;
        self.renew_reason = if by_itself { reason } else { Reason::Schedule };
        self.failure = Some(failure);
    }

    /// The vendor calls a token dead and hands out the same one again.
    fn same_again(&mut self) -> NoToken {
        let same = self.known.as_ref().and_then(|page| page.failure.as_ref());
        let retry_after = same.map_or(FIRST_RETRY, |failure| clock::until(failure.until));
        let failure = Failure::same_again(retry_after);
        let error = failure.error.clone();
        self.failure = Some(failure);
        error
    }

    /// The generation that is known; a renewal wants a later one.
    fn generation(&self) -> u64 {
        self.known.as_ref().map_or(0, |page| page.generation)
    }
}

/// Demands that may wait while a renewal is under way; more callers wait at the channel's door.
const LONGEST_QUEUE: usize = 1024;
/// How old what `/status` says of the budget may be.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
