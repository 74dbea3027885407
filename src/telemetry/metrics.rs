//! Every metric, its name, and handles that are resolved once.
//!
//! A look-up by label costs a request thirty times what adding to a kept handle does, so each
//! upstream resolves its handles when it is built. Labels come from closed sets: upstreams, rules
//! and outcomes from the configuration and the code, methods from a list, statuses from the table
//! of HTTP.

mod callers;
mod clients;
mod guard;
mod held;
mod limits;
mod process;
mod reloads;
mod requests;
mod store;
mod token;
mod totals;
mod workers;

use std::sync::{Arc, OnceLock};

use prometheus::core::Collector;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use callers::{Handshake, HandshakeMetrics};
pub use clients::ClientRequests;
pub use held::Held;
pub use limits::{Limit, Limits};
pub use reloads::{ReloadMetrics, Reread};
pub use requests::Requests;
pub use store::StoreMetrics;
pub use token::TokenMetrics;
pub use totals::Totals;
pub use workers::WorkerMetrics;

use callers::CallerFamilies;
use clients::ClientMetrics;
use guard::GuardMetrics;
use process::Process;
use workers::WorkerFamilies;

/// All metric families of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    workers: WorkerFamilies,
    in_flight: IntGaugeVec,
    rejections: IntCounterVec,
    retries: IntCounterVec,
    refreshes: IntCounterVec,
    refresh_duration: HistogramVec,
    generation: IntGaugeVec,
    expiry: IntGaugeVec,
    ready: IntGaugeVec,
    needs_person: IntGaugeVec,
    last_success: IntGaugeVec,
    early_deaths: IntCounterVec,
    budget_remaining: IntGaugeVec,
    guard: GuardMetrics,
    own_answers: IntCounterVec,
    malformed: IntCounterVec,
    limits: IntCounterVec,
    callers: CallerFamilies,
    clients: ClientMetrics,
    reloads: ReloadMetrics,
    store: StoreMetrics,
    lock_wait: GaugeVec,
    access_dropped: IntCounter,
    /// Requests that reached no upstream: `upstream=""`.
    unrouted: Requests,
    unrouted_limits: Limits,
}

/// One upstream's handles for what workers share, or what few requests count.
#[derive(Debug)]
pub struct RequestMetrics {
    /// Shared, for there is a limit to it.
    pub in_flight: IntGauge,
    /// By the index of the rule.
    pub rejections: Vec<IntCounter>,
    pub recovered: IntCounter,
    pub rejected_again: IntCounter,
    pub skipped: IntCounter,
    pub failed: IntCounter,
    pub limits: Limits,
    pub emulated: IntCounter,
}

// === impl Metrics ===

