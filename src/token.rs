//! The token's life: description → wire → provider → refresher → store (save) → cache (publish),
//! and back from the requests, `newer_than(generation)`.

pub mod budget;
pub mod cache;
pub mod deaths;
pub mod page;
pub mod provider;
pub mod refresher;
pub mod renewal;
pub mod schedule;
pub mod store;
pub mod wire;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::clock::BootTime;
use crate::telemetry::traces::Context;

use cache::{Cache, Live};
use refresher::Demand;

/// One upstream's token, as the request path sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    cache: Arc<Cache>,
    demands: mpsc::Sender<Demand>,
    status: watch::Receiver<Status>,
    /// The longest that a request is held while a refresh is under way.
    wait: Duration,
    /// What of a trace the refreshes are that are asked for.
    cause: Option<Context>,
}

/// Why there is no token to send. Every request that waited for one refresh gets the same.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct NoToken {
    pub kind: NoTokenKind,
    /// What happened and, where a person must act, what to do.
    pub detail: Arc<str>,
    /// When another try makes sense.
    pub retry_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTokenKind {
    /// The vendor refused, or could not be reached, or answered nonsense.
    Unavailable,
    /// The vendor's daily cap, or our own cap a minute, is spent.
    Budget,
    /// The refresh took longer than a request is held.
    Slow,
}

/// What is known of one upstream's token, for people and for `/status`. No secret is in it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub generation: u64,
    pub obtained_at: Option<SystemTime>,
    pub expires_at: Option<SystemTime>,
    /// The same end, by a clock that nobody sets.
    pub over_at: Option<BootTime>,
    pub last: Option<LastRefresh>,
    pub last_success: Option<SystemTime>,
    pub budget: budget::Remaining,
    pub account: Account,
    /// What a person should look into, though all may be well now.
    pub warnings: Vec<String>,
}

/// What the account's page said when it was last read: all who use the page share it.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The page's name in the store.
    pub page: String,
    /// Who refreshes.
    pub lease: Option<String>,
    /// Since when the answer to a refresh token that was presented is awaited, or was lost.
    pub answer_missing_since: Option<SystemTime>,
    /// Tokens in a row that died long before their promised end.
    pub early_deaths: u32,
    /// A refresh token was put in by hand, and has not been presented yet.
    pub seeded_by_hand: bool,
    /// What a person must do, by what this process has heard itself.
    pub plea: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct LastRefresh {
    pub at: SystemTime,
    pub reason: Reason,
    pub outcome: Outcome,
    pub detail: Arc<str>,
}

/// Why a refresh was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Reason {
    /// There was no living token at start.
    Start,
    /// The token's end came near.
    Schedule,
    /// A vendor called the token dead, or a request found none alive.
    Rejected,
    /// An operator asked.
    Manual,
    /// The refresh token would lapse before the access token's end comes near.
    KeepAlive,
    /// Somebody else has changed the store's page.
    Store,
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(Hash))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    /// Someone else had refreshed: the store's token was taken over.
    Adopted,
    /// The vendor said no.
    Refused,
    /// No answer, or one that says that the vendor is in trouble.
    Unreachable,
    /// An answer that cannot be understood.
    Malformed,
    /// Not tried: the budget is spent.
    Budget,
    /// A new token came, but could not be saved.
    Unsaved,
    /// The store could not be reached, and without it nothing is begun.
    Store,
    /// Another replica refreshes, and has not come to an end.
    Waiting,
    /// The vendor called a token dead and handed out the same one again.
    Same,
}

// === impl Tokens ===

impl Tokens {
    /// The living token. When there is none, one refresh is asked for and awaited.
    ///
    /// # Errors
    /// When there is still none after that, or after the longest wait.
    pub async fn current(&self) -> Result<Arc<Live>, NoToken> {
        match self.at_hand() {
            Some(live) => Ok(live),
            None => self.demand(None).await,
        }
    }

