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
        let by_hand = self.tokens.refresh.filter(|_| self.unproven);
        let page = Page {
            fence: self.fence.max(known.fence),
            lease: self.lease,
            ledger: self.ledger.later(known.ledger.clone()),
            seeds: merged(known.seeds.clone(), self.seeds),
            ..known.clone()
        };
        match by_hand {
            Some(token) => page.seeded(token),
            None => page,
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
