//! A refresh token that a person puts into a page.

use crate::secret::Secret;

use super::{MOST_SPARES, Page, merged};

impl Page {
    /// A person has put a refresh token in, which goes before all others and is presented soon. What
    /// is served meanwhile, what was spent and who holds the lease stay; so does the refresh token
    /// that was there, as a spare, unless the vendor has refused it.
    #[must_use]
    pub fn seeded(&self, token: Secret) -> Page {
        let mut page = self.clone();
        let print = token.fingerprint();
        let before = page.tokens.refresh.replace(token);
        page.tokens.spares.retain(|spare| spare.fingerprint() != print);
        let before = before.filter(|it| it.fingerprint() != print);
        if let Some(before) = before.filter(|it| page.refusal_of(it.fingerprint()).is_none()) {
            page.tokens.spares.insert(0, before);
            page.tokens.spares.truncate(MOST_SPARES);
        }
        // It may be one that was refused: a person wants it tried once more.
        page.refusals.retain(|refusal| refusal.token != print);
        // If it is configured, too, it is no news there.
        page.seeds = merged(page.seeds, vec![print]);
        page.failure = None;
        page.unproven = true;
        if let Some(life) = &mut page.life {
            // Of the one before.
            life.refresh_expires_at = None;
        }
        page
    }

    /// Whether a refresh token was put in by hand, and the call under this lease presented another.
    pub(super) fn is_unpresented(&self, fence: u64) -> bool {
        let presented = self.intent.as_ref().filter(|intent| intent.fence == fence);
        let presented = presented.map(|intent| intent.presented);
        self.unproven && self.tokens.refresh.as_ref().map(Secret::fingerprint) != presented
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::{Failure, Gain, Life, Tokens};
    use super::*;
    use crate::secret::Fingerprint;
    use crate::token::Outcome;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn print(token: &str) -> Fingerprint {
        Secret::new(token).fingerprint()
    }

    fn life() -> Life {
        let expires_at = NOW + Duration::from_secs(3600);
        let refresh_expires_at = Some(expires_at);
        Life {
            obtained_at: NOW,
            expires_at,
            refresh_expires_at,
            no_gain_at: None,
            keeps_refresh: false,
        }
    }

    fn tokens(access: &str, refresh: &str) -> Tokens {
        let (access, refresh) = (Some(Secret::new(access)), Some(Secret::new(refresh)));
        Tokens { access, refresh, spares: Vec::new() }
    }

    fn page(generation: u64) -> Page {
        let tokens = tokens("access", "stored");
        Page { generation, tokens, life: Some(life()), ..Page::default() }
    }

    fn gain(page: &Page) -> Gain {
        Gain {
            tokens: tokens("new access", "new"),
            life: life(),
            base: page.generation,
            fence: page.fence,
            seed: Some(print("configured")),
            death: None,
            lived_out: true,
        }
    }

    fn refresh(page: &Page) -> &str {
        page.tokens.refresh.as_ref().expect("a refresh token").expose()
    }

    #[test]
    fn p20_what_is_put_in_by_hand_goes_first_and_loses_nothing() {
        let (outcome, detail, until) = (Outcome::Refused, String::new(), NOW);
        let failure = Failure { outcome, detail, until, times: 3, needs_a_person: true };
        let before = Page { failure: Some(failure), ..page(5) };
        let page = before.seeded(Secret::new("given"));
        assert_eq!((refresh(&page), page.unproven, page.generation), ("given", true, 5));
        assert_eq!(page.tokens.access, before.tokens.access, "it is served meanwhile");
        assert_eq!(page.tokens.spares, [Secret::new("stored")]);
        assert_eq!(page.failure, None, "it was about another credential");
        assert_eq!(page.life.expect("a life").refresh_expires_at, None);
        assert!(page.seeds.contains(&print("given")), "configured later, it is no news");
    }

    #[test]
    fn p20_what_was_refused_is_no_spare_and_can_be_put_in_again() {
        let refused = page(1).refused(print("stored"), 0, NOW);
        let page = refused.seeded(Secret::new("given"));
        assert!(page.tokens.spares.is_empty() && page.refusal_of(print("stored")).is_some());
        let page = page.seeded(Secret::new("stored"));
        assert_eq!((refresh(&page), page.refusal_of(print("stored"))), ("stored", None));
    }

    #[test]
    fn p20_a_renewal_that_is_under_way_does_not_push_out_what_was_put_in() {
        let taken = page(1).taken("holder", Some(print("stored")), NOW);
        let gained = taken.seeded(Secret::new("given")).gained(&gain(&taken));
        assert_eq!((refresh(&gained), gained.unproven, gained.generation), ("given", true, 2));
        assert_eq!(gained.tokens.access, Some(Secret::new("new access")));
        assert!(gained.tokens.spares.contains(&Secret::new("new")), "p15: nothing is lost");

        let taken = gained.taken("holder", Some(print("given")), NOW);
        let gained = taken.gained(&gain(&taken));
        assert_eq!((refresh(&gained), gained.unproven), ("new", false));
    }

    #[test]
    fn p20_one_that_is_refused_has_been_presented() {
        let taken = page(1).seeded(Secret::new("given")).taken("holder", Some(print("given")), NOW);
        let refused = taken.refused(print("given"), taken.fence, NOW);
        assert!(!refused.unproven && refused.tokens.spares == [Secret::new("stored")]);
    }

    #[test]
    fn p20_a_store_that_was_emptied_and_seeded_keeps_the_seed() {
        let seeded = Page::default().seeded(Secret::new("given"));
        let restored = seeded.restored(&page(7));
        assert_eq!((refresh(&restored), restored.unproven), ("given", true));
        assert_eq!((restored.generation, restored.tokens.spares), (7, vec![Secret::new("stored")]));
    }
}
