//! What kind of vendor, store and trouble a run has: all drawn from its seed.

use std::time::Duration;

use super::super::super::budget::Limits;
use super::super::super::schedule::Schedule;
use super::super::Config;
use super::audit::Caps;
use super::vendor::{Rotation, Terms};
use super::world::Replica;
use super::{PAGE, chance, one_of};
use crate::secret::Secret;
use crate::vendor::description::OldToken;
use crate::vendor::injection::{Inject, Place};
use crate::vendor::template::Template;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) replicas: usize,
    pub(super) terms: Terms,
    pub(super) limits: Limits,
    pub(super) vendor_interval: Duration,
    pub(super) wait: Duration,
    pub(super) lease: Duration,
    pub(super) poll: Duration,
    pub(super) notices: f64,
    pub(super) vendor_faults: f64,
    pub(super) store_faults: f64,
    /// How long things go on happening.
    pub(super) horizon: Duration,
    pub(super) between_events: Duration,
    pub(super) between_calls: Duration,
    /// How many of the requests meet a rejection though the token is good.
    pub(super) mistaken: f64,
    pub(super) events: Vec<Event>,
}

/// What happens now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Kill,
    Stop,
    Pause,
    StoreOutage,
    StoreForgets,
    StoreEmptied,
    VendorOutage,
    AccessTokensDie,
    Revoked,
    Crowd,
    Wish,
}

const EVENTS: [Event; 11] = [
    Event::Kill,
    Event::Stop,
    Event::Pause,
    Event::StoreOutage,
    Event::StoreForgets,
    Event::StoreEmptied,
    Event::VendorOutage,
    Event::AccessTokensDie,
    Event::Revoked,
    Event::Crowd,
    Event::Wish,
];

impl Plan {
    pub(super) fn draw() -> Self {
        // The odds are those of what a run of each kind costs.
        let life = match fastrand::u32(..40) {
            0..5 => 3 * SECOND,
            5..14 => 20 * SECOND,
            14..24 => 2 * MINUTE,
            24..32 => 30 * MINUTE,
            32..38 => 2 * HOUR,
            38 => DAY,
            _ => 5 * DAY,
        };
        let horizon = (12 * life).max(3 * MINUTE).min(life + DAY);
        let replicas = fastrand::usize(1..=if life >= DAY { 2 } else { 4 });
        // What never goes wrong in one run lets other things go wrong more often.
        let rare = |event: &Event| matches!(event, Event::Revoked | Event::StoreEmptied);
        let events =
            EVENTS.into_iter().filter(|event| chance(if rare(event) { 0.15 } else { 0.5 }));
        let per_day = if chance(0.25) { one_of(&[20, 100, 300]) } else { 0 };
        Self {
            replicas,
            terms: terms(life),
            limits: Limits { per_day, day_offset: 8 * 3600, per_minute: one_of(&[2, 5, 20]) },
            vendor_interval: one_of(&[Duration::ZERO, Duration::ZERO, SECOND, 5 * SECOND]),
            wait: one_of(&[2 * SECOND, 10 * SECOND]),
            lease: one_of(&[10 * SECOND, 10 * SECOND, 4 * SECOND]),
            poll: one_of(&[SECOND, 5 * SECOND, 30 * SECOND]).max(horizon / 1500),
            notices: one_of(&[1.0, 0.5, 0.0]),
            vendor_faults: one_of(&[0.0, 0.0, 0.05, 0.3]),
            store_faults: one_of(&[0.0, 0.0, 0.01, 0.05, 0.3]),
            horizon,
            between_events: horizon / one_of(&[5, 20, 60]),
            between_calls: horizon / one_of(&[10, 50, 200]),
            mistaken: one_of(&[0.0, 0.0, 0.1, 1.0]),
            events: events.collect(),
        }
    }

    /// What explains calls besides failures.
    pub(super) fn caps(&self) -> Caps {
        let seconds = self.terms.life.as_secs_f64();
        let renewals = 600.0 / (0.7 * seconds).max(1.0);
        let asks = if self.terms.same_again { 10.0 } else { 1.0 };
        let odd = if self.terms.odd { 60.0 } else { 5.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "under 1000")]
        let natural = (1.5 * renewals * asks + odd).min(650.0) as u32;
        let Limits { per_day, per_minute, .. } = self.limits;
        Caps { per_day, per_minute, day_offset: 8 * 3600, natural }
    }

    pub(super) fn config(&self, who: Replica, seed: Option<Secret>) -> Config {
        let value = Template::parse("{access_token}", &["access_token"]).expect("a template");
        let place = Place::Header(http::HeaderName::from_static("x-token"));
        let old_access_token = if self.terms.dies { OldToken::Dies } else { OldToken::Lives };
        Config {
            upstream: "vendor".into(),
            page: PAGE.into(),
            holder: who.to_string(),
            lease: self.lease,
            inject: vec![Inject { place, value }],
            seed,
            old_access_token,
            schedule: Schedule { margin: 300 * SECOND, min_interval: SECOND, keep_alive: None },
            limits: self.limits,
            vendor_interval: self.vendor_interval,
            wait: self.wait,
        }
    }
}

fn terms(life: Duration) -> Terms {
    let refreshes = chance(0.9);
    let rotation = one_of(&[
        Rotation::Strict,
        Rotation::Strict,
        Rotation::Strict,
        Rotation::Theft,
        Rotation::Grace(30 * SECOND),
        Rotation::Latest(30 * SECOND),
        Rotation::Keeps,
    ]);
    Terms {
        rotation,
        refreshes,
        mints: !refreshes || chance(0.25),
        dies: chance(0.5),
        life,
        odd: chance(0.2),
        same_again: chance(0.1),
        refresh_life: chance(0.15).then(|| life * one_of(&[3, 10])),
        timeout: one_of(&[5 * SECOND, 10 * SECOND, 30 * SECOND]),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
