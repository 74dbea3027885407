//! The runs of bytes that are read at once: strings, words, and containers of no interest.

use memchr::memchr2;

use super::{Kind, PointerSet, Role, Scanner, State, Stop};

impl Scanner<'_> {
    pub(super) fn text<'i>(&mut self, input: &mut &'i [u8]) -> Option<Stop<'i>> {
        let bytes = *input;
        let end = end_of_text(bytes);
        let (run, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        *input = rest.get(1..).unwrap_or_default();
        if end.is_none_or(|end| bytes[end] == b'\\') {
            self.keep(run);
            if end.is_some() {
                self.state = State::Escape;
            }
            return None;
        }
        if self.kept {
            self.capture.push(run);
            self.capture.finish();
        }
        match self.role {
            Role::Key => {
                self.key(run);
                if let Some(rest) = input.strip_prefix(b":") {
                    *input = rest;
                    self.state = State::Value;
                }
                None
            }
            Role::Value => {
                self.state = State::AfterValue;
                Some(Stop::Scalar(Kind::Text, run))
            }
        }
    }

    pub(super) fn word<'i>(&mut self, input: &mut &'i [u8]) -> Option<Stop<'i>> {
        let bytes = *input;
        let end = bytes.iter().position(|byte| !is_word(*byte));
        let (run, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        *input = rest;
        if self.hit != 0 && (end.is_none() || self.kept) {
            self.keep(run);
        }
        end?;
        self.state = State::AfterValue;
        if self.hit == 0 {
            return None;
        }
        let Some(kind) = kind_of(if self.kept { self.capture.bytes() } else { run }) else {
            self.lose(PointerSet::MAX);
            return None;
        };
        Some(Stop::Scalar(kind, run))
    }

    pub(super) fn escape(&mut self, byte: u8) {
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.digits = 0;
                self.unit = 0;
                self.state = State::Unicode;
                return;
            }
            _ => return self.lose(PointerSet::MAX),
        };
        self.capture.push(&[plain]);
        self.state = State::Text;
    }

    pub(super) fn unicode(&mut self, byte: u8) {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return self.lose(PointerSet::MAX);
        };
        self.unit = self.unit << 4 | digit as u16;
        self.digits += 1;
        if self.digits == 4 {
            self.capture.push_utf16(self.unit);
            self.state = State::Text;
        }
    }

    pub(super) fn skip_text<'i>(&mut self, input: &mut &'i [u8]) -> Option<Stop<'i>> {
        let bytes = *input;
        let end = memchr2(b'"', b'\\', bytes);
        *input = end.map_or(&[], |end| &bytes[end + 1..]);
        match end.map(|end| bytes[end]) {
            None => {}
            Some(b'\\') => self.state = State::SkipEscape,
            Some(_) if self.skipping > 0 => self.state = State::SkipContainer,
            Some(_) => self.state = State::AfterValue,
        }
        None
    }

    pub(super) fn skip_container<'i>(&mut self, input: &mut &'i [u8]) -> Option<Stop<'i>> {
        let bytes = *input;
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => self.state = State::SkipText,
                b'{' | b'[' => {
                    self.skipping = self.skipping.saturating_add(1);
                    continue;
                }
                b'}' | b']' => {
                    self.skipping -= 1;
                    if self.skipping > 0 {
                        continue;
                    }
                    self.state = State::AfterValue;
                }
                _ => continue,
            }
            *input = &bytes[at + 1..];
            return None;
        }
        *input = &[];
        None
    }

    fn keep(&mut self, run: &[u8]) {
        if !self.kept {
            self.capture.clear();
            self.kept = true;
        }
        self.capture.push(run);
    }
}

/// Where the string goes no further without a change: at its end or an escape.
fn end_of_text(bytes: &[u8]) -> Option<usize> {
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
    // Most keys are short, and a vector search costs as much as this many bytes.
    let near = bytes[..bytes.len().min(SHORT)].iter().position(ends);
    near.or_else(|| memchr2(b'"', b'\\', bytes.get(SHORT..)?).map(|at| at + SHORT))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn kind_of(word: &[u8]) -> Option<Kind> {
    match word {
        b"true" => Some(Kind::Bool(true)),
        b"false" => Some(Kind::Bool(false)),
        b"null" => Some(Kind::Null),
        [b'-' | b'0'..=b'9', ..] => Some(Kind::Number),
        _ => None,
    }
}

const SHORT: usize = 12;
