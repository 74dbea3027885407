//! A text that cannot be printed: credentials and tokens.

use std::fmt;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

/// A credential or token. It has no `Display`, its `Debug` shows nothing of it, and its memory is
/// zeroed when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// The first 16 hex digits of a secret's SHA-256: enough to see that two are the same, useless for
/// finding either. It may be stored and logged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint(String);

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
        let hex = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}"));
        Fingerprint(hex.collect())
    }

    /// Compares without telling by its time where the two differ.
    pub fn same_as(&self, other: &Secret) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes())
            .is_ok()
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
        f.write_str(&self.0)
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
        assert_eq!(one.fingerprint().to_string().len(), 16);
        assert!(one.same_as(&Secret::new("one")) && !one.same_as(&other));
    }
}
