//! The order of hope: what a person has put into the store, a new seed, what the store has, what came
//! too late to be the store's own; then the credentials alone, for vendors that mint; then a person.

use std::time::{Duration, SystemTime};

use crate::secret::{Fingerprint, Secret};

use super::super::Reason;
use super::super::page::{Page, Refusal};
use super::setback::Setback;
use super::{Renewal, Rules};

/// A way to a token.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
pub(super) enum Way {
    Refresh(Secret),
    Mint,
}

// === impl Way ===

impl Way {
    pub(super) fn token(&self) -> Option<&Secret> {
        match self {
            Self::Refresh(token) => Some(token),
            Self::Mint => None,
        }
    }
}

// === impl Rules ===

impl Rules {
    /// Whether the operator has configured another seed than any that was taken up or refused.
    pub fn seed_is_new(&self, page: &Page) -> bool {
        new_seed(self, page).is_some_and(|seed| page.refusal_of(seed.fingerprint()).is_none())
    }
}

// === impl Renewal ===

impl Renewal {
    /// The next way that has not been gone.
    pub(super) fn way(&self, rules: &Rules, page: &Page, now: SystemTime) -> Option<Way> {
        let refresh = refresh_tokens(rules, page, now).into_iter().find(|token| {
            let print = token.fingerprint();
            let open = match self.task.reason {
                Reason::Manual => true,
                _ if self.task.first => {
                    page.refusal_of(print).is_none_or(|it| it.lost_at.is_none())
                }
                _ => !is_closed(page, print, now),
            };
            open && !self.tried.contains(&print)
        });
        let mint = (rules.can_mint && !self.minted).then_some(Way::Mint);
        refresh.map(Way::Refresh).or(mint)
    }

    /// Whether there is a credential that no earlier failure can have been about.
    pub(super) fn has_news(&self, rules: &Rules, page: &Page) -> bool {
        page.unproven || rules.seed_is_new(page)
    }

    pub(super) fn interval_left(&self, rules: &Rules, page: &Page, now: SystemTime) -> Duration {
        let Some(last) = page.ledger.last_call else { return Duration::ZERO };
        if self.waited == Some(last) {
            return Duration::ZERO;
        }
        // A call in the future was made by a clock that differs: it is taken to be now.
        let passed = now.duration_since(last).unwrap_or_default();
        rules.vendor_interval.saturating_sub(passed)
    }

    /// Nothing is left to try: what a person must do.
    pub(super) fn plea(&self, rules: &Rules, page: &Page, now: SystemTime) -> Setback {
        let name = &rules.upstream;
        let remedy = format!(
            "get a refresh token from the vendor and run `tokenward seed {name} \
             --refresh-token-file FILE`, or change upstream.{name}.credentials.refresh_token"
        );
        let refused = self.refusals.join("; then ");
        if rules.can_mint {
            let detail =
                format!("the vendor refused ({refused}): check upstream.{name}.credentials");
            return Setback::plea(detail, None);
        }
        let known = refresh_tokens(rules, page, now);
        let refusals = known.iter().rev().filter_map(|token| page.refusal_of(token.fingerprint()));
        // That one was spent says more than that a spare of it was refused.
        let refusal = refusals.clone().find(|refusal| refusal.lost_at.is_some());
        let refusal = refusal.or_else(|| refusals.clone().next());
        let Some(refusal) = refusal else {
            let detail = format!("there is no refresh token, and the vendor cannot mint: {remedy}");
            return Setback::plea(detail, Some(NOTHING_TO_TRY));
        };
        let told = if refused.is_empty() { String::new() } else { format!(" ({refused})") };
        let at = humantime::format_rfc3339_seconds(refusal.at);
        let detail = match refusal.lost_at {
            Some(lost) => format!(
                "the refresh token was refused{told} at {at}, because it was spent: it had been \
                 presented at {}, and the answer to that was lost. It is not presented again: {remedy}",
                humantime::format_rfc3339_seconds(lost)
            ),
            None => {
                let lapsed = lapsed_at(page, now).map_or_else(String::new, |end| {
                    let end = humantime::format_rfc3339_seconds(end);
                    format!(", because it has lapsed at {end}")
                });
                format!("the refresh token was refused{told} at {at}{lapsed}: {remedy}")
            }
        };
        let opens = known.iter().filter_map(|token| page.refusal_of(token.fingerprint()));
        let opens = opens.filter_map(|refusal| refusal.opens_at()?.duration_since(now).ok()).min();
        Setback::plea(detail, Some(opens.unwrap_or(NOTHING_TO_TRY).min(NOTHING_TO_TRY)))
    }
}

/// The refresh tokens that could be presented, in their order. An unchanged seed is spent, or the
/// same as what the store has.
fn refresh_tokens(rules: &Rules, page: &Page, now: SystemTime) -> Vec<Secret> {
    if !rules.can_refresh {
        return Vec::new();
    }
    let lapsed = lapsed_at(page, now).is_some();
    // Where nothing else is left, one that has lapsed by our clock is tried all the same.
    let stored = page.tokens.refresh.as_ref().filter(|_| !(lapsed && rules.can_mint));
    let by_hand = stored.filter(|_| page.unproven);
    let new = new_seed(rules, page);
    let mut tokens: Vec<Secret> = Vec::new();
    for token in by_hand.into_iter().chain(new).chain(stored).chain(&page.tokens.spares) {
        if !tokens.contains(token) {
            tokens.push(token.clone());
        }
    }
    tokens
}

/// When the page's refresh token has lapsed, if it has.
fn lapsed_at(page: &Page, now: SystemTime) -> Option<SystemTime> {
    page.life?.refresh_expires_at.filter(|end| *end <= now)
}

/// The configured seed, if the operator has changed it since the last success.
fn new_seed<'a>(rules: &'a Rules, page: &Page) -> Option<&'a Secret> {
    rules.seed.as_ref().filter(|seed| !page.seeds.contains(&seed.fingerprint()))
}

/// A refused refresh token is presented again ever more rarely, in case the vendor has erred. One
/// that is spent, because its answer was lost, is not: vendors that see a spent one again may take
/// it for a theft and end all tokens.
fn is_closed(page: &Page, token: Fingerprint, now: SystemTime) -> bool {
    page.refusal_of(token).is_some_and(|refusal| refusal.opens_at().is_none_or(|at| at > now))
}

// === impl Refusal ===

impl Refusal {
    /// When the token may be presented again; `None`: by an operator's wish alone.
    pub(super) fn opens_at(&self) -> Option<SystemTime> {
        let doubled = FIRST_CLOSURE.saturating_mul(1 << self.times.saturating_sub(1).min(16));
        self.lost_at.is_none().then(|| self.at + doubled.min(LONGEST_CLOSURE))
    }
}

/// How long a refused refresh token is left alone, first and at the most.
const FIRST_CLOSURE: Duration = Duration::from_secs(60);
const LONGEST_CLOSURE: Duration = Duration::from_secs(6 * 3600);
/// Looking again, at the page alone, for what a person may have put there.
const NOTHING_TO_TRY: Duration = Duration::from_secs(60);