    /// The token in hand, if it lives; this waits for nothing.
    pub fn at_hand(&self) -> Option<Arc<Live>> {
        self.cache.living(BootTime::now())
    }

    /// A token of a later generation than the one that the vendor has just called dead. If there
    /// is one already it is handed out at once; if not, all callers share one refresh.
    ///
    /// # Errors
    /// When the refresh failed, or took longer than a request is held.
    pub async fn newer_than(&self, generation: u64) -> Result<Arc<Live>, NoToken> {
        match self.cache.living(BootTime::now()) {
            Some(live) if live.generation > generation => Ok(live),
            _ => self.demand(Some(generation)).await,
        }
    }

    /// How long the token in hand lives on; this asks nobody for another.
    pub fn left(&self) -> Option<Duration> {
        Some(self.cache.living(BootTime::now())?.over_at.left())
    }

    /// Asks for a refresh that nobody waits for: the request that met the rejection cannot be sent
    /// again, but the next one shall find a good token.
    pub fn refresh_soon(&self, generation: u64) {
        let demand = Demand::newer_than(Some(generation), Reason::Rejected, None);
        // A full queue means that a refresh is under way already.
        let _ = self.demands.try_send(demand);
    }

    /// A refresh because an operator wants one.
    ///
    /// # Errors
    /// When it failed.
    pub async fn refresh_now(&self) -> Result<Arc<Live>, NoToken> {
        let generation = self.cache.generation();
        self.ask(Some(generation), Reason::Manual).await
    }

    /// The same, for requests that are held for as long as this.
    #[must_use]
    pub fn held_for(&self, wait: Duration) -> Self {
        Self { wait, ..self.clone() }
    }

    /// The same, whose refreshes are a part of this.
    #[must_use]
    pub fn caused_by(&self, cause: Context) -> Self {
        Self { cause: Some(cause), ..self.clone() }
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    async fn demand(&self, generation: Option<u64>) -> Result<Arc<Live>, NoToken> {
        self.ask(generation, Reason::Rejected).await
    }

    async fn ask(&self, generation: Option<u64>, reason: Reason) -> Result<Arc<Live>, NoToken> {
        let (reply, answer) = oneshot::channel();
        let demand = Demand::newer_than(generation, reason, Some(reply)).of(self.cause.clone());
        let asked = async {
            self.demands.send(demand).await.map_err(|_| NoToken::stopping())?;
            answer.await.map_err(|_| NoToken::stopping())?
        };
        timeout(self.wait, asked).await.unwrap_or_else(|_| Err(NoToken::slow(self.wait)))
    }
}

// === impl NoToken ===

impl NoToken {
    fn stopping() -> Self {
        Self {
            kind: NoTokenKind::Unavailable,
            detail: "the gateway is stopping".into(),
            retry_after: Duration::from_secs(1),
        }
    }

    fn slow(wait: Duration) -> Self {
        let wait = humantime::format_duration(wait);
        Self {
            kind: NoTokenKind::Slow,
            detail: format!("a refresh is under way, but has not ended within {wait}").into(),
            retry_after: Duration::from_secs(1),
        }
    }
}

// === impl Reason, Outcome ===

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Schedule => "schedule",
            Self::Rejected => "rejected",
            Self::Manual => "manual",
            Self::KeepAlive => "keepalive",
            Self::Store => "store",
        }
    }

    /// The same for people.
    pub fn as_words(self) -> &'static str {
        match self {
            Self::Start => "at the start",
            Self::Schedule => "by schedule",
            Self::Rejected => "after a rejection",
            Self::Manual => "by hand",
            Self::KeepAlive => "to keep the refresh token alive",
            Self::Store => "found in the store",
        }
    }
}

impl Outcome {
    /// Whether there is a good token afterwards.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Ok | Self::Adopted)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Adopted => "adopted",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed",
            Self::Budget => "budget",
            Self::Unsaved => "unsaved",
            Self::Store => "store",
            Self::Waiting => "waiting",
            Self::Same => "same",
        }
    }
}
