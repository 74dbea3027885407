//! The vendor's ledger: which tokens were handed out, which of them live, and what a renewal ends.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::Instant;

/// How a vendor's tokens live and die.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) access_life: Duration,
    pub(super) refresh_life: Duration,
    /// A renewal ends the access tokens before it at once.
    pub(super) refresh_ends_access: bool,
}

/// Every token that one vendor has handed out, as far back as [`REMEMBERED`] allows.
pub(super) struct Ledger {
    brand: &'static str,
    policy: Policy,
    generation: u64,
    access: VecDeque<Access>,
    refresh: Option<Refresh>,
}

struct Access {
    token: String,
    generation: u64,
    dies_at: Instant,
    ended: bool,
}

struct Refresh {
    token: String,
    dies_at: Instant,
}

/// What the token endpoint hands out.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    pub(super) generation: u64,
    pub(super) life: Duration,
}

/// What an access token that a call carries is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Live(u64),
    Expired(u64),
    /// Ended by a renewal or by a switch, before its time.
    Ended(u64),
    Unknown,
}

/// The refresh token was spent, has lapsed, or never was one.
#[derive(Debug)]
pub(super) struct RefreshRefused;

impl Ledger {
    /// A ledger with nothing handed out but `first_refresh`, which a person took from the console.
    pub(super) fn new(
        brand: &'static str,
        policy: Policy,
        first_refresh: Option<String>,
        now: Instant,
    ) -> Self {
        let refresh =
            first_refresh.map(|token| Refresh { token, dies_at: now + policy.refresh_life });
        Self { brand, policy, generation: 0, access: VecDeque::new(), refresh }
    }

    /// New tokens from nothing: ends the refresh token before them.
    pub(super) fn mint(&mut self, now: Instant) -> Issued {
        self.refresh = None;
        self.issue(now)
    }

    /// New tokens for a refresh token. With `rotate` that token is spent; else it lives on, its
    /// life begun again.
    pub(super) fn refresh(
        &mut self,
        presented: &str,
        rotate: bool,
        now: Instant,
    ) -> Result<Issued, RefreshRefused> {
        if !self.is_live_refresh(presented, now) {
            return Err(RefreshRefused);
        }
        if rotate {
            self.refresh = None;
        }
        Ok(self.issue(now))
    }

    /// What `refresh` would hand out, were there nothing new: the tokens that live, unchanged.
    pub(super) fn same_again(&self, now: Instant) -> Option<Issued> {
        let access = self.live(now)?;
        Some(Issued {
            access_token: access.token.clone(),
            refresh_token: self.refresh.as_ref()?.token.clone(),
            generation: access.generation,
            life: access.dies_at - now,
        })
    }

    pub(super) fn is_live_refresh(&self, presented: &str, now: Instant) -> bool {
        self.refresh.as_ref().is_some_and(|ours| ours.token == presented && now < ours.dies_at)
    }

    pub(super) fn judge(&self, presented: &str, now: Instant) -> Standing {
        match self.access.iter().rev().find(|access| access.token == presented) {
            None => Standing::Unknown,
            Some(access) if access.ended => Standing::Ended(access.generation),
            Some(access) if access.dies_at <= now => Standing::Expired(access.generation),
            Some(access) => Standing::Live(access.generation),
        }
    }

