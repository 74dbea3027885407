//! A key that takes a value or a list of them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value, which is a text or a table, or a list of values.
#[derive(Clone, Debug)]
pub enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

/// What a value is, for a mistake to say what was expected.
pub trait Described {
    const WHAT: &str;
}

/// serde's own enums would buffer the value, and forget where in it a mistake is.
struct OneOrMoreVisitor<T>(PhantomData<T>);

impl<T> OneOrMore<T> {
    /// How many there are, each with the key of its own that it has in a list.
    pub fn iter(&self) -> impl Iterator<Item = (Option<String>, &T)> {
        let (one, more) = match self {
            Self::One(one) => (Some((None, one)), &[][..]),
            Self::More(more) => (None, more.as_slice()),
        };
        let more = more.iter().enumerate().map(|(at, value)| (Some(at.to_string()), value));
        one.into_iter().chain(more)
    }
}

impl Described for String {
    const WHAT: &str = "a text";
}

impl<'de, T: Deserialize<'de> + Described> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Described> Visitor<'de> for OneOrMoreVisitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of these", T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(StrDeserializer::new(text)).map(OneOrMore::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMore::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMore::More)
    }
}
