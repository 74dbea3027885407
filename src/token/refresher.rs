//! The one task that owns an upstream's token: it renews by the clock and on demand, one renewal
//! at a time, and publishes what it got.

mod renewal;
mod report;
mod setback;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock;
use crate::readiness::Part;
use crate::secret::Secret;
use crate::telemetry::metrics::TokenMetrics;
use crate::vendor::description::OldToken;
use crate::vendor::injection::Inject;

use super::budget::{Budget, Ledger, Limits};
use super::cache::{Cache, Live};
use super::provider::TokenEndpoint;
use super::schedule::Schedule;
use super::store::{Entry, Record, Store};
use super::{LastRefresh, NoToken, NoTokenKind, Outcome, Reason, Status, Tokens};
use setback::Setback;

/// What the refresher of one upstream must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The upstream's name: its page in the store, and its label.
    pub upstream: String,
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

/// Owns an upstream's token. Nobody else writes the cache or the upstream's page in the store.
#[derive(Debug)]
pub struct Refresher<E> {
    config: Config,
    endpoint: E,
    store: Arc<Store>,
    cache: Arc<Cache>,
    demands: mpsc::Receiver<Demand>,
    status: watch::Sender<Status>,
    part: Part,
    metrics: TokenMetrics,

    /// The page as the store has it; `None` until it could be read.
    entry: Option<Entry>,
    /// A new pair that could not be saved yet; requests do not see it.
    unsaved: Option<Record>,
    /// A refresh token was presented, by the last process or by this one, and nothing came of it
    /// that could be kept: it may be spent.
    cut_off: bool,
    budget: Budget,
    backoff: Backoff,
    failure: Option<Failure>,
    renew_at: Instant,
    /// When the published token is over, until that has been reported.
    over_at: Option<Instant>,
    last_call: Option<Instant>,
}

/// Somebody needs a token of a later generation.
#[derive(Debug)]
pub struct Demand {
    /// `None`: any living token will do.
    than: Option<u64>,
    reason: Reason,
    asked_at: Instant,
    reply: Option<oneshot::Sender<Result<Arc<Live>, NoToken>>>,
}

/// The last renewal's failure, shared by all who waited for it and all who come before `until`.
#[derive(Debug)]
struct Failure {
    error: NoToken,
    at: Instant,
    until: Instant,
    /// The schedule's part of the budget is spent; there is a reserve for others.
    only_schedule: bool,
}

// === impl Demand ===

impl Demand {
    pub(super) fn newer_than(
        than: Option<u64>,
        reason: Reason,
        reply: Option<oneshot::Sender<Result<Arc<Live>, NoToken>>>,
    ) -> Self {
        Self { than, reason, asked_at: Instant::now(), reply }
    }

    fn answer(self, answer: Result<Arc<Live>, NoToken>) {
        if let Some(reply) = self.reply {
            // The caller may have gone away.
            let _ = reply.send(answer);
        }
    }
}

// === impl Refresher ===

impl<E: TokenEndpoint> Refresher<E> {
    /// The task, to be [run](Self::run), and the handle for requests.
    pub fn new(
        config: Config,
        endpoint: E,
        store: Arc<Store>,
        part: Part,
        metrics: TokenMetrics,
    ) -> (Self, Tokens) {
        let (sender, demands) = mpsc::channel(LONGEST_QUEUE);
        let (status, statuses) = watch::channel(Status::default());
        let cache = Arc::new(Cache::default());
        let tokens =
            Tokens { cache: cache.clone(), demands: sender, status: statuses, wait: config.wait };
        let refresher = Self {
            budget: Budget::new(config.limits, Ledger::default()),
            backoff: Backoff::new(
                FIRST_RETRY,
                retry_ceiling(config.limits.per_day).max(LONGEST_PLEA),
            ),
            config,
            endpoint,
            store,
            cache,
            demands,
            status,
            part,
            metrics,
            entry: None,
            unsaved: None,
            cut_off: false,
            failure: None,
            renew_at: Instant::now(),
            over_at: None,
            last_call: None,
        };
        (refresher, tokens)
    }

