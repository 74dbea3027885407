//! What a deserialization found wrong, put into words that never quote the value.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::nearest::nearest;
use super::report::{Mistake, Place};
use super::ruin::is_plausible_key;

/// One failure, at a path below the root.
#[derive(Debug)]
pub(super) struct Fault {
    problem: Problem,
    /// From the innermost key outwards.
    path: Vec<String>,
    at_key: bool,
}

#[derive(Debug)]
enum Problem {
    UnknownKey { key: String, known: &'static [&'static str] },
    MissingKey { key: &'static str },
    UnknownName { name: String, known: &'static [&'static str] },
    Unfit { found: String, expected: String },
    Said(String),
}

/// A failure in words.
#[derive(Default)]
struct Words {
    message: String,
    expected: Option<String>,
    help: Option<String>,
}

impl Fault {
    /// The same failure, seen from the table or array that holds it.
    pub(super) fn below(mut self, key: &str) -> Fault {
        self.path.push(key.to_owned());
        self
    }

    pub(super) fn at_key(mut self) -> Fault {
        self.at_key = true;
        self
    }

    /// The path of the offending value; of an unknown key, when that key is to blame.
    pub(super) fn path(&self) -> Vec<String> {
        self.path.iter().rev().cloned().collect()
    }

    /// The key that a buffering reader (`flatten`, tagged enums) reports without its place.
    pub(super) fn unplaced_key(&self) -> Option<&str> {
        match &self.problem {
            Problem::UnknownKey { key, .. } if !self.at_key => Some(key),
            _ => None,
        }
    }

    /// An unknown key that is like no key at all: a slip may have put a secret in its place.
    pub(super) fn is_stray(&self) -> bool {
        match &self.problem {
            Problem::UnknownKey { key, known } => {
                !is_plausible_key(key) && nearest(key, known).is_none()
            }
            _ => false,
        }
    }

    /// Whether a table fails only because these of its keys were refused before.
    pub(super) fn follows_from(&self, refused: &[&str]) -> bool {
        match &self.problem {
            Problem::MissingKey { key } => {
                refused.iter().any(|other| nearest(other, &[key]).is_some())
            }
            Problem::Unfit { .. } | Problem::Said(_) => !refused.is_empty(),
            Problem::UnknownKey { .. } | Problem::UnknownName { .. } => false,
        }
    }

    /// Whether the key is to blame, and not its value.
    pub(super) fn is_at_key(&self) -> bool {
        self.at_key || matches!(self.problem, Problem::UnknownKey { .. })
    }

    /// With `secret`, neither an unknown key nor what a `Deserialize` said of a value is repeated.
    pub(super) fn into_mistake(self, place: Place, secret: bool) -> Mistake {
        let words = self.words(secret);
        let mistake = Mistake::new(place, words.message);
        let mistake = words.expected.into_iter().fold(mistake, Mistake::expected);
        words.help.into_iter().fold(mistake, Mistake::help)
    }

    fn words(&self, secret: bool) -> Words {
        let subject = subject(&self.path);
        match &self.problem {
            Problem::UnknownKey { key, known } => Words {
                message: match secret {
                    true => "unknown key, perhaps a piece of a secret".to_owned(),
                    false => format!("unknown key {}", quoted(key)),
                },
                expected: None,
                help: help_with(key, known, "the keys here are"),
            },
            Problem::MissingKey { key } => {
                Words { message: format!("{subject} lacks the key `{key}`"), ..Words::default() }
            }
            Problem::UnknownName { name, known } => Words {
                message: match secret {
                    true => format!("{subject} is not one of the known words"),
                    false => format!("{subject} cannot be {}", quoted(name)),
                },
                expected: Some(format!("expected {}", alternatives(known))),
                help: match secret {
                    true => None,
                    false => nearest(name, known).map(|near| format!("did you mean `{near}`?")),
                },
            },
            Problem::Unfit { found, expected } => Words {
                message: format!("{subject} is {found}"),
                expected: Some(format!("expected {expected}")),
                help: None,
            },
            Problem::Said(_) if secret => {
                Words { message: format!("{subject} cannot be used"), ..Words::default() }
            }
            Problem::Said(text) => said(&subject, text),
        }
    }
}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Problem::Said(message.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Problem::Unfit { found: kind(&found), expected: plain(&expected.to_string()) }.into()
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        let found = match found {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) => "out of range".to_owned(),
            other => format!("{} that does not fit", kind(&other)),
        };
        Problem::Unfit { found, expected: plain(&expected.to_string()) }.into()
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Fault {
        let found = format!("an array of {length}");
        Problem::Unfit { found, expected: plain(&expected.to_string()) }.into()
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Fault {
        Problem::UnknownName { name: name.to_owned(), known }.into()
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Fault {
        Problem::UnknownKey { key: key.to_owned(), known }.into()
    }

    fn missing_field(key: &'static str) -> Fault {
        Problem::MissingKey { key }.into()
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        Fault { problem, path: Vec::new(), at_key: false }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(true).message)
    }
}

/// `Deserialize` impls of ours say more in further lines: `expected …` and `help: …`.
fn said(subject: &str, text: &str) -> Words {
    let mut words = Words::default();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("help: ") {
            words.help = Some(help.to_owned());
        } else if line.starts_with("expected ") {
            words.expected = Some(line.to_owned());
        } else {
            words.message = format!("{subject}: {line}");
        }
    }
    if words.message.is_empty() || text.starts_with(UNTAGGED) {
        words.message = format!("{subject} does not fit");
    }
    words
}

/// What the sentence is about: the key, or an element of it. `path` runs from the inside out.
fn subject(path: &[String]) -> String {
    let is_index = |key: &String| key.bytes().all(|b| b.is_ascii_digit());
    match path.iter().position(|key| !is_index(key)) {
        None => "the document".to_owned(),
        Some(0) => quoted(&path[0]),
        Some(at) => format!("an element of {}", quoted(&path[at])),
    }
}

fn help_with(word: &str, known: &[&str], otherwise: &str) -> Option<String> {
    match nearest(word, known) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("{otherwise} {}", listed(known, "and"))),
    }
}

fn alternatives(known: &[&str]) -> String {
    listed(known, "or")
}

fn listed(words: &[&str], last: &str) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

fn quoted(word: &str) -> String {
    format!("`{}`", word.escape_debug())
}

/// The kind of a value, in TOML's words and without the value.
fn kind(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a fraction",
        Unexpected::Char(_) | Unexpected::Str(_) => "a string",
        Unexpected::Seq => "an array",
        Unexpected::Map => "a table",
        Unexpected::Other(name) => name,
        _ => "a value",
    }
    .to_owned()
}

/// serde's names of types, for readers who know TOML and not Rust.
fn plain(expected: &str) -> String {
    match expected {
        "bool" | "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a nonzero usize" | "a nonzero u32" | "a nonzero u64" => "a whole number above 0",
        "string" => "a string",
        "a sequence" => "an array",
        "a map" => "a table",
        text if text.starts_with("struct ") => "a table",
        text if text.starts_with("enum ") => "a string or a table",
        text => text,
    }
    .to_owned()
}

/// How serde says that an untagged enum has no variant for a value, before the name of the Rust type.
const UNTAGGED: &str = "data did not match any variant of untagged enum";
