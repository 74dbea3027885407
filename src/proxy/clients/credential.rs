//! A key as a caller shows it, and as it is kept.

use std::fmt;
use std::hint::black_box;

use aws_lc_rs::digest;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// A key's SHA-256: what is kept of it. A key has too many bits for it to be found from this.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u64; 4]);

/// What a caller shows.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) key: KeyHash,
    /// `Basic` has a name before the key.
    name: Option<Zeroizing<Vec<u8>>>,
}

// === impl KeyHash ===

impl KeyHash {
    pub fn of(key: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, key);
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(hash.as_ref().chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Self(words)
    }

    /// 64 hex digits, as `sha256sum` prints them.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut words = [0; 4];
        for (place, word) in words.iter_mut().enumerate() {
            *word = u64::from_str_radix(&text[16 * place..][..16], 16).ok()?;
        }
        Some(Self(words))
    }

    /// Where in the list it stands. It takes the same time wherever that is, and if it is nowhere:
    /// nothing in the loop depends on what is compared.
    pub(super) fn place_in(&self, list: &[KeyHash]) -> Option<usize> {
        let mut found = 0;
        for (place, KeyHash(words)) in list.iter().enumerate() {
            let differing = words.iter().zip(&self.0).fold(0, |bits, (a, b)| bits | (a ^ b));
            // Hidden from the optimizer, which might make a branch of it.
            let differing = black_box(differing);
            let is_same = ((differing | differing.wrapping_neg()) >> 63) ^ 1;
            found |= is_same.wrapping_neg() as usize & (place + 1);
        }
        found.checked_sub(1)
    }
}

/// Nobody needs to see it.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(***)")
    }
}

// === impl Credential ===

impl Credential {
    /// `Bearer KEY`, or `Basic` with the Base64 of `NAME:KEY`.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let blank = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = (&value[..blank], value[blank..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Some(Self { key: KeyHash::of(rest), name: None });
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let mut pair = Zeroizing::new(BASE64.decode(rest).ok()?);
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let key = KeyHash::of(&pair[colon + 1..]);
        pair[colon..].fill(0);
        pair.truncate(colon);
        Some(Self { key, name: Some(pair) })
    }

    /// Who says a name must say the right one.
    pub(super) fn is_of(&self, client: &str) -> bool {
        self.name.as_ref().is_none_or(|name| name.as_slice() == client.as_bytes())
    }
}

/// Some programs leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p21_a_key_is_read_from_bearer_and_basic() {
        let key = KeyHash::of(b"a:key");
        for text in [
            "Bearer a:key",
            "bearer  a:key ",
            "BEARER a:key",
            "Basic bmFtZTphOmtleQ==",
            "Basic bmFtZTphOmtleQ",
        ] {
            let read = Credential::read(text.as_bytes()).expect("a credential");
            assert!(read.key == key && read.is_of("name"), "{text}");
        }
        let basic = Credential::read(b"basic bmFtZTphOmtleQ==").expect("a credential");
        assert!(!basic.is_of("nam") && !basic.is_of("name2") && !basic.is_of(""));
        for text in [
            "",
            "Bearer",
            "a:key",
            "Digest a:key",
            "Basic a:key",
            "Basic bmFtZQ==",
            "Bearer\ta:key",
        ] {
            assert!(Credential::read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn p21_a_hash_is_known_by_all_of_its_bits() {
        let hash = KeyHash::of(b"key");
        let hex = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
        assert!(KeyHash::from_hex(hex) == Some(hash));
        assert!(KeyHash::from_hex(&hex.to_uppercase()) == Some(hash));
        for bad in [&hex[1..], &format!("{hex}0"), &hex.replace('2', "g"), &hex.replace('2', "+")] {
            assert!(KeyHash::from_hex(bad).is_none(), "{bad}");
        }
        let others: Vec<_> = (0..256)
            .map(|bit| {
                let mut other = hash;
                other.0[bit / 64] ^= 1 << (bit % 64);
                other
            })
            .collect();
        assert_eq!(hash.place_in(&others), None);
        assert!((0..256).all(|bit| others[bit].place_in(&others) == Some(bit)));
        assert_eq!(hash.place_in(&[]), None);
    }
}
