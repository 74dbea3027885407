//! All that a path could mean at one go: for lists of what is forbidden.
//!
//! An automaton of the pattern walks over the path once for each round of decoding. Where servers
//! differ, it goes both ways; `..` leads back to the beginning of every segment before it. So it finds
//! each reading that there is and some that there are not, in time linear in the path.

use std::borrow::Cow;

use super::chars::{Like, like};
use super::escapes::{decode_once, decode_wholly, is_escape};
use super::units::{Meaning, Overlong, Unit, in_ascii};

/// A pattern, without letter case and with a slash at its end. A state is the number of what has
/// been matched of it, a set of states the bits of a number.
#[derive(Clone, Debug)]
pub(super) struct Automaton {
    tokens: Vec<u8>,
    stars: u128,
    /// The end, and what lies before it but for slashes and stars.
    accepted: u128,
}

impl Automaton {
    pub(super) fn new(pattern: &str) -> Self {
        let mut tokens: Vec<u8> = pattern.to_lowercase().into_bytes();
        tokens.dedup_by(|one, other| *one == b'*' && *other == b'*');
        if !tokens.ends_with(b"/") && !tokens.ends_with(b"*") {
            tokens.push(b'/');
        }
        if tokens.len() > LONGEST {
            tokens.drain(..tokens.len() - LONGEST);
            tokens.insert(0, b'*');
            tokens.dedup_by(|one, other| *one == b'*' && *other == b'*');
        }
        let set = |at: usize| 1_u128 << at;
        let stars = (0..tokens.len()).filter(|&at| tokens[at] == b'*').map(set).sum();
        let is_end = |&at: &usize| tokens[at..].iter().all(|token| matches!(token, b'/' | b'*'));
        let accepted = (0..=tokens.len()).filter(is_end).map(set).sum();
        Self { tokens, stars, accepted }
    }

    pub(super) fn could_match(&self, path: &[u8]) -> bool {
        let mut text = Cow::Borrowed(path);
        for round in 0..=MOST_ROUNDS {
            if self.could_be(&text, round > 0) {
                return true;
            }
            let decoded = decode_once(&text);
            if decoded == *text {
                break;
            }
            text = Cow::Owned(decoded);
        }
        [Overlong::Decoded, Overlong::LeftOut].into_iter().any(|overlong| {
            let mut text = text.clone();
            // Each round may lay bare what the next one decodes.
            for _ in 0..=MOST_ROUNDS {
                let plain = in_ascii(&text, overlong);
                // Only escapes and streams (`::$DATA`) are made of several characters.
                if !plain.contains(&b'%') && !plain.contains(&b':') {
                    break;
                }
                let whole = decode_wholly(&plain);
                if whole == *text {
                    break;
                }
                if self.could_be(&whole, true) {
                    return true;
                }
                text = Cow::Owned(whole);
            }
            false
        })
    }

