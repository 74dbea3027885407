//! All that a path could mean at one go: for lists of what is forbidden.
//!
//! An automaton of the pattern walks over the path once for each round of decoding. Where servers
//! differ, it goes both ways; `..` leads back to the beginning of every segment before it. So it finds
//! each reading that there is and some that there are not, in time linear in the path.

use super::chars::{Like, like};
use super::escapes::{decode_once, decode_wholly};

/// A pattern, without letter case and with a slash at its end. A state is the number of what has
/// been matched of it, a set of states the bits of a number.
#[derive(Clone, Debug)]
pub(super) struct Automaton {
    tokens: Vec<u8>,
    stars: u128,
    /// The end, and what lies before it but for a slash or a star.
    accepted: u128,
}

impl Automaton {
    pub(super) fn new(pattern: &str) -> Self {
        let mut tokens: Vec<u8> = pattern.to_lowercase().into_bytes();
        tokens.dedup_by(|one, other| *one == b'*' && *other == b'*');
        if tokens.len() > LONGEST {
            tokens.truncate(LONGEST);
            tokens.push(b'*');
        } else if !tokens.ends_with(b"/") && !tokens.ends_with(b"*") {
            tokens.push(b'/');
        }
        let set = |at: usize| 1_u128 << at;
        let stars = (0..tokens.len()).filter(|&at| tokens[at] == b'*').map(set).sum();
        let is_end = |&at: &usize| matches!(&tokens[at..], b"" | b"/" | b"*" | b"/*");
        let accepted = (0..=tokens.len()).filter(is_end).map(set).sum();
        Self { tokens, stars, accepted }
    }

    pub(super) fn could_match(&self, path: &[u8]) -> bool {
        let mut text = path.to_vec();
        for _ in 0..=MOST_ROUNDS {
            if self.could_be(&text) {
                return true;
            }
            let decoded = decode_once(&text);
            if decoded == text {
                break;
            }
            text = decoded;
        }
        let whole = decode_wholly(&text);
        if whole != text && self.could_be(&whole) {
            return true;
        }
        // An escape may itself be written in characters that only look like it.
        let plain = decode_wholly(&in_ascii(&whole));
        plain != whole && self.could_be(&plain)
    }

    /// Whether a server might take this for the pattern, decoding no more escapes.
    fn could_be(&self, text: &[u8]) -> bool {
        let mut walk = Walk::new(self);
        let mut rest = text;
        while let Some(unit) = Unit::first(rest) {
            rest = &rest[unit.length..];
            walk = walk.take(self, unit, rest);
        }
        walk.end() & self.accepted != 0
    }

    fn step(&self, states: u128, byte: u8) -> u128 {
        self.step_if(states, |token| token == byte)
    }

    fn step_if(&self, states: u128, fits: impl Fn(u8) -> bool) -> u128 {
        let mut next = states & self.stars;
        let mut rest = states & !self.stars;
        while rest != 0 {
            let at = rest.trailing_zeros();
            rest &= rest - 1;
            if self.tokens.get(at as usize).is_some_and(|token| fits(*token)) {
                next |= 1 << (at + 1);
            }
        }
        self.with_empty_stars(next)
    }

    fn with_empty_stars(&self, states: u128) -> u128 {
        states | (states & self.stars) << 1
    }
}

/// Where the automaton may be at one place of a path.
#[derive(Clone, Copy)]
struct Walk {
    states: u128,
    /// At the beginning of this segment.
    opening: u128,
    /// At the beginnings of all segments before it, and of this one: where a `..` may lead.
    openings: u128,
    /// After the first slash of all.
    root: u128,
    /// With the rest of this segment left out.
    tails: u128,
    /// With everything left out up to some slash.
    parameters: u128,
    /// The same, and the segment in which they are as well.
    parameters_alone: u128,
    /// With everything left out from here on.
    ended: u128,
    /// `Some`: the segment has been nothing so far but so many dots.
    dots: Option<u8>,
    /// How the segment began: `(`.
    is_session: bool,
    /// How much of `.php` the segment ends with.
    script: usize,
    /// Slashes before the first segment; `None` after it.
    slashes: Option<u8>,
}

