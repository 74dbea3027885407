//! A page put right: what the store has lost and a replica still knows, and times that only a wrong
//! clock has seen.

use std::time::SystemTime;

use crate::clock;

use super::super::budget::Limits;
use super::{LARGEST_SKEW, Page, merged};

impl Page {
    /// A store that has lost its last writes gets them back from a replica that knows more. Who
    /// holds the lease, and what has been spent, the store knows best.
    #[must_use]
    pub fn restored(self, known: &Page) -> Page {
        if known.generation <= self.generation {
            return self;
        }
        let obtained_at = |page: &Page| page.life.map(|life| life.obtained_at);
        let is_later = obtained_at(&self) > obtained_at(known);
        let mut page = Page {
            fence: self.fence.max(known.fence),
            lease: self.lease,
            ledger: self.ledger.later(known.ledger.clone()),
            seeds: merged(known.seeds.clone(), self.seeds),
            ..known.clone()
        };
        match self.tokens.refresh {
            Some(by_hand) if self.unproven => page.seeded(by_hand),
            // Had from what the store still knew: it may be the one that the vendor counts.
            late if is_later => {
                page.spare(late);
                page
            }
            _ => page,
        }
    }

    /// The page without times that only a wrong clock can have seen, if it has any: what they close
    /// would stay closed until the clock is there. Clocks of replicas may differ a little.
    pub fn corrected(&self, limits: &Limits, now: SystemTime) -> Option<Page> {
        let limit = now + LARGEST_SKEW;
        let mut page = self.clone();
        page.ledger = limits.corrected(&self.ledger, now, limit);
        for refusal in page.refusals.iter_mut().filter(|refusal| refusal.at > limit) {
            refusal.at = clock::whole_millis(now);
        }
        (page != *self).then_some(page)
    }
}
