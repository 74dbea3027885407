//! What the bytes of a path are, one after the other: characters, or something that is none.

use super::chars::{Like, like};

/// What stands at one place of a path.
pub(super) struct Unit {
    pub(super) length: usize,
    pub(super) meaning: Meaning,
}

pub(super) enum Meaning {
    Ascii(u8),
    Character(char),
    /// A byte in a longer form than UTF-8 has for it; to others garbage, and perhaps `then`.
    Overlong {
        byte: u8,
        then: Option<u8>,
    },
    /// No UTF-8: left out, or replaced.
    Broken,
}

impl Unit {
    pub(super) fn first(text: &[u8]) -> Option<Self> {
        let &lead = text.first()?;
        if lead.is_ascii() {
            return Some(Self { length: 1, meaning: Meaning::Ascii(lead) });
        }
        let length = match lead {
            0x80..0xC0 => 1,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            0xF0..0xF8 => 4,
            0xF8..0xFC => 5,
            _ => 6,
        };
        let broken = Self { length: 1, meaning: Meaning::Broken };
        let Some(unit) = text.get(..length) else { return Some(broken) };
        if let Some(c) = str::from_utf8(unit).ok().and_then(|text| text.chars().next()) {
            return Some(Self { length, meaning: Meaning::Character(c) });
        }
        let [_, middle @ .., last] = unit else { return Some(broken) };
        let bits = unit[1..].iter().fold(u32::from(lead) & (0x7F >> length), |value, byte| {
            value << 6 | u32::from(byte & 0x3F)
        });
        // Lenient readers look at six bits of what follows, whatever it is.
        let then = Some(*last).filter(u8::is_ascii);
        let follows = middle.iter().all(|byte| byte & 0xC0 == 0x80);
        Some(match u8::try_from(bits) {
            Ok(byte @ 0..0x80) if follows && (then.is_none() || length == 2) => {
                Self { length, meaning: Meaning::Overlong { byte, then } }
            }
            _ => broken,
        })
    }
}

/// What becomes of a byte that stands there in a longer form than it has in UTF-8.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Overlong {
    Decoded,
    LeftOut,
}

/// With what looks like ASCII as ASCII, and without what is not seen, where that could make an
/// escape.
pub(super) fn in_ascii(text: &[u8], overlong: Overlong) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(unit) = Unit::first(rest) {
        match unit.meaning {
            Meaning::Overlong { byte, .. } if overlong == Overlong::Decoded => out.push(byte),
            Meaning::Overlong { then, .. } => out.extend(then),
            Meaning::Character(c) => match like(c) {
                Like::Percent => out.push(b'%'),
                Like::Ascii(byte) => out.push(byte),
                Like::Nothing => {}
                _ => out.extend_from_slice(&rest[..unit.length]),
            },
            Meaning::Ascii(1..=b' ' | 0x7F) | Meaning::Broken => {}
            Meaning::Ascii(byte) => out.push(byte),
        }
        rest = &rest[unit.length..];
    }
    out
}