    /// Brings the end of every living access token forward to now.
    pub(super) fn expire(&mut self, now: Instant) {
        for access in &mut self.access {
            access.dies_at = access.dies_at.min(now);
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The newest access token, if it lives, and what is left of its life.
    pub(super) fn live_access(&self, now: Instant) -> Option<(&str, Duration)> {
        self.live(now).map(|access| (access.token.as_str(), access.dies_at - now))
    }

    pub(super) fn live_refresh(&self, now: Instant) -> Option<&str> {
        let refresh = self.refresh.as_ref().filter(|refresh| now < refresh.dies_at)?;
        Some(&refresh.token)
    }

    fn live(&self, now: Instant) -> Option<&Access> {
        self.access.back().filter(|access| !access.ended && now < access.dies_at)
    }

    fn issue(&mut self, now: Instant) -> Issued {
        if self.policy.refresh_ends_access {
            // What is dead already keeps its own reason.
            self.access.iter_mut().filter(|a| now < a.dies_at).for_each(|a| a.ended = true);
        }
        self.generation += 1;
        let access_token = random_token(self.brand, "access");
        self.access.push_back(Access {
            token: access_token.clone(),
            generation: self.generation,
            dies_at: now + self.policy.access_life,
            ended: false,
        });
        if self.access.len() > REMEMBERED {
            self.access.pop_front();
        }
        let dies_at = now + self.policy.refresh_life;
        let token = match self.refresh.take() {
            Some(kept) => kept.token,
            None => random_token(self.brand, "refresh"),
        };
        let refresh_token = token.clone();
        self.refresh = Some(Refresh { token, dies_at });
        Issued {
            access_token,
            refresh_token,
            generation: self.generation,
            life: self.policy.access_life,
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Not fit for secrets: the tokens open nothing but this sandbox.
fn random_token(brand: &str, kind: &str) -> String {
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(40).collect();
    format!("sandbox-{brand}-{kind}-{random}")
}

/// Access tokens that the ledger can still name; an older one is unknown to it.
const REMEMBERED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(refresh_ends_access: bool, now: Instant) -> Ledger {
        let policy = Policy {
            access_life: Duration::from_secs(60),
            refresh_life: Duration::from_secs(600),
            refresh_ends_access,
        };
        Ledger::new("test", policy, Some("first".to_owned()), now)
    }

    #[test]
    fn a_rotated_refresh_token_is_spent() {
        let now = Instant::now();
        let mut ledger = ledger(true, now);
        let issued = ledger.refresh("first", true, now).unwrap();
        assert_ne!(issued.refresh_token, "first");
        assert!(ledger.refresh("first", true, now).is_err());
        assert!(ledger.refresh(&issued.refresh_token, true, now).is_ok());
    }

    #[test]
    fn without_rotation_the_refresh_token_lives_on_and_its_life_begins_again() {
        let now = Instant::now();
        let mut ledger = ledger(true, now);
        let later = now + Duration::from_secs(500);
        assert_eq!(ledger.refresh("first", false, later).unwrap().refresh_token, "first");
        assert!(ledger.refresh("first", false, later + Duration::from_secs(500)).is_ok());
        assert!(ledger.refresh("first", false, later + Duration::from_secs(1100)).is_err());
    }

    #[test]
    fn a_renewal_ends_the_token_before_it_or_lets_it_live() {
        let now = Instant::now();
        for (ends, expected) in [(true, Standing::Ended(1)), (false, Standing::Live(1))] {
            let mut ledger = ledger(ends, now);
            let old = ledger.mint(now);
            let new = ledger.mint(now);
            assert_eq!(ledger.judge(&old.access_token, now), expected);
            assert_eq!(ledger.judge(&new.access_token, now), Standing::Live(2));
        }
    }

    #[test]
    fn minting_ends_the_refresh_token_before_it() {
        let now = Instant::now();
        let mut ledger = ledger(true, now);
        ledger.mint(now);
        assert!(!ledger.is_live_refresh("first", now));
    }

    #[test]
    fn a_token_dies_at_its_end_and_at_once_when_expired() {
        let now = Instant::now();
        let mut ledger = ledger(true, now);
        let first = ledger.mint(now);
        let end = now + Duration::from_secs(60);
        let just_before = end - Duration::from_millis(1);
        assert_eq!(ledger.judge(&first.access_token, just_before), Standing::Live(1));
        assert_eq!(ledger.judge(&first.access_token, end), Standing::Expired(1));

        let second = ledger.mint(end);
        ledger.expire(end);
        assert_eq!(ledger.judge(&second.access_token, end), Standing::Expired(2));
        assert_eq!(ledger.judge("never handed out", end), Standing::Unknown);
        assert!(ledger.live_access(end).is_none());
    }

    #[test]
    fn the_same_again_changes_nothing_and_tells_what_is_left() {
        let now = Instant::now();
        let mut ledger = ledger(true, now);
        assert!(ledger.same_again(now).is_none());
        let issued = ledger.mint(now);
        let again = ledger.same_again(now + Duration::from_secs(20)).unwrap();
        assert_eq!(again.access_token, issued.access_token);
        assert_eq!(again.refresh_token, issued.refresh_token);
        assert_eq!(again.life, Duration::from_secs(40));
    }
}