    /// Whether a server might take this for the pattern, decoding no more escapes. If some were
    /// decoded, a slash may be one that was none when the server cut something off.
    fn could_be(&self, text: &[u8], is_decoded: bool) -> bool {
        let mut walk = Walk::new(self, is_decoded);
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            match byte {
                b'/' => walk.pass_slash(self),
                // For who does not decode it.
                b'%' if is_escape(rest) => walk.pass(self, byte),
                _ if byte.is_ascii_alphanumeric() => walk.pass(self, byte.to_ascii_lowercase()),
                _ => {
                    let Some(unit) = Unit::first(rest) else { break };
                    rest = &rest[unit.length..];
                    walk = walk.take(self, unit, rest);
                    continue;
                }
            }
            rest = after;
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
    tails_cross_slashes: bool,
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
    fn new(automaton: &Automaton, tails_cross_slashes: bool) -> Self {
        let first = automaton.with_empty_stars(1);
        Self {
            states: first,
            opening: first,
            openings: first,
            root: automaton.step(first, b'/'),
            tails: 0,
            tails_cross_slashes,
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
        match unit.meaning {
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
        }
    }

    fn ascii(self, automaton: &Automaton, byte: u8, rest: &[u8]) -> Self {
        match byte {
            b'/' => self.slash(automaton),
            b'\\' => self.slash(automaton).or(self.literal(automaton, byte)),
            b'.' => self.dots(automaton, 1),
            b';' => self.cut().with_parameters().literal(automaton, byte),
            b'?' | b'#' => self.cut().literal(automaton, byte),
            b':' if matches!(rest.first(), Some(b':' | b'$')) => {
                self.with_parameters().literal(automaton, byte)
            }
            b' ' | b'+' | b'%' => self.literal(automaton, byte).or(self),
            0..b' ' | 0x7F => {
                let without = self.cut().with_parameters();
                without.literal(automaton, byte).or(without)
            }
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
        self.pass(automaton, byte);
        self
    }

    fn pass(&mut self, automaton: &Automaton, byte: u8) {
        if self.dots == Some(0) {
            self.is_session = byte == b'(';
        }
        self.dots = None;
        self.script = match (self.script, byte) {
            (1, b'p') => 2,
            (2, b'h') => 3,
            (3, b'p') | (PHP, _) => PHP,
            _ => 0,
        };
        if self.states != 0 {
            self.states = automaton.step(self.states, byte);
        }
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
        self.script = if self.script == PHP { PHP } else { 1 };
        self
    }

    fn slash(mut self, automaton: &Automaton) -> Self {
        self.pass_slash(automaton);
        self
    }

    fn pass_slash(&mut self, automaton: &Automaton) {
        let mut states = automaton.step(self.states | self.tails | self.parameters, b'/');
        let is_authority = self.may_be_authority();
        states |= self.left_out() | self.parameters_alone;
        self.slashes = match self.slashes {
            Some(slashes) if self.left_out() != 0 || self.parameters_alone != 0 => {
                Some(slashes.saturating_add(1))
            }
            _ if is_authority => Some(1),
            _ => None,
        };
        if is_authority {
            states |= self.root;
            // The slash that ends it may be a later one.
            if self.tails_cross_slashes {
                self.parameters_alone |= self.root;
            }
        }
        (self.states, self.opening) = (states, states);
        self.openings |= states;
        if !self.tails_cross_slashes {
            self.tails = 0;
        }
        (self.dots, self.is_session, self.script) = (Some(0), false, 0);
    }

    /// Where the walk is if this segment is none: empty, `.` or `..`, a session, or a script that
    /// takes what comes after it for the path.
    fn left_out(&self) -> u128 {
        let dots = match self.dots {
            None => 0,
            Some(0 | 1) => self.opening,
            Some(_) => self.openings,
        };
        let session = if self.is_session { self.opening } else { 0 };
        let script = if self.script == PHP { self.opening | self.root } else { 0 };
        dots | session | script
    }

    /// Before the first segment were two slashes.
    fn may_be_authority(&self) -> bool {
        self.slashes.is_some_and(|slashes| slashes > 1)
    }

    fn without_tail(mut self) -> Self {
        self.tails |= self.states;
        match self.dots {
            // Without its extension it is nothing, and so is what some cut off after it.
            Some(0) => self.ended |= self.states,
            _ => self.parameters_alone |= self.left_out(),
        }
        self.without_authority()
    }

    fn with_parameters(mut self) -> Self {
        self.parameters |= self.states | self.tails;
        self.parameters_alone |= self.left_out();
        self.without_authority()
    }

    fn without_authority(mut self) -> Self {
        if self.may_be_authority() {
            self.parameters_alone |= self.root;
        }
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
            tails_cross_slashes: self.tails_cross_slashes,
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

/// Of decoding one after the other; after them everything is decoded at one go.
const MOST_ROUNDS: usize = 3;
/// Of a longer pattern only so many bytes at its end are looked at.
const LONGEST: usize = 120;
/// The length of `.php`.
const PHP: usize = 4;
