//! What the refresher tells: log, metrics, readiness and status.

use std::time::{Duration, SystemTime};

use tracing::{debug, error, warn};

use crate::clock::{self, BootTime};
use crate::telemetry::traces::Span;

use super::super::budget::Ledger;
use super::super::deaths;
use super::super::page::{Life, Page};
use super::super::provider::TokenEndpoint;
use super::super::renewal::Setback;
use super::super::store::Pages;
use super::super::{Account, LastRefresh, Outcome, Reason, Status};
use super::Refresher;

/// Says in a trace what came of a renewal.
pub(super) fn end_span(span: Option<Span>, upstream: &str, reason: Reason, outcome: Outcome) {
    let Some(mut span) = span else { return };
    span.text("tokenward.upstream", upstream.to_owned());
    span.text("tokenward.reason", reason.as_str());
    span.text("tokenward.outcome", outcome.as_str());
    if !outcome.is_success() {
        span.fail(outcome.as_str());
    }
}

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    pub(super) fn tell(&self, reason: Reason, setback: &Setback, wait: Duration) {
        let serving = self.cache.living(BootTime::now()).is_some();
        let wait = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let retry_in = humantime::format_duration(wait);
        let upstream = self.config.upstream.as_str();
        let (reason, outcome) = (reason.as_str(), setback.outcome.as_str());
        let detail = setback.detail.as_str();
        // That the store is away has been told, by itself and here; it may be away for long.
        let told = self.status.borrow().last.as_ref().map(|last| last.outcome);
        if setback.outcome == Outcome::Store && told == Some(Outcome::Store) {
            debug!(upstream, reason, outcome, detail, %retry_in, serving, "token not renewed");
        } else if setback.needs_a_person {
            error!(upstream, reason, outcome, detail, %retry_in, serving,
                "token not renewed, and it will not be without you");
        } else {
            warn!(upstream, reason, outcome, detail, %retry_in, serving, "token not renewed");
        }
    }

    /// The published token is over.
    pub(super) fn tell_end(&mut self) {
        self.over_at = None;
        warn!(upstream = %self.config.upstream, "the token is over, and there is no other");
        self.report(None);
    }

    /// A renewal that succeeds in the end must not hide that a seed, or a stored refresh token, was
    /// no good.
    pub(super) fn tell_refusals(&self, refusals: &[String]) {
        for detail in refusals {
            warn!(upstream = %self.config.upstream, detail,
                "the vendor refused a refresh token; another way was open");
        }
    }

    /// Counts it, and says so once for every run of them.
    pub(super) fn note_early_death(&self) {
        self.metrics.early_deaths.inc();
        let Some(page) = self.known.as_ref().filter(|page| page.early_deaths == deaths::ENOUGH)
        else {
            return;
        };
        if let Some(detail) = deaths::warning(page.early_deaths, &page.deaths) {
            warn!(upstream = %self.config.upstream, detail, "tokens die young, again and again");
        }
    }

    pub(super) fn seconds_left(&self) -> u64 {
        self.known.as_ref().map_or(0, |page| self.left(page).as_secs())
    }

    /// Tells status page, metrics and readiness how things stand.
    pub(super) fn report(&self, last: Option<LastRefresh>) {
        if self.is_retired {
            return;
        }
        let none = Ledger::default();
        let ledger = self.known.as_ref().map_or(&none, |page| &page.ledger);
        let budget = self.config.limits.remaining(ledger, clock::wall());
        let life = self.known.as_ref().filter(|page| page.tokens.access.is_some());
        let over_at = life.map(|page| BootTime::now() + self.left(page));
        let life = life.and_then(|page: &Page| page.life);
        let expires_at = life.zip(over_at).map(|(life, over_at)| shown_end(life, over_at));
        let warning = self.known.as_ref();
        let warning = warning.and_then(|page| deaths::warning(page.early_deaths, &page.deaths));
        let obtained_at = life.map(|life| life.obtained_at);
        let generation = self.cache.generation();
        let account = self.account();

        let seconds = |time| i64::try_from(clock::unix_seconds(time)).unwrap_or(i64::MAX);
        self.metrics.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.metrics.expiry.set(expires_at.map_or(0, seconds));
        if let Some(left) = budget.left() {
            self.metrics.budget_left(left);
        }
        let is_ready = self.cache.living(BootTime::now()).is_some();
        self.metrics.ready.set(i64::from(is_ready));
        self.metrics.needs_person.set(i64::from(account.plea.is_some()));
        if is_ready {
            self.part.ready();
        } else {
            let reason = self.failure.as_ref().map_or("no token", |failure| &failure.error.detail);
            self.part.not_ready(reason);
        }
        self.status.send_modify(|status| {
            *status = Status {
                generation,
                obtained_at,
                expires_at,
                over_at,
                warnings: warning.into_iter().collect(),
                last_success: match &last {
                    Some(last) if last.outcome.is_success() => Some(last.at),
                    _ => status.last_success.or(obtained_at),
                },
                last: last.or_else(|| status.last.take()),
                budget,
                account,
            };
        });
        if let Some(time) = self.status.borrow().last_success {
            self.metrics.last_success.set(seconds(time));
        }
    }

    fn account(&self) -> Account {
        let plea = self.failure.as_ref().filter(|failure| failure.needs_a_person);
        let account = Account {
            page: self.config.page.clone(),
            plea: plea.map(|failure| failure.error.detail.clone()),
            ..Account::default()
        };
        let Some(page) = &self.known else { return account };
        Account {
            lease: page.lease.as_ref().map(|lease| lease.holder.clone()),
            answer_missing_since: page.intent.as_ref().map(|it| it.doubt.unwrap_or(it.at)),
            early_deaths: page.early_deaths,
            seeded_by_hand: page.unproven,
            ..account
        }
    }
}

/// The end of a token as the wall clock shows it now, which may have been set since the end was written
/// down.
fn shown_end(life: Life, over_at: BootTime) -> SystemTime {
    let end = clock::wall() + over_at.left();
    let differs = end.duration_since(life.expires_at).unwrap_or_else(|before| before.duration());
    // A token that is over has only what was written down.
    match over_at.left() {
        Duration::ZERO => life.expires_at,
        _ if differs <= SMALLEST_SHIFT => life.expires_at,
        _ => end,
    }
}

/// Less comes of reading two clocks one after the other, and of their being brought into line.
const SMALLEST_SHIFT: Duration = Duration::from_secs(2);
