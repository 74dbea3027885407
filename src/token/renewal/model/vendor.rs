//! The vendor of the model: which tokens it holds valid, and what it hands out.

use std::time::{Duration, SystemTime};

use crate::secret::Secret;

use super::super::super::wire::{Denied, Grant};

/// What happens to a refresh token that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// It is good once.
    Strict,
    /// It is good once; the answer is repeated until the next refresh token is presented.
    Grace,
    /// It stays.
    Never,
}

/// Pairs are numbered in the order in which they are handed out: `a2` and `r2` are the second.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Vendor {
    /// The last pair's number.
    pub(super) serial: u8,
    /// The access token that is good; 0: none.
    pub(super) access: u8,
    pub(super) refresh: u8,
    /// The refresh token before, in its grace.
    pub(super) previous: u8,
    pub(super) calls: u8,
    pub(super) grants: u8,
}

impl Vendor {
    /// Has handed out one pair. `alive`: its access token is good yet.
    pub(super) fn new(alive: bool) -> Self {
        Self { serial: 1, access: u8::from(alive), refresh: 1, previous: 0, calls: 0, grants: 0 }
    }

    pub(super) fn accepts(&self, rotation: Rotation, token: u8) -> bool {
        let in_grace = rotation == Rotation::Grace && token == self.previous;
        token != 0 && (token == self.refresh || in_grace)
    }

    pub(super) fn refresh(
        &mut self,
        rotation: Rotation,
        token: u8,
        wall: SystemTime,
    ) -> Result<Grant, Denied> {
        self.calls += 1;
        if !self.accepts(rotation, token) {
            return Err(Denied::Refused("invalid_grant".into()));
        }
        if token == self.previous {
            return Ok(told(self.serial, Some(self.refresh), wall));
        }
        let next = (rotation != Rotation::Never).then_some(self.serial + 1);
        self.previous = if rotation == Rotation::Grace { token } else { 0 };
        Ok(self.grant(next, wall))
    }

    pub(super) fn mint(&mut self, rotates: bool, wall: SystemTime) -> Grant {
        self.calls += 1;
        self.previous = 0;
        self.grant(rotates.then_some(self.serial + 1), wall)
    }

    fn grant(&mut self, refresh: Option<u8>, wall: SystemTime) -> Grant {
        self.grants += 1;
        self.serial += 1;
        self.access = self.serial;
        self.refresh = refresh.unwrap_or(self.refresh);
        told(self.access, refresh, wall)
    }
}

fn told(serial: u8, refresh: Option<u8>, wall: SystemTime) -> Grant {
    Grant {
        access_token: access(serial),
        refresh_token: refresh.map(refresh_token),
        expires_at: wall + LIFE + Duration::from_secs(10) * u32::from(serial),
        refresh_expires_at: None,
    }
}

pub(super) fn access(serial: u8) -> Secret {
    Secret::new(format!("a{serial}"))
}

pub(super) fn refresh_token(serial: u8) -> Secret {
    Secret::new(format!("r{serial}"))
}

/// The number of a token; 0: none.
pub(super) fn serial(token: Option<&Secret>) -> u8 {
    token.and_then(|token| token.expose()[1..].parse().ok()).unwrap_or(0)
}

/// Longer than any run: a token ends by dying.
pub(super) const LIFE: Duration = Duration::from_secs(30 * 86_400);
