//! A push JSON scanner: finds the values at a few JSON pointers while the document still arrives.
//!
//! It reads the head of an answer that may never be read to its end, so it is no validator: where
//! no pointer leads, brackets are counted and nothing else is checked. Where a pointer could lead,
//! a malformed document ends the scan, and all that is not yet found is gone. Of a repeated key the
//! first one counts.

mod capture;
mod pointers;
mod run;

use std::borrow::Cow;

use self::capture::Capture;
pub use self::capture::MAX_TEXT;
use self::pointers::MAX_DEPTH;
pub use self::pointers::{MAX_POINTERS, PointerError, PointerSet, Pointers};

/// One pass over one document. Memory is fixed, and work is linear in the bytes fed.
#[derive(Debug)]
pub struct Scanner<'p> {
    pointers: &'p Pointers,
    state: State,
    /// Of the string being read.
    role: Role,
    /// Of the `\u12ab`, or of the byte order mark, being read.
    digits: u8,
    unit: u16,
    /// The open containers that a pointer leads into; `levels[depth - 1]` is the innermost.
    levels: [Level; MAX_DEPTH],
    depth: usize,
    /// How many containers are open from the outermost one that no pointer leads into.
    skipping: u32,
    /// The pointers that lead to, or through, the member being read.
    hit: PointerSet,
    /// Neither found nor gone.
    pending: PointerSet,
    /// Gone, and not yet reported.
    lost: PointerSet,
    /// The string or word being read is in `capture`, because of an escape or the end of a slice.
    kept: bool,
    capture: Capture,
}

/// What a scanner has learned.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    Found {
        pointer: usize,
        value: Value<'a>,
    },
    /// These can no longer occur.
    Gone(PointerSet),
}