impl Walk {
    fn new(automaton: &Automaton) -> Self {
        let first = automaton.with_empty_stars(1);
        Self {
            states: first,
            opening: first,
            openings: first,
            root: automaton.step(first, b'/'),
            tails: 0,
            parameters: 0,
            parameters_alone: 0,
            ended: 0,
            dots: Some(0),
            is_session: false,
            script: 0,
            slashes: Some(0),
        }
    }

    /// `rest` is what comes after the unit.
    fn take(self, automaton: &Automaton, unit: Unit, rest: &[u8]) -> Self {
        let after = match unit.meaning {
            Meaning::Ascii(byte) => self.ascii(automaton, byte, rest),
            Meaning::Character(c) => self.character(automaton, c),
            Meaning::Overlong { byte, then } => {
                let then = match then {
                    Some(literal) => self.ascii(automaton, literal, rest),
                    None => self.unknown(automaton).or(self),
                };
                self.ascii(automaton, byte, rest).or(then)
            }
            Meaning::Broken => self.unknown(automaton).or(self),
        };
        debug_assert!(after.ended & self.ended == self.ended, "what has ended stays so");
        after
    }

    fn ascii(self, automaton: &Automaton, byte: u8, rest: &[u8]) -> Self {
        match byte {
            b'/' | b'\\' => self.slash(automaton),
            b'.' => self.dots(automaton, 1),
            b';' => self.cut().with_parameters().literal(automaton, byte),
            b'?' | b'#' => self.cut().literal(automaton, byte),
            b':' if matches!(rest.first(), Some(b':' | b'$')) => {
                self.without_tail().literal(automaton, byte)
            }
            b' ' | b'+' | b'%' => self.literal(automaton, byte).or(self),
            0..b' ' | 0x7F => self.cut().literal(automaton, byte).or(self.cut()),
            _ => self.literal(automaton, byte.to_ascii_lowercase()),
        }
    }

    fn character(self, automaton: &Automaton, c: char) -> Self {
        let mut itself = self.unknown(automaton);
        itself.states = self.states;
        for lower in c.to_lowercase() {
            for byte in lower.encode_utf8(&mut [0; 4]).bytes() {
                itself.states = automaton.step(itself.states, byte);
            }
        }
        let alike = match like(c) {
            Like::Slash => self.slash(automaton),
            Like::Dots(count) => self.dots(automaton, count),
            Like::Cut => self.cut().with_parameters().literal(automaton, b';'),
            Like::Percent | Like::Nothing => self,
            Like::Ascii(byte) => self.ascii(automaton, byte, &[]),
            Like::Letter => Self {
                states: automaton.step_if(self.states, |token| token.is_ascii_alphanumeric()),
                ..itself
            },
            Like::Itself => itself,
        };
        // Some keep of a character the last eight bits.
        match u32::from(c) as u8 {
            low @ 0..0x80 => itself.or(alike).or(self.ascii(automaton, low, &[])),
            _ => itself.or(alike),
        }
    }

    fn literal(mut self, automaton: &Automaton, byte: u8) -> Self {
        if self.dots == Some(0) {
            self.is_session = byte == b'(';
        }
        self.dots = None;
        self.script = match byte {
            b'p' if self.script == 1 || self.script == 3 => self.script + 1,
            b'h' if self.script == 2 => 3,
            _ => 0,
        };
        self.states = automaton.step(self.states, byte);
        self
    }

    /// What only a star takes.
    fn unknown(self, automaton: &Automaton) -> Self {
        self.literal(automaton, 0)
    }

    fn dots(mut self, automaton: &Automaton, count: u8) -> Self {
        self = self.without_tail();
        for _ in 0..count {
            self.states = automaton.step(self.states, b'.');
        }
        self.dots = self.dots.map(|dots| dots.saturating_add(count));
        self.script = 1;
        self
    }

