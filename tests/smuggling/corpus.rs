//! Reads the cases beside this file.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// One attempt, as `README.md` describes it.
pub(super) struct Case {
    /// The file and the name.
    pub(super) name: String,
    table: Table,
}

/// What the gateway must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Forwarded,
    /// With one of these statuses, and the connection closed; any, where there are none.
    Refused(Vec<u16>),
    /// With one of these statuses; the connection may go on.
    Answered(Vec<u16>),
    Cut,
}

/// The fields of HTTP/2, in their order.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// All cases of a file.
pub(super) fn cases(file: &str) -> Vec<Case> {
    let texts = read("texts");
    let mut table = read(file);
    let Some(Value::Array(list)) = table.remove("case") else { panic!("{file}: no cases") };
    let mut names = BTreeSet::new();
    list.into_iter()
        .map(|case| {
            let Value::Table(table) = expanded(case, &texts) else { panic!("{file}: no table") };
            let name = format!("{file}/{}", text(&table["name"]));
            assert!(names.insert(name.clone()), "{name} twice");
            assert!(!text(&table["why"]).is_empty(), "{name}: why?");
            for key in table.keys() {
                assert!(KEYS.contains(&key.as_str()), "{name}: {key}?");
            }
            let verdicts = ["refused", "answered", "cut"].map(|key| table.contains_key(key));
            let given = verdicts.into_iter().filter(|given| *given).count();
            let forwarded = table.contains_key("forwarded");
            assert!(given == 1 || (given == 0 && forwarded), "{name}: one verdict, please");
            Case { name, table }
        })
        .collect()
}

impl Case {
    pub(super) fn send(&self) -> Vec<u8> {
        bytes(&self.table["send"])
    }

    pub(super) fn ends(&self) -> bool {
        self.is("ends")
    }

    pub(super) fn verdict(&self) -> Verdict {
        match (self.table.get("refused"), self.table.get("answered")) {
            (Some(statuses), _) => Verdict::Refused(numbers(statuses)),
            (_, Some(statuses)) => Verdict::Answered(numbers(statuses)),
            _ if self.is("cut") => Verdict::Cut,
            _ => Verdict::Forwarded,
        }
    }

    /// The requests that the vendor must get, each in its lines.
    pub(super) fn forwarded(&self) -> Vec<Vec<String>> {
        let requests = list(self.table.get("forwarded"));
        requests
            .map(|lines| list(Some(lines)).map(|line| text(line).to_owned()).collect())
            .collect()
    }

    pub(super) fn fields(&self, key: &str) -> Fields {
        let pair = |pair: &Value| (bytes(&pair[0]), bytes(&pair[1]));
        list(self.table.get(key)).map(pair).collect()
    }

    pub(super) fn data(&self) -> Vec<Vec<u8>> {
        list(self.table.get("data")).map(bytes).collect()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn is(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.as_bool().expect("true or false"))
    }
}

fn read(file: &str) -> Table {
    let path = format!("{}/tests/smuggling/{file}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Puts in what stands in braces.
fn expanded(value: Value, texts: &Table) -> Value {
    match value {
        Value::String(mut whole) => {
            for (name, replacement) in texts {
                whole = whole.replace(&format!("{{{name}}}"), text(replacement));
            }
            Value::String(repeated(&whole))
        }
        Value::Array(list) => {
            Value::Array(list.into_iter().map(|value| expanded(value, texts)).collect())
        }
        Value::Table(table) => Value::Table(
            table.into_iter().map(|(key, value)| (key, expanded(value, texts))).collect(),
        ),
        other => other,
    }
}

/// `{3*a}` becomes `aaa`.
fn repeated(text: &str) -> String {
    let Some((before, inside, after)) = text.split_once('{').and_then(|(before, rest)| {
        let (inside, after) = rest.split_once('}')?;
        Some((before, inside, after))
    }) else {
        return text.to_owned();
    };
    match inside.split_once('*').map(|(count, what)| (count.parse::<usize>(), what)) {
        Some((Ok(count), what)) => format!("{before}{}{after}", what.repeat(count)),
        _ => text.to_owned(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Each character is one byte.
fn bytes(value: &Value) -> Vec<u8> {
    text(value).chars().map(|c| u8::try_from(u32::from(c)).expect("up to \\u00ff")).collect()
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.into_iter().flat_map(|value| value.as_array().expect("a list"))
}

fn numbers(value: &Value) -> Vec<u16> {
    let number =
        |value: &Value| u16::try_from(value.as_integer().expect("a status")).expect("a status");
    match value {
        Value::Boolean(true) => Vec::new(),
        Value::Array(list) => list.iter().map(number).collect(),
        one => vec![number(one)],
    }
}

const KEYS: [&str; 12] = [
    "name",
    "why",
    "send",
    "ends",
    "means",
    "fields",
    "data",
    "trailers",
    "forwarded",
    "refused",
    "answered",
    "cut",
];
