//! What the vendor has answered, and how it is kept.

use std::time::Duration;

use crate::clock;
use crate::secret::Secret;

use super::super::deaths::Death;
use super::super::page::{Gain, Life, Page, Tokens};
use super::super::schedule::LARGEST_MARGIN;
use super::super::wire::{Denied, Grant};
use super::super::{Outcome, Reason};
use super::setback::{Cost, Trouble};
use super::ways::Way;
use super::{Call, Now, Renewal, Rules, Setback, Stage, Step};

impl Renewal {
    /// What a call came to. Only where the vendor may have acted without our hearing of it does the
    /// intent stay open.
    pub(super) fn answered(
        &mut self,
        rules: &Rules,
        call: Call,
        answer: Result<Grant, Denied>,
        now: Now,
    ) -> Step {
        let page = self.seen.clone();
        let trouble = |cost| Some(Trouble { cost, fence: call.fence });
        match (answer, &call.way) {
            (Ok(grant), _) => {
                let gain = self.gain(rules, call, grant, now);
                self.keep(rules, gain, page, now)
            }
            (Err(Denied::Refused(refusal)), Way::Refresh(token)) => {
                self.refusals.push(refusal);
                self.note(token.fingerprint(), call.fence, page, now)
            }
            (Err(Denied::Refused(refusal)), Way::Mint) => {
                self.refusals.push(refusal);
                let setback = self.plea(rules, &page, now.wall);
                self.close(rules, Err(setback), trouble(Cost::Booked), page, now)
            }
            (Err(denied @ Denied::NotSent(_)), _) => {
                self.close(rules, Err(denied.into()), trouble(Cost::None), page, now)
            }
            (Err(denied), _) => {
                self.close(rules, Err(denied.into()), trouble(Cost::Booked), page, now)
            }
        }
    }

    fn gain(&self, rules: &Rules, call: Call, grant: Grant, now: Now) -> Gain {
        let presented = call.way.token().cloned();
        let same = self.seen.tokens.access.as_ref() == Some(&grant.access_token);
        let left = grant.expires_at.duration_since(now.wall).unwrap_or_default();
        let no_later = now.is_living(&self.seen) && left <= now.left(&self.seen) + SMALLEST_GAIN;
        let lived_out = match self.task.reason {
            Reason::Schedule | Reason::KeepAlive => true,
            // In its last days, or after them.
            Reason::Rejected => self.task.than == call.base && call.death.is_none(),
            _ => false,
        };
        // Of a refresh token that stays, an earlier answer may have told.
        let stays = grant.refresh_token.is_none() && presented.is_some();
        let told = self.seen.life.and_then(|life| life.refresh_expires_at).filter(|_| stays);
        let refresh_expires_at = grant.refresh_expires_at.or(told);
        let now = clock::whole_millis(now.wall);
        let other = grant.refresh_token;
        // The same pair handed out again tells nothing of what a new one does.
        let keeps = match same {
            true => self.seen.life.is_some_and(|life| life.keeps_refresh),
            false => presented.is_some() && (other.is_none() || other == presented),
        };
        let life = Life {
            obtained_at: now,
            expires_at: clock::whole_millis(grant.expires_at),
            refresh_expires_at: refresh_expires_at.map(clock::whole_millis),
            no_gain_at: (same || no_later).then_some(now),
            keeps_refresh: keeps,
        };
        Gain {
            tokens: Tokens {
                access: Some(grant.access_token),
                refresh: other.or(presented),
                spares: Vec::new(),
            },
            life,
            base: call.base,
            fence: call.fence,
            seed: rules.seed.as_ref().map(Secret::fingerprint),
            // The same token again has not died, whatever the vendor has said of it.
            death: call.death.filter(|_| !same),
            lived_out,
        }
    }

    /// How the page's access token has died, if somebody has just been told so long before its end.
    pub(super) fn death_of(&self, page: &Page, now: Now) -> Option<Death> {
        let (whole, left) = (page.life?.whole(), now.left(page));
        let rejected = self.task.reason == Reason::Rejected && page.generation == self.task.than;
        let seconds = |span: Duration| (span + Duration::from_millis(500)).as_secs();
        (rejected && left > whole.mul_f64(LARGEST_MARGIN)).then(|| Death {
            age: seconds(whole.saturating_sub(left)),
            promised: seconds(whole),
            worked: self.task.worked,
        })
    }

    /// Saves what came. If somebody else has been faster, their token is taken, and of ours what
    /// may be of use is kept beside it.
    pub(super) fn keep(&mut self, rules: &Rules, gain: Gain, page: Page, now: Now) -> Step {
        let page = page.restored(&self.task.known);
        if page.tokens == gain.tokens && page.life == Some(gain.life) {
            // Saved already, though that was not acknowledged.
            self.death = gain.death;
            return self.release(rules, Ok(Outcome::Ok), page);
        }
        if page.generation > gain.base {
            let late = gain.tokens.refresh.as_ref();
            if late.is_none_or(|late| page.knows(late)) {
                return self.adopt(rules, page);
            }
            let next = page.spared(&gain).released(&rules.holder);
            return self.swap(page, next, |next| Stage::Sparing { gain, next });
        }
        let same = page.tokens.access == gain.tokens.access;
        let mut next = page.gained(&gain).released(&rules.holder);
        if same && self.task.reason == Reason::Rejected {
            // Sending the request once more would be futile, and so would be asking again at once.
            next.failure =
                Some(self.failure(rules, &Setback::same(), Cost::Booked, &page, now.wall));
        }
        self.swap(page, next, |next| Stage::Keeping { gain, next })
    }

    pub(super) fn kept(&mut self, rules: &Rules, next: Page, now: Now) -> Step {
        let of_before = self.tried.is_empty() && !self.minted;
        if of_before && !now.is_living(&next) {
            // Saved at last, but over meanwhile: the refresh token that came with it is what counts.
            return self.look(rules, next, now);
        }
        self.seen = next;
        self.end(Ok(Outcome::Ok))
    }

    /// Saved before used: a pair whose refresh token is new is held back until it can be saved. One
    /// whose refresh token the store has already loses nothing in a crash.
    pub(super) fn unsaved(&mut self, gain: Gain, next: Page, error: String) -> Step {
        if self.seen.tokens.refresh == gain.tokens.refresh {
            self.seen = next;
            self.death = gain.death;
            return self.end(Ok(Outcome::Ok));
        }
        self.task.unsaved = Some(gain);
        self.end(Err(Setback { outcome: Outcome::Unsaved, ..Setback::of_store(error) }))
    }
}

/// An end that is later by no more than this is the same end, told again.
const SMALLEST_GAIN: Duration = Duration::from_secs(1);
