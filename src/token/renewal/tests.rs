//! The transitions, one by one.

use std::time::{Duration, SystemTime};

use crate::secret::Secret;

use super::super::page::{Life, Page, Tokens};

/// The pair of this number, had at its own time.
fn page(generation: u64, pair: u64) -> Page {
    let obtained_at = SystemTime::UNIX_EPOCH + Duration::from_secs(pair);
    let expires_at = obtained_at + Duration::from_secs(3600);
    Page {
        generation,
        tokens: Tokens {
            access: Some(Secret::new(format!("a{pair}"))),
            refresh: Some(Secret::new(format!("r{pair}"))),
            spares: Vec::new(),
        },
        life: Some(Life {
            obtained_at,
            expires_at,
            refresh_expires_at: None,
            no_gain_at: None,
            keeps_refresh: false,
        }),
        ..Page::default()
    }
}

/// Found by the model: the store forgets the second pair; a replica that begins then has a third
/// from what is left; and one that knows the second gives it back.
#[test]
fn p15_what_is_given_back_to_a_store_does_not_cost_a_later_refresh_token() {
    let given_back = page(1, 3).restored(&page(2, 2));
    assert_eq!((given_back.generation, given_back.tokens.refresh), (2, Some(Secret::new("r2"))));
    assert_eq!(given_back.tokens.spares, [Secret::new("r3")]);
    // What the store still had from before is spent.
    assert!(page(1, 1).restored(&page(2, 2)).tokens.spares.is_empty());
}
