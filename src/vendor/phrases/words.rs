//! A message taken apart into words, and the words into classes.

use super::lexicon::{self, Class};

/// The first words of a message.
#[derive(Debug)]
pub(super) struct Words {
    list: [Word; MAX_WORDS],
    len: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) class: Class,
    /// Written in one with the word before: `push_token`, `pushToken`, `push-token`, `push.token`.
    pub(super) glued: bool,
}

impl Words {
    pub(super) fn read(message: &str) -> Words {
        let mut words =
            Words { list: [Word { class: Class::Unknown, glued: false }; MAX_WORDS], len: 0 };
        let mut rest = message;
        let mut glued = false;
        while let Some(first) = rest.chars().next() {
            if words.len == MAX_WORDS {
                // What is not read could be anything.
                words.list[MAX_WORDS - 1].class = Class::Unknown;
                break;
            }
            let first = ascii(first);
            if first.is_ascii_alphanumeric() {
                let (class, length) = latin_word(rest);
                words.push(class, glued);
                rest = &rest[length..];
                let inside = joint(rest);
                rest = &rest[inside.unwrap_or(0)..];
                glued = inside.is_some();
                continue;
            }
            glued = false;
            if let Some((term, class)) = lexicon::han_term(rest) {
                words.push(class, false);
                rest = &rest[term..];
                continue;
            }
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
            if let Some(class) = sign(first, rest) {
                words.push(class, false);
            }
        }
        words
    }

    pub(super) fn classes(&self) -> &[Word] {
        &self.list[..self.len]
    }

    fn push(&mut self, class: Class, glued: bool) {
        // A run of unknown ideographs is one unknown word.
        let again = self.len > 0 && self.list[self.len - 1].class == class;
        if !(again && class == Class::UnknownHan) {
            self.list[self.len] = Word { class, glued };
            self.len += 1;
        }
    }
}

/// The class of the word that `text` begins with, and its length in bytes; a capital begins a new
/// word in `accessToken` and `JWTExpired`.
fn latin_word(text: &str) -> (Class, usize) {
    let mut word = [0; MAX_LETTERS];
    let mut letters = 0;
    let mut chars = text.char_indices().map(|(at, char)| (at, ascii(char))).peekable();
    let mut before = ' ';
    let mut length = text.len();
    while let Some((at, char)) = chars.next() {
        let next = chars.peek().map_or(' ', |(_, next)| *next);
        // "doesn't" is read as "doesnt".
        let apostrophe = matches!(char, '\'' | '’');
        if apostrophe && before.is_ascii_alphabetic() && next.is_ascii_lowercase() {
            before = char;
            continue;
        }
        let hump = char.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || before.is_ascii_uppercase() && next.is_ascii_lowercase());
        if !char.is_ascii_alphanumeric() || hump {
            length = at;
            break;
        }
        if let Some(place) = word.get_mut(letters) {
            *place = char.to_ascii_lowercase() as u8;
        }
        letters += 1;
        before = char;
    }
    let word = word.get(..letters).and_then(|word| str::from_utf8(word).ok());
    (word.map_or(Class::Unknown, lexicon::latin), length)
}

/// The length of what joins the word before `rest` and the one it goes on with, if they are joined.
fn joint(rest: &str) -> Option<usize> {
    let mut chars = rest.chars();
    let first = chars.next()?;
    match ascii(first) {
        '_' | '-' | '.' => ascii(chars.next()?).is_ascii_alphanumeric().then(|| first.len_utf8()),
        hump if hump.is_ascii_uppercase() => Some(0),
        _ => None,
    }
}

/// What one character outside words means; nothing for a blank.
fn sign(char: char, rest: &str) -> Option<Class> {
    Some(match char {
        ' ' | '\t' | '_' => return None,
        '\'' | '"' | '`' | '<' | '>' | '‘' | '’' | '“' | '”' => Class::Quote,
        '(' | ')' | '[' | ']' | '{' | '}' | '【' | '】' | '「' | '」' | '《' | '》' => {
            Class::Bracket
        }
        ':' | '=' => Class::Colon,
        '/' if rest.starts_with(|next: char| next.is_alphanumeric()) => Class::Slash,
        '&' => Class::Or,
        '\u{3000}' | '\u{a0}' => return None,
        '\u{2e80}'..='\u{9fff}' if char.is_alphabetic() => Class::UnknownHan,
        _ if char.is_alphanumeric() => Class::Unknown,
        _ => Class::Stop,
    })
}

/// Full-width forms as their ASCII counterparts.
fn ascii(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from((u32::from(char) - 0xff01) as u8 + b'!'),
        _ => char,
    }
}

const MAX_WORDS: usize = 120;
/// No word of the lexicon is longer.
pub(super) const MAX_LETTERS: usize = 20;
