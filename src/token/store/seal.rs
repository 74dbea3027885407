//! Tokens sealed at rest, for every kind of store alike: AES-256-GCM-SIV under the operator's key.
//!
//! A sealed text is bound to its page's name and generation, so that it opens nowhere else. It reads
//! `sealed:1:<key id>:<base64 of nonce, ciphertext and tag>`.

use std::fmt::{self, Write};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::secret::{Buffer, Fingerprint, Secret};

use super::Written;

/// Seals tokens with the first of its keys, and opens what any of them has sealed. Without a key it
/// leaves them as they are.
#[derive(Debug, Default)]
pub struct Vault {
    keys: Vec<Lock>,
}

/// What the operator gave to seal with: 32 bytes.
#[derive(Clone)]
pub struct Key {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    id: Fingerprint,
    texts: [Secret; 2],
}

/// The same bytes.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Key {}

/// Why a text is no key. It says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error("this is not 32 bytes in hex (64 digits) or in base64 (44 characters)")]
    Length,
    #[error("all bytes of this key are the same")]
    Placeholder,
}

/// How a page's tokens were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// As they would be written today.
    Current,
    /// With a key that is no longer the first.
    Outdated(Fingerprint),
    /// As plain text, though there is a key.
    Plain,
}

/// Why sealed tokens stay closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Sealed {
    #[error(
        "its tokens are sealed with the key {wanted}, and there is no key: set \
         `store.encryption_key`"
    )]
    NoKey { wanted: Fingerprint },
    #[error(
        "its tokens are sealed with the key {wanted}, and `store.encryption_key` has {known}: add \
         the wanted key to its list"
    )]
    OtherKey { wanted: Fingerprint, known: String },
    #[error(
        "its sealed tokens do not open with their key {with}: they are damaged, or belong to another \
         page or generation; restore the store from a copy, or remove the page and seed again"
    )]
    Broken { with: Fingerprint },
    #[error(
        "its sealed tokens are damaged, or of a later version; restore the store from a copy, or \
         remove the page and seed again"
    )]
    Unknown,
}

/// The library could not seal; it has no randomness, say.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the tokens could not be sealed")]
pub struct Unsealed;

/// A key that is ready for use.
struct Lock {
    id: Fingerprint,
    key: RandomizedNonceKey,
    /// Never read: they are looked for in the log as long as the key is in use.
    _texts: [Secret; 2],
}

// === impl Key ===

