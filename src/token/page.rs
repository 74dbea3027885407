//! What is kept of one account, and how it may change.
//!
//! Nothing here waits or calls: the refresher, the model and the simulation all change pages by
//! these steps alone.

mod by_hand;
mod mended;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::secret::{Fingerprint, Secret};

use super::budget::Ledger;
use super::deaths::{self, Death};
use super::{Outcome, Reason};

/// One account's page: its tokens, and everything that replicas must agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
#[serde(default)]
pub struct Page {
    /// Grows by one with every new access token; an older never replaces a newer. 0: none yet.
    pub generation: u64,
    /// Kept apart from the rest, which anybody may read who can read the store.
    #[serde(skip)]
    pub tokens: Tokens,
    /// Of the access token; `None` when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life: Option<Life>,
    /// Seeds that have been taken up, the newest last: a configured one that is not among them is
    /// new, and one that is loses to what the store has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<Fingerprint>,
    /// The refresh token was put here by hand, and has not been presented yet.
    #[serde(skip_serializing_if = "is_false")]
    pub unproven: bool,
    /// Of the last lease: grows with every one, so that what a former holder writes is told apart.
    pub fence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Refresh tokens that the vendor has refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    pub ledger: Ledger,
    /// The last renewal's failure, which replicas share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Tokens in a row that died long before their promised end.
    #[serde(skip_serializing_if = "is_zero")]
    pub early_deaths: u32,
    /// The last of them, the newest at the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deaths: Vec<Death>,
}

/// The secrets of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub struct Tokens {
    pub access: Option<Secret>,
    pub refresh: Option<Secret>,
    /// Refresh tokens that came too late to be the page's own. They are tried when that is refused.
    pub spares: Vec<Secret>,
}

/// When a pair was had, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Life {
    #[serde(with = "rfc3339")]
    pub obtained_at: SystemTime,
    #[serde(with = "rfc3339")]
    pub expires_at: SystemTime,
    /// Of the refresh token, where it is known.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub refresh_expires_at: Option<SystemTime>,
    /// When the vendor was last asked, if that brought the same token again or no later end.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub no_gain_at: Option<SystemTime>,
    /// The vendor let the refresh token stand when it was last presented, so that presenting it does
    /// not spend it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keeps_refresh: bool,
}

/// How long a token of this life lives yet, by a clock of this process' own that nobody sets and that
/// runs on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    pub life: Life,
    pub left: Duration,
}

/// Who refreshes now. It is over when it has stood still for as long as a lease lasts, by the clock
/// of whoever wants the next one: clocks of different machines are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Lease {
    pub holder: String,
    pub fence: u64,
    /// Grows while the holder lives.
    pub beat: u64,
}

/// A refresh that was begun. Gone with the save of what came of it; found later, it means that an
/// answer may have been lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Intent {
    /// The refresh token that was presented.
    pub presented: Fingerprint,
    pub fence: u64,
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    /// The same token was presented before, at this time, and the answer to that was never heard.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub doubt: Option<SystemTime>,
}

/// A refresh token that the vendor has refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Refusal {
    pub token: Fingerprint,
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    pub times: u32,
    /// When it was presented without an answer before, which is why it is spent.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<SystemTime>,
}

/// Why the last renewal brought nothing, and until when nobody needs to try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
pub struct Failure {
    pub outcome: Outcome,
    pub detail: String,
    #[serde(with = "rfc3339")]
    pub until: SystemTime,
    /// Failures in a row.
    pub times: u32,
    /// Trying again will not help.
    #[serde(default, skip_serializing_if = "is_false")]
    pub needs_a_person: bool,
}

/// What a renewal brought, in the form in which it is kept until it can be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub struct Gain {
    pub tokens: Tokens,
    pub life: Life,
    /// The generation of the page from which the call was made.
    pub base: u64,
    /// The lease under which it was made.
    pub fence: u64,
    /// The configured seed, which is taken up by any success.
    pub seed: Option<Fingerprint>,
    /// How the token that it replaces died, if that was long before its end.
    pub death: Option<Death>,
    /// It replaces a token that had lived its time.
    pub lived_out: bool,
}

