//! What is beyond doubt in a path: for lists of what is allowed.

use std::borrow::Cow;

use memchr::memmem;

use super::chars::{Like, like, must_be_encoded};
use super::escapes::hex;

/// The text of a path of which the structure is certain. What only a `*` may take stands in it as
/// `UNSURE` or, where it might be a slash, as `UNSURE_SLASH`.
#[derive(Debug)]
pub struct Certain<'a> {
    text: Cow<'a, str>,
}

impl<'a> Certain<'a> {
    /// `None`: no two servers need agree on what this path is.
    pub fn of(path: &'a str) -> Option<Self> {
        if is_plain(path) || path == "*" {
            return Some(Self { text: Cow::Borrowed(path) });
        }
        let mut reader = Reader::new(path);
        reader.read()?;
        String::from_utf8(reader.text).ok().map(|text| Self { text: Cow::Owned(text) })
    }

    /// A pattern without `*` is matched by what equals it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first place that fits is taken for each part of the pattern.
    pub(super) fn matches(&self, pattern: &str) -> bool {
        let mut pieces = pattern.split('*');
        let mut before = pieces.next().unwrap_or_default();
        let Some(mut rest) = self.text.strip_prefix(before) else { return false };
        let Some(mut piece) = pieces.next() else { return rest.is_empty() };
        for next in pieces {
            let Some(at) = memmem::find(rest.as_bytes(), piece.as_bytes()) else { return false };
            if !is_meant_by_star(before, &rest[..at], piece) {
                return false;
            }
            (before, rest, piece) = (piece, &rest[at + piece.len()..], next);
        }
        let is_all = before == "/" && before.len() + piece.len() + 1 == pattern.len();
        let Some(run) = rest.strip_suffix(piece) else { return false };
        is_meant_by_star(before, run, piece) || is_all && rest.is_empty()
    }
}

/// Where slashes are merged, and the last is dropped, a star that stands for nothing but slashes
/// takes one of the pattern's own away.
fn is_meant_by_star(before: &str, run: &str, after: &str) -> bool {
    let between_slashes = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
    !between_slashes || run.bytes().any(|byte| byte != b'/' && byte != UNSURE_SLASH)
}

/// How a path is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// All servers read it alike, as nearly every real path.
    Plain,
    /// The same, with dots, of which some servers make more.
    Dotted,
    Odd,
}

/// Looks at each byte of every request's path: without a branch for any of them.
pub(super) fn spelling(path: &str) -> Spelling {
    let bytes = path.as_bytes();
    let (mut before, mut met, mut structure) = (0, 0, 0);
    for &byte in bytes {
        let kind = KINDS[usize::from(byte)];
        met |= kind;
        // `//` and `/.`.
        structure |= before << 3 & kind;
        before = kind & SLASH;
    }
    if bytes.first() != Some(&b'/') || met & ODD != 0 || structure != 0 {
        return Spelling::Odd;
    }
    if met & DOT == 0 { Spelling::Plain } else { Spelling::Dotted }
}

fn is_plain(path: &str) -> bool {
    spelling(path) != Spelling::Odd
}

/// Reads a path from its beginning to its end.
struct Reader<'a> {
    path: &'a str,
    at: usize,
    text: Vec<u8>,
    /// After parameters or a query have begun, for some servers.
    is_cut: bool,
    /// The number of separators so far.
    separators: usize,
    segment: Segment,
}

#[derive(Default)]
struct Segment {
    /// The first characters that are seen, where they are ASCII.
    beginning: [u8; 3],
    length: usize,
    /// Something in it is seen by every server.
    is_solid: bool,
}

/// A character, and whether it was written as itself.
#[derive(Clone, Copy)]
struct Read {
    c: char,
    is_encoded: bool,
}

impl<'a> Reader<'a> {
    fn new(path: &'a str) -> Self {
        let text = Vec::with_capacity(path.len());
        Self { path, at: 0, text, is_cut: false, separators: 0, segment: Segment::default() }
    }

    fn read(&mut self) -> Option<()> {
        if !self.path.starts_with('/') {
            return None;
        }
        while self.at < self.path.len() {
            let read = self.next()?;
            self.take(read)?;
        }
        self.end_segment()
    }

