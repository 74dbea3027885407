//! Reads what a collector gets by OTLP: protocol buffers, as far as spans take (`trace.proto` of
//! OpenTelemetry). Written by hand, so that the gateway is not checked by the library that it uses.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Span {
    /// In hexadecimal digits, as all ids.
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: it has none.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) failed: bool,
}

/// A field's value.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The spans of one export.
pub(crate) fn of(request: &[u8]) -> Vec<Span> {
    let resources = within(request, 1);
    let scopes = resources.flat_map(|resource| within(resource, 2).collect::<Vec<_>>());
    scopes.flat_map(|scope| within(scope, 2).map(span).collect::<Vec<_>>()).collect()
}

impl Span {
    pub(crate) fn says(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

fn span(message: &[u8]) -> Span {
    let text = |field| within(message, field).next().map(utf8).unwrap_or_default();
    let id = |field| within(message, field).next().map(hex).unwrap_or_default();
    let kind = fields(message).into_iter().find_map(|(field, value)| match value {
        Value::Number(kind) if field == 6 => Some(kind),
        _ => None,
    });
    let status = within(message, 15).next().unwrap_or_default();
    let error =
        |(field, value): &(u64, Value<'_>)| *field == 3 && matches!(value, Value::Number(2));
    Span {
        trace: id(1),
        id: id(2),
        parent: id(4),
        name: text(5),
        kind: match kind {
            Some(1) => "internal",
            Some(2) => "server",
            Some(3) => "client",
            _ => "other",
        },
        attributes: within(message, 9).map(attribute).collect(),
        failed: fields(status).iter().any(error),
    }
}

fn attribute(message: &[u8]) -> (String, String) {
    let key = within(message, 1).next().map(utf8).unwrap_or_default();
    let value = within(message, 2).next().unwrap_or_default();
    let value = fields(value).into_iter().next().map(|(_, value)| match value {
        Value::Number(number) => number.to_string(),
        Value::Bytes(bytes) => utf8(bytes),
    });
    (key, value.unwrap_or_default())
}

/// All fields of a message that are messages or texts and have this number.
fn within(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter_map(move |(field, value)| match value {
        Value::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
}

fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(u64::from_le_bytes(take(&mut message, 8).try_into().expect("8"))),
            2 => {
                let length = varint(&mut message);
                Value::Bytes(take(&mut message, usize::try_from(length).expect("a length")))
            }
            5 => {
                let four = take(&mut message, 4).try_into().expect("4");
                Value::Number(u32::from_le_bytes(four).into())
            }
            other => panic!("no such wire type: {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> &'a [u8] {
    message.split_off(..length).expect("the message is whole")
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
