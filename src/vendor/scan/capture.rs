//! The bytes of one string or word that cannot be read in place: it is split, or it has escapes.

use std::borrow::Cow;

/// The most of one string that is looked at, in bytes; the rest is dropped.
pub const MAX_TEXT: usize = 4096;

/// A buffer that needs no allocation until it holds more than [`INLINE`] bytes.
#[derive(Debug)]
pub(super) struct Capture {
    inline: [u8; INLINE],
    /// Of `inline`; no longer counted once `spill` is in use.
    len: usize,
    spill: Vec<u8>,
    /// The first half of a surrogate pair; 0 is none.
    high: u16,
}

impl Capture {
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.spill.clear();
        self.high = 0;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.finish();
            self.append(bytes);
        }
    }

    /// Adds one UTF-16 code unit, as `\u` escapes give them.
    pub(super) fn push_utf16(&mut self, unit: u16) {
        let point = match (self.high, unit) {
            (0, _) => u32::from(unit),
            (high, 0xdc00..=0xdfff) => {
                self.high = 0;
                0x10000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00)
            }
            _ => {
                self.finish();
                u32::from(unit)
            }
        };
        if (0xd800..0xdc00).contains(&point) {
            self.high = unit;
        } else {
            let char = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
            self.append(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// Nothing more can pair with a lone half.
    pub(super) fn finish(&mut self) {
        if std::mem::take(&mut self.high) != 0 {
            self.append("\u{fffd}".as_bytes());
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if self.spill.is_empty() { &self.inline[..self.len] } else { &self.spill }
    }

    fn append(&mut self, bytes: &[u8]) {
        let held = self.bytes().len();
        let bytes = &bytes[..bytes.len().min(MAX_TEXT - held)];
        if self.spill.is_empty() {
            if let Some(room) = self.inline.get_mut(held..held + bytes.len()) {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
                return;
            }
            self.spill.extend_from_slice(&self.inline[..held]);
        }
        self.spill.extend_from_slice(bytes);
    }
}

impl Default for Capture {
    fn default() -> Self {
        Capture { inline: [0; INLINE], len: 0, spill: Vec::new(), high: 0 }
    }
}

/// At most [`MAX_TEXT`] bytes as text; half a character at the cut is dropped.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = &bytes[..bytes.len().min(MAX_TEXT)];
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if bytes.len() == MAX_TEXT && error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()])
        }
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

const INLINE: usize = 64;
