//! Path patterns, matched on what a path means and not on how it is spelled.
//!
//! The gateway hands a path on byte for byte, and what the server behind makes of it is not known:
//! it may decode escapes or leave them, once or several times, merge slashes, resolve dots, cut
//! parameters, fold letter case. So there are two questions, one for each kind of list.
//!
//! [Could](PathPattern::could_match) the path mean what the pattern says, for any server? That is
//! asked of what is forbidden. Counted as possible:
//! - escapes, undone any number of times; `%u002e`; overlong UTF-8, bytes that are none;
//! - `\` and what looks like `/` or `\` for `/`; slashes merged; an authority after `//`;
//! - `.` and `..`, resolved or not, in any order; with spaces, controls or parameters at their end;
//! - cut at `;`, `?`, `#`, NUL or a control byte, to the next slash or to the end;
//! - letters in either case, fullwidth, with accents; spaces, `+` and invisible characters left out;
//! - a slash, a dot, an extension (`.json`) or `::$DATA` at the end;
//! - a front controller (`/index.php/…`) and a session (`/(S(…))/…`) before it.
//!
//! Does the path [surely](PathPattern::surely_matches) mean what the pattern says, for every server?
//! That is asked of what is allowed. What the pattern spells out must stand there unencoded, but for
//! what a URL cannot hold otherwise (`你` as `%E4%BD%A0`); an escape is good for `*`. Never on a list:
//! - a segment `.` or `..`, or of dots, spaces and invisible characters alone, in any spelling;
//! - bytes that are not UTF-8, control bytes, `%` without two digits, and `%25` before something
//!   with which it would be an escape of its own;
//! - `//` at the beginning, and segments that are a session.
//!
//! What comes after a `;` or an encoded `?` or `#` may not be seen by the server, so only a `*` at the
//! pattern's end takes it. A `*` between slashes, or after the last, is not empty: `/v1/*` takes
//! neither `/v1` nor `/v1/`, which many servers take for `/v1`.

mod certain;
mod chars;
mod escapes;
mod readings;
mod units;

use percent_encoding::percent_decode_str;

pub use certain::Certain;
use certain::Spelling;
use readings::Automaton;

/// A path in which `*` stands for any run of characters, `/` included.
#[derive(Clone, Debug)]
pub struct PathPattern {
    text: String,
    /// The length of what comes before the first star.
    literal: usize,
    automaton: Automaton,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a path pattern begins with `/` or `*`")]
    Beginning,
    #[error("a path pattern is written without escapes: `{0}` cannot be in it")]
    Character(char),
    #[error("a path pattern has no empty segment: `//`")]
    Empty,
    #[error("no segment of a path pattern ends with a dot")]
    Dot,
}

impl PathPattern {
    /// # Errors
    /// When the text is not a path.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with(['/', '*']) {
            return Err(PatternError::Beginning);
        }
        if let Some(odd) = text.chars().find(|&c| !chars::is_meant(c)) {
            return Err(PatternError::Character(odd));
        }
        if text.contains("//") {
            return Err(PatternError::Empty);
        }
        if text.contains("./") || text.ends_with('.') {
            return Err(PatternError::Dot);
        }
        Ok(Self::of(text.to_owned()))
    }

    fn of(text: String) -> Self {
        let literal = text.find('*').unwrap_or(text.len());
        Self { automaton: Automaton::new(&text), literal, text }
    }

    /// Whether any server could take `path` for what the pattern says: for lists of what is
    /// forbidden. The rules are those of [this module](self).
    pub fn could_match(&self, path: &str) -> bool {
        Self::any_could_match(std::slice::from_ref(self), path)
    }

    /// Whether any server could take `path` for what one of the patterns says.
    pub fn any_could_match(patterns: &[Self], path: &str) -> bool {
        if patterns.is_empty() {
            return false;
        }
        match certain::spelling(path) {
            Spelling::Plain => patterns.iter().any(|it| it.could_match_plain(path)),
            _ => patterns.iter().any(|it| it.automaton.could_match(path.as_bytes())),
        }
    }

    fn could_match_plain(&self, path: &str) -> bool {
        // Most paths begin otherwise than all that is forbidden.
        let beginning = self.text[..self.literal].trim_end_matches('/').as_bytes();
        let same = |text: &[u8]| text.eq_ignore_ascii_case(beginning);
        if !path.as_bytes().get(..beginning.len()).is_some_and(same) {
            return false;
        }
        let matches = |pattern: &str, path: &str| {
            glob(pattern.as_bytes(), path.as_bytes(), u8::eq_ignore_ascii_case)
        };
        let bare = path.strip_suffix('/').unwrap_or(path);
        // What the pattern ends with may be the slash that is left out.
        let ending = self.text.trim_end_matches(['/', '*']);
        let without = self.text.strip_suffix('/').unwrap_or(&self.text);
        matches(&self.text, path) || matches(without, bare) || matches(ending, bare)
    }

    /// Whether every server takes `path` for what the pattern says: for lists of what is allowed.
    /// The rules are those of [this module](self).
    pub fn surely_matches(&self, path: &str) -> bool {
        self.matches(Certain::of(path).as_ref())
    }

    /// The same for a path that was looked at before; `None` is one of which nothing is certain.
    pub fn matches(&self, path: Option<&Certain<'_>>) -> bool {
        // Among many patterns most differ from the path before their first star.
        let matches = |path: &Certain<'_>| {
            path.as_str().starts_with(&self.text[..self.literal]) && path.matches(&self.text)
        };
        self.text == "*" || path.is_some_and(matches)
    }

    /// The same pattern for an API whose paths all begin with `base`.
    pub fn below(&self, base: &str) -> Self {
        if base.is_empty() || self.text.starts_with('*') {
            return self.clone();
        }
        let base = percent_decode_str(base).decode_utf8_lossy();
        Self::of(format!("{base}{}", self.text))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

/// `*` matches any run of characters. Each star is settled once the next one is reached, so the
/// work is bounded by the lengths' product.
fn glob(pattern: &[u8], text: &[u8], same: fn(&u8, &u8) -> bool) -> bool {
    let alike = |one: &[u8], other: &[u8]| {
        one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
    };
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some((head, mut rest)) = text.split_at_checked(first.len()) else {
        return false;
    };
    if !alike(first, head) {
        return false;
    }
    let Some(mut piece) = pieces.next() else {
        return rest.is_empty();
    };
    for next in pieces {
        let found = (0..=rest.len().saturating_sub(piece.len()))
            .find(|at| rest.get(*at..*at + piece.len()).is_some_and(|part| alike(piece, part)));
        let Some(at) = found else { return false };
        rest = &rest[at + piece.len()..];
        piece = next;
    }
    rest.len() >= piece.len() && alike(piece, &rest[rest.len() - piece.len()..])
}

#[cfg(test)]
mod tests;
