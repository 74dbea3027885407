//! Reads serde types from the tree; a failure knows the path at which it happened.

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::tree::{Node, Origin, Value};

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.understood.set(true);
        self.visit(visitor)
    }

    /// A text where a table belongs is not understood: its key may be one that has strayed here.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.visit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(text) => {
                self.understood.set(true);
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            Value::Table(_) => MapAccessDeserializer::new(Entries::of(self))
                .deserialize_enum(name, variants, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    /// What is ignored is not understood: it stays hidden in snippets.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct identifier
    }
}

impl Node {
    fn visit<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Fault> {
        if let (true, Origin::Variable { variable, .. }) = (self.verbatim.get(), &self.origin) {
            return visitor.visit_borrowed_str(&variable.raw);
        }
        match &self.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            Value::Foreign(name) => Err(Fault::invalid_type(Unexpected::Other(name), &visitor)),
            Value::Array(items) => visitor.visit_seq(Elements { rest: items.iter().enumerate() }),
            Value::Table(_) => visitor.visit_map(Entries::of(self)),
        }
    }
}

struct Elements<'de> {
    rest: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.rest.find(|(_, node)| !node.refused.get()) else {
            return Ok(None);
        };
        seed.deserialize(node).map(Some).map_err(|fault| fault.below(&index.to_string()))
    }
}

struct Entries<'de> {
    rest: std::vec::IntoIter<(&'de str, &'de Node)>,
    value: Option<(&'de str, &'de Node)>,
}

impl<'de> Entries<'de> {
    fn of(node: &'de Node) -> Entries<'de> {
        let entries: Vec<_> = node
            .children()
            .into_iter()
            .filter(|(_, child)| !child.refused.get())
            .filter_map(|(key, child)| Some((key?, child)))
            .collect();
        Entries { rest: entries.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, node)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some((key, node));
        seed.deserialize(BorrowedStrDeserializer::new(key))
            .map(Some)
            .map_err(|fault: Fault| fault.below(key).at_key())
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, node)) = self.value.take() else {
            return Err(Fault::custom("a value was asked for before its key"));
        };
        seed.deserialize(node).map_err(|fault| fault.below(key))
    }
}