    /// The next character, decoded once. `None`: there is an escape that is none, or not of UTF-8.
    fn next(&mut self) -> Option<Read> {
        let rest = &self.path[self.at..];
        let c = rest.chars().next()?;
        if c != '%' {
            self.at += c.len_utf8();
            return Some(Read { c, is_encoded: false });
        }
        let first = self.escape()?;
        let length = match first {
            0..0x80 => return Some(Read { c: char::from(first), is_encoded: true }),
            0xC2..0xE0 => 2,
            0xE0..0xF0 => 3,
            0xF0..0xF5 => 4,
            _ => return None,
        };
        let mut bytes = [first; 4];
        for byte in &mut bytes[1..length] {
            *byte = self.escape()?;
        }
        let c = str::from_utf8(&bytes[..length]).ok()?.chars().next()?;
        Some(Read { c, is_encoded: true })
    }

    fn escape(&mut self) -> Option<u8> {
        let rest = self.path.as_bytes()[self.at..].strip_prefix(b"%")?;
        let byte = hex(rest.get(..2)?)?;
        self.at += 3;
        u8::try_from(byte).ok()
    }

    fn take(&mut self, Read { c, is_encoded }: Read) -> Option<()> {
        let likeness = match c {
            '/' | '\\' => Like::Slash,
            '.' => Like::Dots(1),
            ';' | '?' | '#' => Like::Cut,
            // A stream of a file (`::$DATA`).
            ':' if matches!(self.peek(), Some(':' | '$')) => Like::Cut,
            '%' => {
                let next = self.peek();
                // Decoded once more it would be an escape.
                if next.is_some_and(|c| c.is_ascii_hexdigit() || matches!(c, '%' | 'u' | 'U')) {
                    return None;
                }
                Like::Nothing
            }
            ' ' | '+' => Like::Nothing,
            _ if c.is_control() => return None,
            _ if c.is_ascii() => Like::Itself,
            _ => like(c),
        };
        match likeness {
            Like::Percent => return None,
            Like::Slash => {
                self.end_segment()?;
                let byte =
                    if c == '/' && !is_encoded && !self.is_cut { b'/' } else { UNSURE_SLASH };
                self.text.push(byte);
                return Some(());
            }
            Like::Cut if !self.segment.is_solid => return None,
            Like::Cut => self.is_cut = true,
            _ => {}
        }
        let is_solid = matches!(likeness, Like::Itself | Like::Letter | Like::Ascii(_));
        self.segment.add(c, is_solid)?;
        let is_certain = match c {
            _ if self.is_cut => false,
            '\0'..='\x7F' => !is_encoded || must_be_encoded(c as u8),
            _ => matches!(likeness, Like::Itself | Like::Letter | Like::Ascii(_)),
        };
        if is_certain {
            self.text.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.text.push(UNSURE);
        }
        Some(())
    }

    /// What comes next, decoded.
    fn peek(&self) -> Option<char> {
        let rest = &self.path[self.at..];
        let escaped = rest.strip_prefix('%').and_then(|rest| hex(rest.as_bytes().get(..2)?));
        escaped.and_then(char::from_u32).or_else(|| rest.chars().next())
    }

    fn end_segment(&mut self) -> Option<()> {
        let Segment { length, is_solid, .. } = std::mem::take(&mut self.segment);
        self.separators += 1;
        // The one before the first slash is no segment, and that after it may be an authority.
        let is_missing = self.separators == 2 && length == 0 && self.path.len() > 1;
        (!is_missing && (is_solid || length == 0)).then_some(())
    }
}

impl Segment {
    /// `None`: it is a session that some servers take out of a path, as in `/(S(x))/`.
    fn add(&mut self, c: char, is_solid: bool) -> Option<()> {
        self.length += 1;
        self.is_solid |= is_solid;
        if is_solid {
            let place = self.beginning.iter_mut().find(|place| **place == 0);
            place.into_iter().for_each(|place| *place = u8::try_from(c).unwrap_or(b'?'));
        }
        let [first, second, third] = self.beginning;
        let is_session = first == b'(' && second.is_ascii_alphabetic() && third == b'(';
        (!is_session).then_some(())
    }
}

/// Stands for a character that may be another to some servers, or not be there.
const UNSURE: u8 = 1;
/// The same where it may be a slash, or be merged with one.
const UNSURE_SLASH: u8 = 2;

/// What a byte says of a path by itself.
static KINDS: [u8; 256] = {
    let mut table = [ODD; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = 0;
        }
        byte += 1;
    }
    let others = b"-_~!$&'),=@";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = 0;
        index += 1;
    }
    table[b'/' as usize] = SLASH | SLASH << 3;
    table[b'.' as usize] = DOT | SLASH << 3;
    table
};
const SLASH: u8 = 1;
const DOT: u8 = 2;
const ODD: u8 = 4;
