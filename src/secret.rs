//! A text that cannot be printed: credentials and tokens.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

/// A credential or token. It has no `Display`, its `Debug` shows nothing of it, and its memory is
/// zeroed when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// The first 8 bytes of a secret's SHA-256, written as 16 hex digits: enough to see that two are the
/// same, useless for finding either. It may be stored and logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 8]);

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a fingerprint is 16 hex digits")]
pub struct NotAFingerprint;

// === impl Secret ===

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Every call is a place to look at when secrets leak.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let hash = digest::digest(&digest::SHA256, self.0.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_ref()[..8]);
        Fingerprint(first)
    }

    /// Compares without telling by its time where the two differ.
    pub fn same_as(&self, other: &Secret) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes())
            .is_ok()
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

// === impl Fingerprint ===

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