impl Metrics {
    /// # Errors
    /// Never, unless two families have one name.
    pub fn new(version: &str, revision: &str) -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let workers = WorkerFamilies::new()?;
        let limits = counter(
            "tokenward_limits_reached_total",
            "Requests, answers and connections that met a limit.",
            &["upstream", "limit"],
        )?;
        let metrics = Self {
            in_flight: gauge(
                "tokenward_requests_in_flight",
                "Requests whose answers have not ended.",
            )?,
            rejections: counter(
                "tokenward_rejections_total",
                "Answers that a rule took for a rejection.",
                &["upstream", "rule"],
            )?,
            retries: counter(
                "tokenward_retries_total",
                "What came of rejected requests.",
                &["upstream", "outcome"],
            )?,
            refreshes: counter(
                "tokenward_token_refreshes_total",
                "Renewals of the token.",
                &["upstream", "reason", "outcome"],
            )?,
            refresh_duration: histogram(
                "tokenward_token_refresh_duration_seconds",
                "How long a renewal took.",
                REFRESH_SECONDS,
                &["upstream"],
            )?,
            generation: gauge(
                "tokenward_token_generation",
                "The generation of the token in use; it grows with each new one.",
            )?,
            expiry: gauge(
                "tokenward_token_expiry_timestamp_seconds",
                "When the token ends, in seconds since 1970; 0 without a token.",
            )?,
            ready: gauge("tokenward_upstream_ready", "1 with a living token, as /readyz has it.")?,
            needs_person: gauge(
                "tokenward_token_needs_person",
                "1 while only a person can help: the vendor refuses what there is to refresh with.",
            )?,
            last_success: gauge(
                "tokenward_token_last_success_timestamp_seconds",
                "When a token was last had, in seconds since 1970.",
            )?,
            early_deaths: counter(
                "tokenward_token_early_deaths_total",
                "Tokens that the vendor called dead well before their end.",
                &["upstream"],
            )?,
            budget_remaining: gauge(
                "tokenward_refresh_budget_remaining",
                "Refreshes left of the vendor's daily cap.",
            )?,
            guard: GuardMetrics::new()?,
            own_answers: counter(
                "tokenward_own_answers_total",
                "Answers of the gateway's own, by what `tokenward-error` says.",
                &["upstream", "error"],
            )?,
            malformed: counter(
                "tokenward_malformed_requests_total",
                "Requests that were no proper HTTP, refused before anything left.",
                &["fault"],
            )?,
            callers: CallerFamilies::new()?,
            clients: ClientMetrics::new()?,
            reloads: ReloadMetrics::new()?,
            store: StoreMetrics::new()?,
            lock_wait: GaugeVec::new(
                Opts::new(
                    "tokenward_token_lock_wait_seconds",
                    "How long the last renewal waited for another replica's lease.",
                ),
                &["upstream"],
            )?,
            access_dropped: IntCounter::new(
                "tokenward_access_records_dropped_total",
                "Records of the access log that were not written because too many waited.",
            )?,
            unrouted: Requests::new(workers.requests.clone(), "", ""),
            unrouted_limits: Limits::new(&limits, ""),
            limits,
            workers,
            registry,
        };
        metrics.register(version, revision)?;
        Ok(Arc::new(metrics))
    }

    fn register(&self, version: &str, revision: &str) -> prometheus::Result<()> {
        let families: [Box<dyn Collector>; 23] = [
            Box::new(self.workers.requests.clone()),
            Box::new(self.workers.duration.clone()),
            Box::new(self.workers.upstream_duration.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.workers.request_bytes.clone()),
            Box::new(self.workers.response_bytes.clone()),
            Box::new(self.rejections.clone()),
            Box::new(self.retries.clone()),
            Box::new(self.refreshes.clone()),
            Box::new(self.refresh_duration.clone()),
            Box::new(self.generation.clone()),
            Box::new(self.expiry.clone()),
            Box::new(self.ready.clone()),
            Box::new(self.needs_person.clone()),
            Box::new(self.last_success.clone()),
            Box::new(self.early_deaths.clone()),
            Box::new(self.budget_remaining.clone()),
            Box::new(self.own_answers.clone()),
            Box::new(self.malformed.clone()),
            Box::new(self.limits.clone()),
            Box::new(self.workers.connections.clone()),
            Box::new(self.lock_wait.clone()),
            Box::new(self.access_dropped.clone()),
        ];
        let more = self.clients.families().into_iter().chain(self.guard.families());
        let more = more.chain(self.store.families()).chain(self.callers.families());
        let more = more.chain(self.reloads.families());
        for family in families.into_iter().chain(more) {
            self.registry.register(family)?;
        }
        let build = GaugeVec::new(
            Opts::new("tokenward_build_info", "Which build this is; always 1."),
            &["version", "revision"],
        )?;
        build.with_label_values(&[version, revision]).set(1.0);
        self.registry.register(Box::new(build))?;
        self.registry.register(Box::new(super::log::withheld_total().clone()))?;
        self.registry.register(Box::new(Process::new()?))
    }

    /// The handles of one upstream, whose rules have these names.
    pub fn requests_of<'a>(
        &self,
        upstream: &str,
        rules: impl IntoIterator<Item = &'a str>,
    ) -> RequestMetrics {
        let retry = |outcome| self.retries.with_label_values(&[upstream, outcome]);
        let rejections =
            rules.into_iter().map(|rule| self.rejections.with_label_values(&[upstream, rule]));
        RequestMetrics {
            in_flight: self.in_flight.with_label_values(&[upstream]),
            rejections: rejections.collect(),
            recovered: retry("recovered"),
            rejected_again: retry("rejected_again"),
            skipped: retry("skipped"),
            failed: retry("failed"),
            limits: Limits::new(&self.limits, upstream),
            emulated: self.guard.emulated(upstream),
        }
    }

    /// A worker's own handles of one upstream.
    pub fn of_worker(&self, upstream: &str, worker: usize) -> WorkerMetrics {
        self.workers.of(upstream, worker)
    }

    /// The handles of one upstream's token.
    pub fn token_of(&self, upstream: &str) -> TokenMetrics {
        let of = [upstream];
        TokenMetrics {
            upstream: upstream.to_owned(),
            refreshes: self.refreshes.clone(),
            duration: self.refresh_duration.with_label_values(&of),
            generation: self.generation.with_label_values(&of),
            expiry: self.expiry.with_label_values(&of),
            ready: self.ready.with_label_values(&of),
            needs_person: self.needs_person.with_label_values(&of),
            last_success: self.last_success.with_label_values(&of),
            early_deaths: self.early_deaths.with_label_values(&of),
            lock_wait: self.lock_wait.with_label_values(&of),
            budget_remaining: OnceLock::new(),
            budget_family: self.budget_remaining.clone(),
        }
    }

    /// Counts refusals of the guard for one reason.
    pub fn guard_refusals(&self, reason: &str) -> IntCounter {
        self.guard.refusals(reason)
    }

    /// Counts an answer of the gateway's own.
    pub fn own_answer(&self, upstream: &str, error: &str) {
        self.own_answers.with_label_values(&[upstream, error]).inc();
    }

    /// Counts a request that was no proper HTTP.
    pub fn malformed(&self, fault: &str) {
        self.malformed.with_label_values(&[fault]).inc();
    }

    /// Counts connections of callers.
    pub fn callers(&self) -> IntGauge {
        self.callers.connections.clone()
    }

    /// Counts callers' TLS handshakes.
    pub fn handshakes(&self) -> HandshakeMetrics {
        self.callers.handshakes()
    }

    /// Counts records of the access log for which there was no room.
    pub fn access_records_dropped(&self) -> IntCounter {
        self.access_dropped.clone()
    }

    /// The handles of reloads.
    pub fn reloads(&self) -> ReloadMetrics {
        self.reloads.clone()
    }

    /// An upstream was removed. What was counted stays, and what stands for now goes.
    pub fn forget(&self, upstream: &str, workers: usize) {
        let of = [upstream];
        for family in [
            &self.in_flight,
            &self.generation,
            &self.expiry,
            &self.ready,
            &self.needs_person,
            &self.last_success,
            &self.budget_remaining,
        ] {
            // One without a cap on its refreshes has no such gauge.
            let _ = family.remove_label_values(&of);
        }
        let _ = self.lock_wait.remove_label_values(&of);
        self.workers.forget(upstream, workers);
    }

    /// The handles of one client, at upstreams of these names in their order.
    pub fn requests_of_client(&self, client: &str, upstreams: &[String]) -> ClientRequests {
        self.clients.requests_of(client, upstreams)
    }

    /// The handles of the token store.
    pub fn store(&self) -> StoreMetrics {
        self.store.clone()
    }

    pub fn unrouted_limits(&self) -> &Limits {
        &self.unrouted_limits
    }

    pub fn unrouted(&self) -> &Requests {
        &self.unrouted
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// When a collector's output cannot be encoded.
    pub fn encode(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut families = self.registry.gather();
        workers::join(&mut families);
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn gauge(name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), &["upstream"])
}

fn histogram(
    name: &str,
    help: &str,
    buckets: &[f64],
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
}

const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const REFRESH_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