/// The value at a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A string without its escapes, cut to [`MAX_TEXT`] bytes; what is not UTF-8 is U+FFFD.
    Text(Cow<'a, str>),
    /// A number, as it is written.
    Number(Cow<'a, str>),
    Bool(bool),
    Null,
    /// An object or an array; told when it begins.
    Container,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// The pointers that lead through this container and have not been met in it.
    live: PointerSet,
    array: bool,
    index: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Before the document.
    Start,
    FirstKey,
    Key,
    Colon,
    FirstElement,
    Value,
    AfterValue,
    Text,
    Escape,
    /// In `\u12ab`.
    Unicode,
    /// A number, `true`, `false` or `null`.
    Word,
    SkipText,
    SkipEscape,
    SkipContainer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Key,
    Value,
}

/// Why [`Scanner::run`] came back.
enum Stop<'i> {
    Gone,
    Container(PointerSet),
    /// With its bytes, unless they are kept in the capture buffer.
    Scalar(Kind, &'i [u8]),
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Bool(bool),
    Null,
}

impl<'p> Scanner<'p> {
    /// A scanner for those of `pointers` that are in `wanted`.
    pub fn new(pointers: &'p Pointers, wanted: PointerSet) -> Self {
        Scanner {
            pointers,
            state: State::Start,
            role: Role::Key,
            digits: 0,
            unit: 0,
            levels: [Level::default(); MAX_DEPTH],
            depth: 0,
            skipping: 0,
            hit: 0,
            pending: wanted & pointers.all(),
            lost: 0,
            kept: false,
            capture: Capture::default(),
        }
    }

    /// The pointers that may still be found.
    pub fn pending(&self) -> PointerSet {
        self.pending
    }

    /// Reads on in `input` to the next event. `None`: all of it is read, or nothing is pending.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Event<'s>> {
        let (kind, inline) = match self.run(input)? {
            Stop::Gone => return Some(Event::Gone(std::mem::take(&mut self.lost))),
            Stop::Container(found) => {
                return Some(Event::Found { pointer: self.settle(found), value: Value::Container });
            }
            Stop::Scalar(kind, inline) => (kind, inline),
        };
        let pointer = self.settle(self.hit);
        let bytes = if self.kept { self.capture.bytes() } else { inline };
        let value = match kind {
            Kind::Text => Value::Text(capture::text(bytes)),
            Kind::Number => Value::Number(capture::text(bytes)),
            Kind::Bool(value) => Value::Bool(value),
            Kind::Null => Value::Null,
        };
        Some(Event::Found { pointer, value })
    }

    fn run<'i>(&mut self, input: &mut &'i [u8]) -> Option<Stop<'i>> {
        loop {
            if self.lost != 0 {
                return Some(Stop::Gone);
            }
            if self.pending == 0 {
                return None;
            }
            let (&byte, rest) = input.split_first()?;
            let stop = match self.state {
                State::Text => self.text(input),
                State::Word => self.word(input),
                State::SkipText => self.skip_text(input),
                State::SkipContainer => self.skip_container(input),
                state => {
                    let stop = self.byte(state, byte);
                    // The first byte of a word belongs to it.
                    if self.state != State::Word {
                        *input = rest;
                    }
                    stop
                }
            };
            if stop.is_some() {
                return stop;
            }
        }
    }

    /// One byte of what lies around strings and words, or of an escape.
    fn byte(&mut self, state: State, byte: u8) -> Option<Stop<'static>> {
        match (state, byte) {
            (State::Escape, _) => self.escape(byte),
            (State::Unicode, _) => self.unicode(byte),
            (State::SkipEscape, _) => self.state = State::SkipText,
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (State::FirstKey | State::Key, b'"') => {
                self.role = Role::Key;
                self.begin(State::Text);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Value | State::FirstElement, b'"') => {
                self.role = Role::Value;
                let wanted = self.scalar();
                self.begin(if wanted { State::Text } else { State::SkipText });
            }
            (State::Value | State::FirstElement, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.scalar();
                self.begin(State::Word);
            }
            (State::Value | State::FirstElement, b'{' | b'[') => return self.container(byte),
            (State::AfterValue, b',') => self.comma(),
            (State::AfterValue | State::FirstKey, b'}') => self.close(false),
            (State::AfterValue | State::FirstElement, b']') => self.close(true),
            (State::Start, b'{' | b'[') => {
                self.hit = self.pending;
                return self.container(byte);
            }
            (State::Start, _) if byte == BYTE_ORDER_MARK[usize::from(self.digits)] => {
                self.digits = (self.digits + 1) % BYTE_ORDER_MARK.len() as u8;
            }
            _ => self.lose(PointerSet::MAX),
        }
        None
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.kept = false;
    }

    /// The member being read is no container: what leads through it is gone. Is its value wanted?
    fn scalar(&mut self) -> bool {
        let here = self.hit & self.pointers.ending(self.depth);
        self.lose(self.hit & !here);
        self.hit = here;
        here != 0
    }

    fn container(&mut self, byte: u8) -> Option<Stop<'static>> {
        let array = byte == b'[';
        let here = self.hit & self.pointers.ending(self.depth);
        let mut live = self.hit & !here;
        if array {
            let named = live & !self.pointers.indexed(self.depth);
            self.lose(named);
            live &= !named;
        }
        if live == 0 {
            self.skipping = 1;
            self.state = State::SkipContainer;
        } else {
            self.levels[self.depth] = Level { live, array, index: 0 };
            self.depth += 1;
            self.hit = 0;
            if array {
                self.element();
                self.state = State::FirstElement;
            } else {
                self.state = State::FirstKey;
            }
        }
        (here != 0).then_some(Stop::Container(here))
    }

    fn comma(&mut self) {
        let level = &mut self.levels[self.depth - 1];
        if level.live == 0 {
            self.depth -= 1;
            self.skipping = 1;
            self.state = State::SkipContainer;
        } else if level.array {
            level.index = level.index.saturating_add(1);
            self.element();
            self.state = State::Value;
        } else {
            self.state = State::Key;
        }
    }

    fn close(&mut self, array: bool) {
        let level = self.levels[self.depth - 1];
        if level.array != array {
            return self.lose(PointerSet::MAX);
        }
        // `hit` still holds the first element of an empty array.
        self.lose(level.live | self.hit);
        self.depth -= 1;
        self.state = State::AfterValue;
    }

    fn key(&mut self, inline: &[u8]) {
        let name = if self.kept { self.capture.bytes() } else { inline };
        let level = &mut self.levels[self.depth - 1];
        self.hit = self.pointers.through_key(self.depth - 1, level.live, name);
        level.live &= !self.hit;
        self.state = State::Colon;
    }

    fn element(&mut self) {
        let level = &mut self.levels[self.depth - 1];
        self.hit = self.pointers.through_index(self.depth - 1, level.live, level.index);
        level.live &= !self.hit;
    }

    fn settle(&mut self, found: PointerSet) -> usize {
        self.pending &= !found;
        found.trailing_zeros() as usize
    }

    fn lose(&mut self, set: PointerSet) {
        self.lost |= set & self.pending;
        self.pending &= !set;
    }
}

impl Value<'_> {
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Number(text) => Value::Number(Cow::Owned(text.into_owned())),
            Value::Bool(value) => Value::Bool(value),
            Value::Null => Value::Null,
            Value::Container => Value::Container,
        }
    }

    /// The value as text; nothing for `null` and containers.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Null | Value::Container => None,
        }
    }
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

#[cfg(test)]
mod tests;
