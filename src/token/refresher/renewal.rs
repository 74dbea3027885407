//! One renewal: refresh; if that is refused, see whether the store has a newer token; else mint,
//! for vendors that do; and if all fails, tell what a person must do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::causes::causes;
use crate::clock;
use crate::secret::Secret;
use crate::vendor::description::OldToken;
use crate::vendor::injection::Injection;

use super::super::budget::Budget;
use super::super::cache::Live;
use super::super::provider::TokenEndpoint;
use super::super::store::{Entry, Intent, Record, StoreError};
use super::super::wire::{Denied, Grant};
use super::super::{Outcome, Reason};
use super::setback::Setback;
use super::{Refresher, reached};

impl<E: TokenEndpoint> Refresher<E> {
    /// A renewal that takes longer than the token in hand has left to live does not hide that it is
    /// over.
    pub(super) async fn try_renew_watched(&mut self, reason: Reason) -> Result<Outcome, Setback> {
        let (part, over_at) = (self.part.clone(), self.over_at);
        let renewal = self.try_renew(reason);
        tokio::pin!(renewal);
        tokio::select! {
            biased;
            result = &mut renewal => return result,
            () = reached(over_at) => part.not_ready("the token is over while it is being renewed"),
        }
        renewal.await
    }

    async fn try_renew(&mut self, reason: Reason) -> Result<Outcome, Setback> {
        if self.entry.is_none() {
            self.load().await?;
            if self.adopt_living() {
                return Ok(Outcome::Adopted);
            }
        }
        if let Some(record) = self.unsaved.take() {
            let living = record.expires_at > clock::wall();
            let outcome = self.keep(record).await?;
            if living {
                return Ok(outcome);
            }
        }
        self.respect_vendor_interval().await?;

        let mut refusals = Vec::new();
        for refresh_token in self.refresh_tokens() {
            match self.present(&refresh_token, reason).await? {
                Ok(grant) => {
                    self.tell_refusals(&refusals);
                    return self.install(grant, Some(refresh_token)).await;
                }
                Err(refusal) => refusals.push(refusal),
            }
            if self.adopt_from_store(&refresh_token).await? {
                return Ok(Outcome::Adopted);
            }
        }
        if self.endpoint.can_mint() {
            self.note_call(None, reason).await?;
            let answer = self.endpoint.mint().await;
            match self.heard(answer).await? {
                Ok(grant) => {
                    self.tell_refusals(&refusals);
                    return self.install(grant, None).await;
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(self.plea(&refusals))
    }

    /// Reads this upstream's page, once.
    pub(super) async fn load(&mut self) -> Result<(), Setback> {
        let entry = self.store.load(&self.config.upstream).await?;
        self.budget = Budget::new(self.config.limits, entry.ledger);
        self.cut_off = entry.intent.is_some();
        self.entry = Some(entry);
        Ok(())
    }

    /// The store can be read at last: whether what it has is as good as a renewal.
    fn adopt_living(&mut self) -> bool {
        let doubtful = self.cut_off && self.config.old_access_token == OldToken::Dies;
        let known = self.cache.generation();
        let living = self.record().cloned().is_some_and(|record| {
            record.generation > known
                && record.expires_at > clock::wall()
                && self.publish(&record).is_ok()
        });
        living && !doubtful && !self.seed_has_changed()
    }

    /// The last chance of a pair that could not be saved: a stop would lose it.
    pub(super) async fn save_at_last(&mut self) {
        if let Some(record) = self.unsaved.take()
            && let Err(setback) = self.keep(record).await
        {
            tracing::error!(upstream = %self.config.upstream, detail = %setback.detail,
                "a new token could not be saved before the end, and may be lost");
        }
    }

    /// Whether the operator has configured another seed since the stored pair was had.
    pub(super) fn seed_has_changed(&self) -> bool {
        let Some(seed) = &self.config.seed else {
            return false;
        };
        let known = self.record().and_then(|record| record.seed.as_ref());
        known != Some(&seed.fingerprint())
    }

    /// Makes a record what requests carry.
    pub(super) fn publish(&mut self, record: &Record) -> Result<(), Setback> {
        let malformed = |detail: String| Setback {
            outcome: Outcome::Malformed,
            detail,
            wait: None,
            needs_a_person: false,
        };
        let Some(access_token) = &record.access_token else {
            return Err(malformed("there is no access token".to_owned()));
        };
        let mut values = self.endpoint.credentials().clone();
        values.insert("access_token".to_owned(), access_token.clone());
        if let Some(refresh_token) = &record.refresh_token {
            values.insert("refresh_token".to_owned(), refresh_token.clone());
        }
        let injection = Injection::render(&self.config.inject, &values)
            .map_err(|error| malformed(error.to_string()))?;
        let over_at = clock::instant_of(record.expires_at);
        self.over_at = Some(over_at);
        self.cache.publish(Live { generation: record.generation, over_at, injection });

        let life = record.expires_at.duration_since(record.obtained_at).unwrap_or_default();
        let age = clock::wall().duration_since(record.obtained_at).unwrap_or_default();
        let after = self.config.schedule.renew_after(life, fastrand::f64());
        self.renew_at = Instant::now() + after.saturating_sub(age);
        Ok(())
    }

    /// The refresh tokens to try: a changed seed first, then what the store has. An unchanged seed
    /// is spent or the same.
    fn refresh_tokens(&self) -> Vec<Secret> {
        if !self.endpoint.can_refresh() {
            return Vec::new();
        }
        let seed = self.config.seed.clone().filter(|_| self.seed_has_changed());
        // Where nothing else is left, one that has lapsed by our clock is tried all the same.
        let hopeless = |record: &Record| self.endpoint.can_mint() && self.has_lapsed(record);
        let stored = self.record().filter(|record| !hopeless(record));
        let stored = stored.and_then(|record| record.refresh_token.clone());
        let stored = stored.filter(|stored| seed.as_ref().is_none_or(|seed| !seed.same_as(stored)));
        seed.into_iter().chain(stored).collect()
    }

    /// Presents a refresh token.
    async fn present(
        &mut self,
        refresh_token: &Secret,
        reason: Reason,
    ) -> Result<Result<Grant, String>, Setback> {
        self.note_call(Some(refresh_token), reason).await?;
        let answer = self.endpoint.refresh(refresh_token).await;
        self.heard(answer).await
    }

    /// What a call came to. The inner error is a refusal: hope goes on. Only where the vendor may
    /// have acted without our hearing of it does the intent stay open.
    async fn heard(
        &mut self,
        answer: Result<Grant, Denied>,
    ) -> Result<Result<Grant, String>, Setback> {
        match answer {
            Ok(grant) => Ok(Ok(grant)),
            Err(Denied::Refused(refusal)) => {
                self.close_intent().await;
                Ok(Err(refusal))
            }
            Err(Denied::NotSent(detail)) => {
                self.budget.refund();
                self.close_intent().await;
                Err(Denied::NotSent(detail).into())
            }
            Err(denied) => {
                self.cut_off = true;
                Err(denied.into())
            }
        }
    }

    /// Nothing can have been lost by this call. By an earlier one it may: then the note stays, to
    /// explain a refusal after a restart as well. If this cannot be saved, the next start looks for
    /// a lost answer that is not lost, and no more.
    async fn close_intent(&mut self) {
        let Some(entry) = &mut self.entry else { return };
        if !self.cut_off {
            entry.intent = None;
        }
        entry.ledger = self.budget.ledger();
        let _ = self.store.save(&self.config.upstream, entry.clone()).await;
    }

    /// Books the call, and the intent to present this refresh token, before it is made. A store
    /// that cannot take this note could not take the new pair either, so nothing is spent then.
    async fn note_call(&mut self, presents: Option<&Secret>, why: Reason) -> Result<(), Setback> {
        self.budget.check(why)?;
        self.budget.spend(why);
        self.last_call = Some(Instant::now());
        let mut entry = self.entry.clone().unwrap_or_default();
        entry.ledger = self.budget.ledger();
        entry.intent = presents
            .map(|secret| Intent { presented: secret.fingerprint(), at: clock::wall() })
            .or(entry.intent);
        if let Err(error) = self.store.save(&self.config.upstream, entry.clone()).await {
            self.budget.refund();
            if matches!(error, StoreError::Outdated { .. }) {
                // The next renewal reads what somebody else has put there.
                self.entry = None;
            }
            return Err(error.into());
        }
        self.entry = Some(entry);
        Ok(())
    }

    /// Turns a grant into the next record, saves and publishes it.
    async fn install(
        &mut self,
        grant: Grant,
        presented: Option<Secret>,
    ) -> Result<Outcome, Setback> {
        let before = self.record();
        let generation = before.map_or(0, |record| record.generation);
        let same = before.is_some_and(|record| {
            record.access_token.as_ref().is_some_and(|old| old.same_as(&grant.access_token))
        });
        let no_later = before.is_some_and(|record| {
            record.expires_at > clock::wall()
                && grant.expires_at <= record.expires_at + SMALLEST_GAIN
        });
        // A seed that is taken out of the config is still spent when it is put back.
        let seed = self.config.seed.as_ref().map(Secret::fingerprint);
        let seed = seed.or_else(|| before.and_then(|record| record.seed.clone()));
        let record = Record {
            generation: if same { generation } else { generation + 1 },
            access_token: Some(grant.access_token),
            refresh_token: grant.refresh_token.or(presented),
            obtained_at: clock::wall(),
            expires_at: grant.expires_at,
            seed,
        };
        let outcome = self.keep(record).await?;
        if same || no_later {
            let left = clock::until(grant.expires_at);
            self.renew_at = Instant::now() + self.config.schedule.after_same(left);
        }
        Ok(outcome)
    }

    /// Saved before used. When the save fails, a pair whose refresh token is new is held back until
    /// it can be saved; one whose refresh token the store has already loses nothing in a crash.
    async fn keep(&mut self, record: Record) -> Result<Outcome, Setback> {
        let entry =
            Entry { token: Some(record.clone()), ledger: self.budget.ledger(), intent: None };
        match self.store.save(&self.config.upstream, entry.clone()).await {
            Ok(()) => {
                self.cut_off = false;
                self.entry = Some(entry);
                self.publish(&record)?;
                Ok(Outcome::Ok)
            }
            Err(StoreError::Outdated { .. }) => {
                self.load().await?;
                self.adopt().map(|()| Outcome::Adopted)
            }
            Err(error) if self.is_stored(record.refresh_token.as_ref()) => {
                tracing::warn!(upstream = %self.config.upstream, error = %causes(&error),
                    "the new access token is used, though it could not be saved");
                self.publish(&record)?;
                self.entry = Some(entry);
                Ok(Outcome::Ok)
            }
            Err(error) => {
                self.unsaved = Some(record);
                Err(error.into())
            }
        }
    }

    /// After a refusal: has someone else refreshed meanwhile?
    async fn adopt_from_store(&mut self, refused: &Secret) -> Result<bool, Setback> {
        let known = self.record().map_or(0, |record| record.generation);
        let entry = self.store.load(&self.config.upstream).await?;
        let newer = entry.token.as_ref().is_some_and(|record| {
            let other = record.refresh_token.as_ref().is_none_or(|token| !token.same_as(refused));
            record.generation > known && other && record.expires_at > clock::wall()
        });
        if newer {
            self.entry = Some(entry);
            self.adopt()?;
        }
        Ok(newer)
    }

    fn adopt(&mut self) -> Result<(), Setback> {
        match self.record().cloned() {
            Some(record) => self.publish(&record),
            None => Ok(()),
        }
    }

    async fn respect_vendor_interval(&self) -> Result<(), Setback> {
        let Some(last) = self.last_call else {
            return Ok(());
        };
        let wait = (last + self.config.vendor_interval).saturating_duration_since(Instant::now());
        if wait > LONGEST_PAUSE {
            let detail = "the vendor wants more time between two calls".to_owned();
            return Err(Setback {
                outcome: Outcome::Budget,
                detail,
                wait: Some(wait),
                needs_a_person: false,
            });
        }
        sleep(wait).await;
        Ok(())
    }

    fn plea(&self, refusals: &[String]) -> Setback {
        let name = &self.config.upstream;
        let remedy = format!(
            "get a refresh token from the vendor and run `tokenward seed {name} \
             --refresh-token-file FILE`, or change upstream.{name}.credentials.refresh_token"
        );
        let detail = match refusals {
            [] => format!("there is no refresh token, and the vendor cannot mint: {remedy}"),
            _ if self.endpoint.can_mint() => format!(
                "the vendor refused ({}): check upstream.{name}.credentials",
                refusals.join("; then ")
            ),
            _ => {
                let cause =
                    if self.cut_off { ", perhaps because the answer to it was lost" } else { "" };
                format!("the refresh token was refused ({}){cause}: {remedy}", refusals.join("; "))
            }
        };
        let wait = refusals.is_empty().then_some(super::LONGEST_RETRY);
        Setback { outcome: Outcome::Refused, detail, wait, needs_a_person: true }
    }

    fn record(&self) -> Option<&Record> {
        self.entry.as_ref().and_then(|entry| entry.token.as_ref())
    }

    fn is_stored(&self, refresh_token: Option<&Secret>) -> bool {
        let stored = self.record().and_then(|record| record.refresh_token.as_ref());
        match (stored, refresh_token) {
            (Some(stored), Some(new)) => stored.same_as(new),
            (_, None) => true,
            (None, Some(_)) => false,
        }
    }

    fn has_lapsed(&self, record: &Record) -> bool {
        let life = self.endpoint.refresh_token_life();
        life.is_some_and(|life| record.obtained_at + life <= clock::wall())
    }
}

/// A renewal by schedule waits this long for the vendor's interval; beyond that it comes back.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// An end that is later by no more than this is the same end, told again.
const SMALLEST_GAIN: Duration = Duration::from_secs(1);