// === impl Page ===

impl Page {
    pub fn is_living(&self, now: SystemTime) -> bool {
        self.tokens.access.is_some() && self.left(now) > Duration::ZERO
    }

    /// How long the access token lives yet: never longer than its whole life, whatever the clock
    /// says, so that one that was set back does not keep a dead token.
    pub fn left(&self, now: SystemTime) -> Duration {
        self.life.map_or(Duration::ZERO, |life| life.left(now))
    }

    pub fn holds_lease(&self, holder: &str) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.holder == holder)
    }

    /// Since when an answer to this refresh token is missing: it may be spent.
    pub fn doubt_of(&self, token: Fingerprint) -> Option<SystemTime> {
        let intent = self.intent.as_ref().filter(|intent| intent.presented == token)?;
        Some(intent.doubt.unwrap_or(intent.at))
    }

    /// Whether the page's own refresh token may be spent.
    pub fn is_doubtful(&self) -> bool {
        let token = self.tokens.refresh.as_ref().map(Secret::fingerprint);
        token.is_some_and(|token| self.doubt_of(token).is_some())
    }

    pub fn refusal_of(&self, token: Fingerprint) -> Option<&Refusal> {
        self.refusals.iter().find(|refusal| refusal.token == token)
    }

    /// Takes the lease, and notes the refresh token that is about to be presented. A lease that is
    /// held already is kept; it moves, for it may have stood still for long.
    #[must_use]
    pub fn taken(&self, holder: &str, presents: Option<Fingerprint>, now: SystemTime) -> Page {
        let mut page = self.beaten(holder).unwrap_or_else(|| {
            let (holder, fence) = (holder.to_owned(), self.fence + 1);
            Page { fence, lease: Some(Lease { holder, fence, beat: 0 }), ..self.clone() }
        });
        if let Some(presented) = presents {
            let keeps = self.life.is_some_and(|life| life.keeps_refresh);
            let doubt = self.doubt_of(presented).filter(|_| !keeps);
            page.intent = Some(Intent { presented, fence: page.fence, at: now, doubt });
        }
        page
    }

    /// Shows the others that the holder lives. `None`: the lease is somebody else's by now.
    pub fn beaten(&self, holder: &str) -> Option<Page> {
        let mut page = self.clone();
        let lease = page.lease.as_mut().filter(|lease| lease.holder == holder)?;
        lease.beat += 1;
        Some(page)
    }

    #[must_use]
    pub fn released(mut self, holder: &str) -> Page {
        if self.holds_lease(holder) {
            self.lease = None;
        }
        self
    }

    /// The next page, with what a renewal brought. Only for a page of the generation from which
    /// the call was made: nobody else has been faster.
    #[must_use]
    pub fn gained(&self, gain: &Gain) -> Page {
        let mut page = self.clone();
        let same = self.tokens.access == gain.tokens.access;
        let by_hand = self.tokens.refresh.clone().filter(|_| self.is_unpresented(gain.fence));
        page.tokens = gain.tokens.clone();
        page.life = Some(gain.life);
        page.seeds = merged(page.seeds, gain.seed.into_iter().collect());
        page.unproven = false;
        page.refusals.clear();
        page.failure = None;
        page.close(gain.fence);
        if let Some(token) = by_hand {
            // It was put in while the call was under way, and its turn comes next.
            page = page.seeded(token);
        }
        if !same {
            page.generation += 1;
            page.count(gain);
        }
        page
    }

    fn count(&mut self, gain: &Gain) {
        if let Some(death) = gain.death {
            self.early_deaths = self.early_deaths.saturating_add(1);
            self.deaths.push(death);
            self.deaths.drain(..self.deaths.len().saturating_sub(deaths::KEPT));
        } else if gain.lived_out {
            self.early_deaths = 0;
            self.deaths.clear();
        }
    }

    /// What came after somebody else had been faster is no longer the page's pair, but its refresh
    /// token may be the one that the vendor counts.
    #[must_use]
    pub fn spared(&self, gain: &Gain) -> Page {
        let mut page = self.clone();
        page.close(gain.fence);
        page.spare(gain.tokens.refresh.clone());
        page
    }

    fn spare(&mut self, token: Option<Secret>) {
        if let Some(token) = token.filter(|token| !self.knows(token)) {
            self.tokens.spares.insert(0, token);
            self.tokens.spares.truncate(MOST_SPARES);
        }
    }

    /// Whether this refresh token is one of the page's.
    pub fn knows(&self, token: &Secret) -> bool {
        self.tokens.refresh.iter().chain(&self.tokens.spares).any(|known| known == token)
    }

    /// The vendor has refused this refresh token.
    #[must_use]
    pub fn refused(&self, token: Fingerprint, fence: u64, now: SystemTime) -> Page {
        let mut page = self.clone();
        let lost_at = page.intent.as_ref().filter(|intent| intent.fence == fence);
        let lost_at = lost_at.and_then(|intent| intent.doubt);
        let before = page.refusals.iter().position(|refusal| refusal.token == token);
        let before = before.map(|index| page.refusals.remove(index));
        page.refusals.push(Refusal {
            token,
            at: now,
            times: before.as_ref().map_or(1, |before| before.times.saturating_add(1)),
            lost_at: lost_at.or(before.and_then(|before| before.lost_at)),
        });
        if page.refusals.len() > MOST_REFUSALS {
            page.refusals.remove(0);
        }
        if page.tokens.refresh.as_ref().is_some_and(|own| own.fingerprint() == token) {
            page.unproven = false;
        }
        page.close(fence);
        page
    }

    /// The call was never made: neither spent nor in doubt.
    #[must_use]
    pub fn unsent(&self, fence: u64, reason: Reason) -> Page {
        let mut page = self.clone();
        page.ledger = page.ledger.refunded(reason);
        match &mut page.intent {
            // Of an earlier one the answer is still missing.
            Some(Intent { fence: of, at, doubt, .. }) if *of == fence && doubt.is_some() => {
                *at = doubt.take().unwrap_or(*at);
            }
            _ => page.close(fence),
        }
        page
    }

    /// The answer to a call under this lease has been heard.
    fn close(&mut self, fence: u64) {
        self.intent.take_if(|intent| intent.fence == fence);
    }
}

// === impl Life ===

impl Life {
    pub fn whole(&self) -> Duration {
        self.expires_at.duration_since(self.obtained_at).unwrap_or_default()
    }

    /// How long the refresh token was to live from when it was obtained, where that is known.
    pub fn refresh_life(&self) -> Option<Duration> {
        self.refresh_expires_at.and_then(|end| end.duration_since(self.obtained_at).ok())
    }

    pub fn left(&self, now: SystemTime) -> Duration {
        self.expires_at.duration_since(now).unwrap_or_default().min(self.whole())
    }
}

/// Both lists without repeats, the second's at the end, and not for ever.
fn merged(mut seeds: Vec<Fingerprint>, more: Vec<Fingerprint>) -> Vec<Fingerprint> {
    seeds.retain(|seed| !more.contains(seed));
    seeds.extend(more);
    seeds.drain(..seeds.len().saturating_sub(MOST_SEEDS));
    seeds
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How often an operator can change the seed before one of the first counts as new again.
const MOST_SEEDS: usize = 32;
/// By how much the clocks of replicas differ, at the most, that count as right.
const LARGEST_SKEW: Duration = Duration::from_secs(60);
const MOST_SPARES: usize = 3;
const MOST_REFUSALS: usize = 8;
