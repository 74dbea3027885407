//! A text that cannot be printed: credentials and tokens.

mod buffer;
pub mod live;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use zeroize::Zeroizing;

pub use buffer::Buffer;

/// A credential or token. It has no `Display`, its `Debug` shows nothing of it, and clones share one
/// memory, which is zeroed when the last of them is dropped. As long as it lives, the log filter
/// looks for it.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

/// The first 8 bytes of a secret's SHA-256, written as 16 hex digits: enough to see that two are the
/// same, useless for finding either. It may be stored and logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 8]);

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a fingerprint is 16 hex digits")]
pub struct NotAFingerprint;

struct Inner {
    text: Zeroizing<String>,
    /// In the list of those that are looked for.
    listed: Option<live::Number>,
    /// What it is made of.
    parts: Vec<Secret>,
}

/// What bytes that are handed on belong to.
struct Owner(Secret);

// === impl Secret ===

impl Secret {
    /// One that the log filter looks for, if it is long enough.
    pub fn new(text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        let listed = (text.len() >= SHORTEST_LISTED).then(live::number);
        let secret = Self(Arc::new(Inner { text, listed, parts: Vec::new() }));
        if let Some(number) = listed {
            live::enter(number, &secret.0);
        }
        secret
    }

    /// One that only names an account. It is kept like the others, but may stand in a log.
    pub fn identifier(text: impl Into<String>) -> Self {
        Self::compound(text, Vec::new())
    }

    /// A text in which others stand, or nothing secret at all. It is not looked for, its parts are,
    /// for as long as it lives.
    pub fn compound(text: impl Into<String>, parts: Vec<Secret>) -> Self {
        Self(Arc::new(Inner { text: Zeroizing::new(text.into()), listed: None, parts }))
    }

    /// The text itself. Every call is a place to look at when secrets leak.
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    /// The same memory as bytes, to be handed to a library: it is zeroed when that lets it go.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from_owner(Owner(self.clone()))
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.expose())
    }

    /// Compares without telling by its time where the two differ.
    pub fn same_as(&self, other: &Secret) -> bool {
        let (one, other) = (self.expose().as_bytes(), other.expose().as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
    }

    /// Whether the log filter looks for it, or for a part of it.
    pub fn is_looked_for(&self) -> bool {
        self.0.listed.is_some() || self.0.parts.iter().any(Secret::is_looked_for)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.same_as(other)
    }
}

impl Eq for Secret {}

/// The model checker keeps the states that it has seen by their hashes.
#[cfg(test)]
impl std::hash::Hash for Secret {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(number) = self.listed {
            live::leave(number);
        }
    }
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    pub fn of(text: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_ref()[..8]);
        Self(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(|number| Self(number.to_be_bytes())).ok_or(NotAFingerprint)
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// In bytes. Words of the log itself can be as long as a shorter one, which would blot them out; and a
/// secret that short is found by trying anyway.
pub const SHORTEST_LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_live(text: &str) -> bool {
        live::all().1.iter().any(|secret| secret.expose() == text)
    }

    #[test]
    fn p26_a_secret_does_not_print_itself() {
        let secret = Secret::new("correct horse");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)).matches("horse").count(), 0);
    }

    #[test]
    fn fingerprints_tell_secrets_apart_and_hide_them() {
        let (one, other) = (Secret::new("one"), Secret::new("other"));
        assert_eq!(one.fingerprint(), Secret::new("one").fingerprint());
        assert_ne!(one.fingerprint(), other.fingerprint());
        let written = one.fingerprint().to_string();
        assert_eq!((written.len(), written.parse().ok()), (16, Some(one.fingerprint())));
        assert!(one.same_as(&Secret::new("one")) && !one.same_as(&other));
    }

    #[test]
    fn p26_a_secret_is_looked_for_as_long_as_any_of_it_lives() {
        let secret = Secret::new("listed from the start");
        let clone = secret.clone();
        drop(secret);
        assert!(is_live("listed from the start"));
        let compound = Secret::compound("Bearer listed from the start", vec![clone]);
        let bytes = compound.to_bytes();
        drop(compound);
        assert!(is_live("listed from the start"), "bytes that are under way hold it");
        assert_eq!(&bytes[..6], b"Bearer");
        drop(bytes);
        assert!(!is_live("listed from the start"));
    }

    #[test]
    fn p26_names_of_accounts_and_words_are_not_looked_for() {
        let others = [Secret::identifier("the-name-of-an-account"), Secret::new("seven77")];
        for other in others {
            assert!(!is_live(other.expose()) && !other.is_looked_for(), "{}", other.expose());
        }
        let made_of_it = Secret::compound("x", vec![Secret::new("eight888")]);
        assert!(made_of_it.is_looked_for());
    }

    #[test]
    fn p26_while_they_are_held_no_secret_is_forgotten() {
        let version = live::version();
        let hold = live::hold();
        drop(Secret::new("gone but not forgotten"));
        assert!(is_live("gone but not forgotten"));
        assert_ne!(live::version(), version);
        drop(hold);
        assert!(!is_live("gone but not forgotten"));
    }
}