    /// Runs until `stop` completes or every handle is gone. A renewal that is under way is brought
    /// to its end first: what the vendor has answered must be saved.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        self.start().await;
        loop {
            tokio::select! {
                () = &mut stop => break,
                demand = self.demands.recv() => match demand {
                    Some(demand) => self.meet(demand).await,
                    None => break,
                },
                () = sleep_until(self.renew_at) => {
                    let _ = self.renew(Reason::Schedule).await;
                }
                // The day turns, and with it the budget, though nothing else happens.
                () = sleep(REPORT_INTERVAL) => self.report(None),
                () = reached(self.over_at) => {
                    self.over_at = None;
                    warn!(upstream = %self.config.upstream, "the token is over, and there is no other");
                    self.report(None);
                }
            }
        }
        self.save_at_last().await;
    }

    /// A stored, living token makes ready, whatever the token endpoint does.
    async fn start(&mut self) {
        if self.load().await.is_err() {
            let _ = self.renew(Reason::Start).await;
            return;
        }
        let stored = self.entry.as_ref().and_then(|entry| entry.token.clone());
        let living = stored.is_some_and(|record| {
            record.expires_at > clock::wall() && self.publish(&record).is_ok()
        });
        let cut_off = self.entry.as_ref().and_then(|entry| entry.intent.clone());
        if let Some(intent) = &cut_off {
            let begun = humantime::format_rfc3339_seconds(intent.at);
            warn!(upstream = %self.config.upstream, %begun,
                "a refresh was cut off by the last end of this process; its answer may be lost");
        }
        // Ready before the vendor is asked: the token in hand may be dead already, but it is better
        // than none, and a token endpoint may be silent for long.
        if living {
            info!(upstream = %self.config.upstream, generation = self.cache.generation(),
                "serving with the token from the store");
            self.report(None);
        }
        let doubtful = cut_off.is_some() && self.config.old_access_token == OldToken::Dies;
        if !living || doubtful || self.seed_has_changed() {
            let _ = self.renew(Reason::Start).await;
        }
    }

    /// Answers one demand: from the cache, with the failure that it waited for, or by a renewal.
    async fn meet(&mut self, demand: Demand) {
        let now = Instant::now();
        let than = demand.than.unwrap_or(0);
        if let Some(live) = self.cache.living(now).filter(|live| live.generation > than) {
            return demand.answer(Ok(live));
        }
        let shared = self.failure.as_ref().filter(|failure| {
            let waited_for_it = failure.at >= demand.asked_at;
            let concerns = demand.reason != Reason::Manual && !failure.only_schedule;
            concerns && (waited_for_it || now < failure.until)
        });
        if let Some(failure) = shared {
            let retry_after = failure.until.saturating_duration_since(now);
            return demand.answer(Err(NoToken { retry_after, ..failure.error.clone() }));
        }
        let renewed = self.renew(demand.reason).await;
        let newer = self.cache.living(Instant::now()).filter(|live| live.generation > than);
        demand.answer(match (newer, renewed) {
            (Some(live), _) => Ok(live),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(self.same_again()),
        });
    }

    /// One renewal, with everything that must be noted about it.
    async fn renew(&mut self, reason: Reason) -> Result<(), NoToken> {
        let began = Instant::now();
        let died_early = reason == Reason::Rejected && self.dies_early();
        let before = self.cache.generation();
        let booked = self.budget.ledger();
        let result = self.try_renew_watched(reason).await;
        let (outcome, detail) = match &result {
            Ok(outcome) => (*outcome, String::new()),
            Err(setback) => (setback.outcome, setback.detail.clone()),
        };
        self.metrics.refreshed(reason.as_str(), outcome.as_str(), began.elapsed());
        match result {
            Ok(_) => {
                self.failure = None;
                // The same token again is no progress: see `same_again`.
                if self.cache.generation() > before {
                    self.backoff.reset();
                    if died_early {
                        self.metrics.early_deaths.inc();
                    }
                }
                info!(
                    upstream = %self.config.upstream,
                    reason = reason.as_str(),
                    outcome = outcome.as_str(),
                    generation = self.cache.generation(),
                    seconds_left = self.seconds_left(),
                    "token renewed"
                );
            }
            Err(setback) => self.put_off(reason, setback, booked),
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

    /// A renewal has failed: everybody shares its failure until the next try.
    fn put_off(&mut self, reason: Reason, setback: Setback, booked: Ledger) {
        let now = Instant::now();
        let wait = setback.wait.unwrap_or_else(|| {
            // Tries that spend nothing need not be spread over the day, which may turn meanwhile.
            let free = self.budget.ledger().used <= booked.used;
            let per_day = if free { 0 } else { self.config.limits.per_day };
            // What the vendor has refused is not presented to it for ever at the same pace.
            let least = if setback.needs_a_person { LONGEST_PLEA } else { LONGEST_RETRY };
            self.backoff.after_failure_within(retry_ceiling(per_day).max(least))
        });
        self.tell(reason, &setback, wait);
        let error = NoToken {
            kind: setback.kind(),
            detail: setback.detail.as_str().into(),
            retry_after: wait,
        };
        let only_schedule = reason == Reason::Schedule && setback.outcome == Outcome::Budget;
        self.failure = Some(Failure { error, at: now, until: now + wait, only_schedule });
        self.renew_at = now + wait;
    }

    /// The vendor calls a token dead and hands out the same one again: sending the request once
    /// more would be futile, and so would be asking again at once.
    fn same_again(&mut self) -> NoToken {
        let now = Instant::now();
        let ceiling = retry_ceiling(self.config.limits.per_day);
        let error = NoToken {
            kind: NoTokenKind::Unavailable,
            detail: "the vendor called the token dead, and handed out the same one again".into(),
            retry_after: self.backoff.after_failure_within(ceiling),
        };
        let until = now + error.retry_after;
        let only_schedule = false;
        self.failure = Some(Failure { error: error.clone(), at: now, until, only_schedule });
        error
    }
}

/// Completes at the instant, if there is one.
async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The longest wait between tries. With a daily cap, an outage of a whole day must not spend it:
/// full jitter halves the mean wait, hence twice the even spacing.
fn retry_ceiling(per_day: u32) -> Duration {
    match per_day {
        0 => LONGEST_RETRY,
        cap => LONGEST_RETRY.max(2 * DAY / cap),
    }
}

/// Demands that may wait while a renewal is under way; more callers wait at the channel's door.
const LONGEST_QUEUE: usize = 1024;
/// How old what `/status` says of the budget may be.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Between tries of what only a person can mend; the vendor may have erred, too.
const LONGEST_PLEA: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests;
