//! The protocol as a model: every order in which replicas, store, vendor and network can act, with
//! what may go wrong between them.
//!
//! The machine of a renewal and the changes of the page are the program's own. Of the model are
//! the store (one page, compare and set), the vendor, the network (whatever is asked or answered
//! takes as long as it likes), crashes, time (which stands still but for ticks that end all pauses),
//! and the refresher's few lines around the machine.

mod actions;
mod properties;
mod replica;
mod steps;
mod tests;
mod trace;
mod vendor;
mod world;

use std::time::Duration;

use stateright::{Model, Property};

use crate::secret::Secret;

use super::super::budget::Limits;
use super::super::page::{Life, Page, Tokens};
use super::{Rules, Step};
use actions::Action;
use replica::Replica;
use vendor::{LIFE, Rotation, Vendor, access, refresh_token};
use world::{Faults, Kept, Seen, World};

/// What is modelled, and within which bounds.
#[derive(Clone, Debug)]
struct Protocol {
    replicas: usize,
    rotation: Rotation,
    can_refresh: bool,
    can_mint: bool,
    /// The store is empty, and the refresh token is configured.
    from_seed: bool,
    faults: Faults,
    /// Of all kinds together.
    most_faults: u8,
    /// How often the vendor ends the access token by itself.
    deaths: u8,
    /// How often the time comes for a renewal.
    dues: u8,
    ticks: u8,
    beats: u8,
    /// Whether the vendor may end the refresh token.
    revokes: bool,
    flaw: Flaw,
}

/// What the model does wrong on purpose, to show that its properties can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The refresh token about to be presented is not noted.
    NotesNothing,
    /// No call is booked.
    BooksNothing,
    /// That a refused token was in doubt is not noted.
    NotesNoDoubt,
    /// A pair that could not be saved is dropped.
    ForgetsUnsaved,
    /// A pair that could not be saved is used.
    ServesUnsaved,
    /// A late pair replaces what is there.
    TakesLatePairs,
    /// A late pair is dropped.
    DropsLatePairs,
    /// What a replica knows is not given back to a store that lost it.
    GivesNothingBack,
    /// The store takes any write.
    StoreCompares,
    /// Every lease is taken for over.
    IgnoresLeases,
}

// === impl Protocol ===

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut page = Page::default();
        let mut seen = Seen { wanted: 1, ..Seen::default() };
        let mut vendor = Vendor::new(false);
        if !self.from_seed {
            vendor = Vendor::new(true);
            page.generation = 1;
            page.tokens = Tokens {
                access: Some(access(1)),
                refresh: self.can_refresh.then(|| refresh_token(1)),
                spares: Vec::new(),
            };
            seen = Seen { stored_access: 2, stored_refresh: 2, ..Seen::default() };
        }
        let mut world = World {
            ticks: 0,
            vendor,
            page: Kept::new(page),
            before: None,
            replicas: vec![Kept::new(Replica::default()); self.replicas],
            late: Vec::new(),
            orphans: Vec::new(),
            used: Faults::default(),
            seen,
        };
        if !self.from_seed {
            let obtained_at = world.wall();
            let life = Life {
                obtained_at,
                expires_at: obtained_at + LIFE,
                refresh_expires_at: None,
                no_gain_at: None,
                keeps_refresh: false,
            };
            world.page.change(|page| page.life = Some(life));
        }
        world.before = (self.faults.failovers > 0).then(|| world.page.clone());
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions::all(self, world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        action.carry_out(self, world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Protocol {
    fn rules(&self, holder: String) -> Rules {
        Rules {
            upstream: "a".into(),
            holder,
            can_refresh: self.can_refresh,
            can_mint: self.can_mint,
            seed: self.seed(),
            limits: Limits { per_day: 0, day_offset: 0, per_minute: 100 },
            vendor_interval: Duration::ZERO,
        }
    }

    fn seed(&self) -> Option<Secret> {
        self.from_seed.then(|| refresh_token(1))
    }
}

// === impl Flaw ===

impl Flaw {
    /// What is written in place of what ought to be.
    fn spoil(self, stored: &Page, mut next: Page) -> Page {
        match self {
            Self::NotesNothing => next.intent = None,
            Self::BooksNothing => next.ledger = stored.ledger.clone(),
            Self::NotesNoDoubt => {
                next.refusals.iter_mut().for_each(|refusal| refusal.lost_at = None);
            }
            _ => {}
        }
        next
    }
}
