//! Sizes, times, addresses, modes and base URLs as people write them in a config.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

mod base_url;
mod file_mode;
mod listen;
mod schema;
mod size;
mod span;

pub use base_url::{BaseUrl, Scheme};
pub use file_mode::{FileMode, is_read_by_others};
pub use listen::Listen;
pub use size::Size;
pub use span::Span;

/// A text is not what it should be. It never quotes the text, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, expected {expected}")]
pub struct UnitError {
    problem: &'static str,
    expected: &'static str,
    help: Option<String>,
}

impl UnitError {
    fn new(problem: &'static str, expected: &'static str) -> UnitError {
        UnitError { problem, expected, help: None }
    }

    fn help(mut self, help: impl Into<String>) -> UnitError {
        self.help = Some(help.into());
        self
    }

    /// In lines, as a document shows them: the problem, what was expected, what helps.
    fn into_serde<E: Error>(self) -> E {
        let UnitError { problem, expected, help } = self;
        match help {
            Some(help) => E::custom(format!("{problem}\nexpected {expected}\nhelp: {help}")),
            None => E::custom(format!("{problem}\nexpected {expected}")),
        }
    }
}

/// What is written as a text in TOML; some of it as a number too.
trait Written: FromStr<Err = UnitError> {
    const EXPECTED: &'static str;

    /// `None`: a number is simply of the wrong type here.
    fn from_number(_number: i64) -> Option<Result<Self, UnitError>> {
        None
    }
}

fn deserialize<'de, D: Deserializer<'de>, T: Written>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(WrittenVisitor(PhantomData))
}

struct WrittenVisitor<T>(PhantomData<T>);

impl<T: Written> Visitor<'_> for WrittenVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(UnitError::into_serde)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match T::from_number(number) {
            Some(read) => read.map_err(UnitError::into_serde),
            None => Err(E::invalid_type(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }
}