    fn slash(mut self, automaton: &Automaton) -> Self {
        let mut states = automaton.step(self.states | self.tails | self.parameters, b'/');
        states |= self.left_out() | self.parameters_alone;
        if self.is_session {
            states |= self.opening;
        }
        if self.script == PHP {
            states |= self.opening | self.root;
        }
        self.slashes = match (self.slashes, self.dots) {
            (Some(slashes), Some(0)) => Some(slashes.saturating_add(1)),
            (Some(slashes), _) => {
                if slashes > 1 {
                    states |= self.root;
                }
                None
            }
            (None, _) => None,
        };
        (self.states, self.opening) = (states, states);
        self.openings |= states;
        (self.tails, self.dots, self.is_session, self.script) = (0, Some(0), false, 0);
        self
    }

    /// Where the walk is if this segment is none: an empty one, `.` or `..`.
    fn left_out(&self) -> u128 {
        match self.dots {
            None => 0,
            Some(0 | 1) => self.opening,
            Some(_) => self.openings,
        }
    }

    fn without_tail(mut self) -> Self {
        self.tails |= self.states;
        self
    }

    fn with_parameters(mut self) -> Self {
        self.parameters |= self.states | self.tails;
        self.parameters_alone |= self.left_out();
        self
    }

    fn cut(mut self) -> Self {
        self.ended = self.end();
        self
    }

    fn end(&self) -> u128 {
        let omitted = self.parameters | self.parameters_alone | self.left_out();
        self.states | self.tails | self.ended | omitted
    }

    /// Both ways.
    fn or(self, other: Self) -> Self {
        Self {
            states: self.states | other.states,
            opening: self.opening | other.opening,
            openings: self.openings | other.openings,
            root: self.root,
            tails: self.tails | other.tails,
            parameters: self.parameters | other.parameters,
            parameters_alone: self.parameters_alone | other.parameters_alone,
            ended: self.ended | other.ended,
            dots: self.dots.max(other.dots),
            is_session: self.is_session || other.is_session,
            script: self.script.max(other.script),
            slashes: self.slashes.max(other.slashes),
        }
    }
}

/// What stands at one place of a path.
struct Unit {
    length: usize,
    meaning: Meaning,
}

enum Meaning {
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
    fn first(text: &[u8]) -> Option<Self> {
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
        let bits = unit[1..].iter().fold(u32::from(lead) & (0x7F >> length), |value, byte| {
            value << 6 | u32::from(byte & 0x3F)
        });
        // Lenient readers look at six bits of what follows, whatever it is.
        let then = unit.last().copied().filter(u8::is_ascii);
        let follows = unit[1..unit.len() - 1].iter().all(|byte| byte & 0xC0 == 0x80);
        Some(match u8::try_from(bits) {
            Ok(byte @ 0..0x80) if follows && (then.is_none() || length == 2) => {
                Self { length, meaning: Meaning::Overlong { byte, then } }
            }
            _ => broken,
        })
    }
}

/// With what looks like ASCII as ASCII, where that could make an escape.
fn in_ascii(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(unit) = Unit::first(rest) {
        match unit.meaning {
            Meaning::Overlong { byte, .. } => out.push(byte),
            Meaning::Character(c) => match like(c) {
                Like::Percent => out.push(b'%'),
                Like::Ascii(byte) => out.push(byte),
                _ => out.extend_from_slice(&rest[..unit.length]),
            },
            _ => out.extend_from_slice(&rest[..unit.length]),
        }
        rest = &rest[unit.length..];
    }
    out
}

/// Of decoding one after the other; after them everything is decoded at one go.
const MOST_ROUNDS: usize = 3;
/// What a pattern says beyond so many bytes is not looked at.
const LONGEST: usize = 120;
/// The length of `.php`.
const PHP: usize = 4;
