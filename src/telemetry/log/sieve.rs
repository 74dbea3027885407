//! Finds live secrets in a text, however they are written in it.
//!
//! It keeps no secret, but keyed hashes of every form of each. A text is read once, with a look at
//! the eight bytes before each place; only where these may end a form is more of it hashed.

use std::hash::{BuildHasher, RandomState};

use crate::secret::{SHORTEST_LISTED, Secret};

use super::spelling::{self, Mark};

/// What is looked for.
#[derive(Debug)]
pub struct Sieve {
    hasher: RandomState,
    key: u64,
    /// By the first bits of a tag: whether any form has such a one.
    seen: Box<[u64; WORDS]>,
    /// In order.
    forms: Vec<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    /// Of its last eight bytes.
    tag: u32,
    length: usize,
    /// Of all of it.
    hash: u64,
}

impl Sieve {
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let hasher = RandomState::new();
        let key = hasher.hash_one(0_u64) | 1;
        let mut sieve = Self { hasher, key, seen: Box::new([0; WORDS]), forms: Vec::new() };
        for secret in secrets {
            let mut forms = Vec::new();
            spelling::forms(secret.expose().as_bytes(), |form| forms.extend(sieve.form(form)));
            sieve.forms.append(&mut forms);
        }
        sieve.forms.sort_unstable();
        sieve.forms.dedup();
        for form in &sieve.forms {
            let (word, bit) = place(form.tag);
            sieve.seen[word] |= bit;
        }
        sieve
    }

    /// Whether a secret stands in it: as it is, percent-encoded, form-encoded, with the backslashes of
    /// JSON or of Rust, in base64 or hexadecimal, or as a list of bytes.
    pub fn finds_in(&self, text: &[u8]) -> bool {
        !self.forms.is_empty() && self.finds_below(text, LAYERS)
    }

    /// In the text, or below so many layers. Few texts have one, and hardly any has both marks.
    fn finds_below(&self, text: &[u8], layers: usize) -> bool {
        self.finds_as_it_is(text)
            || layers > 0
                && [Mark::Percent, Mark::Backslash].into_iter().any(|mark| {
                    spelling::undone(text, mark)
                        .is_some_and(|undone| self.finds_below(&undone, layers - 1))
                })
    }

    fn finds_as_it_is(&self, text: &[u8]) -> bool {
        let windows = text.array_windows::<WINDOW>();
        let mut ends = (WINDOW..).zip(windows.map(|window| self.tag(window)));
        ends.any(|(end, tag)| self.may_end(tag) && self.ends_here(tag, &text[..end]))
    }

    fn may_end(&self, tag: u32) -> bool {
        let (word, bit) = place(tag);
        self.seen[word] & bit != 0
    }

    fn ends_here(&self, tag: u32, text: &[u8]) -> bool {
        let first = self.forms.partition_point(|form| form.tag < tag);
        let mut forms = self.forms[first..].iter().take_while(|form| form.tag == tag);
        forms.any(|form| {
            let start = text.len().checked_sub(form.length);
            start.is_some_and(|start| self.hasher.hash_one(&text[start..]) == form.hash)
        })
    }

    /// `None`: it is too short to be looked for.
    fn form(&self, text: &[u8]) -> Option<Form> {
        let tag = self.tag(text.last_chunk()?);
        Some(Form { tag, length: text.len(), hash: self.hasher.hash_one(text) })
    }

    /// Depends on all eight bytes, and is too short to give them away.
    fn tag(&self, window: &[u8; WINDOW]) -> u32 {
        let mixed = (u64::from_le_bytes(*window) ^ self.key).wrapping_mul(MULTIPLIER);
        (mixed >> u32::BITS) as u32
    }
}

fn place(tag: u32) -> (usize, u64) {
    let bit = (tag >> (u32::BITS - WORDS.ilog2() - u64::BITS.ilog2())) as usize;
    (bit / u64::BITS as usize, 1 << (bit % u64::BITS as usize))
}

/// A value in `Debug` output in a JSON record has two; it may have come percent-encoded.
const LAYERS: usize = 3;
const WINDOW: usize = SHORTEST_LISTED;
/// 2 KiB: sixteen secrets leave one place in a hundred for a second look.
const WORDS: usize = 256;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests;