impl Key {
    /// A key from 64 hex digits, or from base64 with or without its padding.
    ///
    /// # Errors
    /// When it is neither, or the same byte again and again.
    pub fn parse(secret: &Secret) -> Result<Self, NotAKey> {
        let text = secret.expose().trim();
        let bytes = hex(text).or_else(|| base64(text)).ok_or(NotAKey::Length)?;
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(NotAKey::Placeholder);
        }
        let mut hex = Buffer::with_capacity(2 * KEY_LEN);
        bytes.iter().try_for_each(|byte| write!(hex, "{byte:02x}")).expect("memory");
        let hex = std::str::from_utf8(&hex).expect("digits are text");
        // It is looked for in the log as it was given, and as it might be shown.
        let texts = [secret.clone(), Secret::new(hex)];
        Ok(Self { bytes, id: Fingerprint::of(hex), texts })
    }

    /// The first 8 bytes of the SHA-256 of the key's hex digits, in lower case. It names the key
    /// wherever a person must be told which one.
    pub fn id(&self) -> Fingerprint {
        self.id
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl Vault ===

impl Vault {
    pub fn new(keys: &[Key]) -> Self {
        Self { keys: keys.iter().map(Lock::of).collect() }
    }

    /// The key that seals.
    pub fn key(&self) -> Option<Fingerprint> {
        self.keys.first().map(|lock| lock.id)
    }

    /// The page with its tokens as they are to be stored.
    pub(super) fn seal(&self, name: &str, page: Written) -> Result<Written, Unsealed> {
        let Some(lock) = self.keys.first() else { return Ok(page) };
        let plain = page.tokens.expose().as_bytes();
        // Large enough from the start: a growing buffer leaves a copy behind that nobody zeroes.
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_LEN));
        text.extend_from_slice(plain);
        let bound = bound_to(name, page.generation);
        let nonce = lock.key.seal_in_place_append_tag(Aad::from(bound), &mut *text);
        let nonce = nonce.map_err(|_| Unsealed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&text);
        let tokens = format!("\"{MARK}{}:{}\"", lock.id, STANDARD.encode(sealed));
        Ok(Written { tokens: Secret::compound(tokens, Vec::new()), ..page })
    }

    /// The page with its tokens in plain, and how they were found.
    pub(super) fn open(&self, name: &str, page: Written) -> Result<(Written, Sealing), Sealed> {
        let stored = page.tokens.expose().trim();
        if !stored.starts_with('"') {
            let sealing = if self.keys.is_empty() { Sealing::Current } else { Sealing::Plain };
            return Ok((page, sealing));
        }
        let (id, sealed) = parts(stored).ok_or(Sealed::Unknown)?;
        let lock = self.keys.iter().find(|lock| lock.id == id).ok_or_else(|| self.lacks(id))?;
        let plain = lock.open(&bound_to(name, page.generation), sealed);
        let tokens = plain.ok_or(Sealed::Broken { with: id })?;
        let sealing = match self.key() {
            Some(first) if first == id => Sealing::Current,
            _ => Sealing::Outdated(id),
        };
        Ok((Written { tokens, ..page }, sealing))
    }

    fn lacks(&self, wanted: Fingerprint) -> Sealed {
        if self.keys.is_empty() {
            return Sealed::NoKey { wanted };
        }
        let known: Vec<_> = self.keys.iter().map(|lock| lock.id.to_string()).collect();
        Sealed::OtherKey { wanted, known: known.join(", ") }
    }
}

// === impl Lock ===

impl Lock {
    fn of(key: &Key) -> Self {
        // The length is the only thing that can be wrong with a key.
        let made = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.bytes.as_slice());
        let made = made.expect("32 bytes are a key of AES-256");
        Self { id: key.id, key: made, _texts: key.texts.clone() }
    }

    /// `None` for everything that this key has not sealed for just this place.
    fn open(&self, bound: &[u8], sealed: Vec<u8>) -> Option<Secret> {
        let mut sealed = Zeroizing::new(sealed);
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, Aad::from(bound), text).ok()?;
        Some(Secret::compound(std::str::from_utf8(plain).ok()?, Vec::new()))
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lock").field(&self.id).finish()
    }
}

/// What a sealed text belongs to. The name is at the end, so no two places read alike.
fn bound_to(name: &str, generation: u64) -> Vec<u8> {
    format!("{MARK}{generation}:{name}").into_bytes()
}

/// The key's id and the bytes of a sealed text in its JSON.
fn parts(stored: &str) -> Option<(Fingerprint, Vec<u8>)> {
    let text: String = serde_json::from_str(stored).ok()?;
    let (written, sealed) = text.strip_prefix(MARK)?.split_once(':')?;
    // One form and no other: an id in capitals was not written here.
    let id: Fingerprint =
        written.parse().ok().filter(|id: &Fingerprint| id.to_string() == written)?;
    Some((id, STANDARD.decode(sealed).ok()?))
}

fn hex(text: &str) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    if text.len() != 2 * KEY_LEN || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

fn base64(text: &str) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let decoded = Zeroizing::new(STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?);
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    if decoded.len() != KEY_LEN {
        return None;
    }
    bytes.copy_from_slice(&decoded);
    Some(bytes)
}

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// What a sealed text begins with; the number is the format's.
const MARK: &str = "sealed:1:";

#[cfg(test)]
mod tests;
