//! The values of a document, each with the place it came from.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};
use zeroize::Zeroizing;

use super::ruin::is_plausible_key;

/// One value of the document, or a table of them.
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// A reader asked for this value by a key that it knows. Others are not shown to anyone.
    pub(super) understood: Cell<bool>,
    /// A mistake was reported here: the next reading passes it over.
    pub(super) refused: Cell<bool>,
    /// The key itself may be a piece of a secret and is not shown.
    pub(super) stray: Cell<bool>,
    /// Reads what an environment variable says as text, though it could be read as TOML.
    pub(super) verbatim: Cell<bool>,
}

pub(super) enum Value {
    Text(Zeroizing<String>),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// What no key of ours takes, by its name: a date, or what only begins like a number.
    Foreign(&'static str),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// Where a value was written.
#[derive(Clone)]
pub(super) enum Origin {
    /// Byte ranges in the text. Elements of an array have no key; the root has neither.
    File { key: Option<Range<usize>>, value: Range<usize> },
    /// `whole`: all that the variable says, and not a part of it.
    Variable { variable: Rc<Variable>, whole: bool },
}

/// An environment variable that gave a value.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) raw: Zeroizing<String>,
}

impl Node {
    pub(super) fn new(value: Value, origin: Origin) -> Node {
        Node {
            value,
            origin,
            understood: Cell::new(false),
            refused: Cell::new(false),
            stray: Cell::new(false),
            verbatim: Cell::new(false),
        }
    }

    pub(super) fn root(table: DeTable<'_>) -> Node {
        Node::new(table_of(table, None), Origin::File { key: None, value: 0..0 })
    }

    /// The value that an environment variable stands for: TOML if it is that, or else its text.
    pub(super) fn from_variable(variable: Rc<Variable>) -> Node {
        let value = match DeValue::parse(&variable.raw) {
            Ok(value) => value_of(value.into_inner(), Some(&variable)),
            Err(_) => Value::Text(variable.raw.clone()),
        };
        Node::new(value, Origin::Variable { variable, whole: true })
    }

    pub(super) fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.get(key),
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The node that the path leads to, or the last one on the way; and how many steps were made.
    pub(super) fn follow(&self, path: &[String]) -> (&Node, usize) {
        let mut node = self;
        for (steps, key) in path.iter().enumerate() {
            match node.child(key) {
                Some(child) => node = child,
                None => return (node, steps),
            }
        }
        (node, path.len())
    }

    /// The same path with the elements of arrays numbered as they are written. A reader numbers
    /// those that it got: what was refused is not among them.
    pub(super) fn as_written(&self, path: &[&str]) -> Vec<String> {
        let mut node = Some(self);
        let mut written = Vec::with_capacity(path.len());
        for key in path {
            let mut key = (*key).to_owned();
            if let (Some(Value::Array(items)), Ok(read)) = (node.map(|n| &n.value), key.parse()) {
                let mut kept = (0..items.len()).filter(|at| !items[*at].refused.get());
                key = kept.nth(read).unwrap_or(items.len()).to_string();
            }
            node = node.and_then(|node| node.child(&key));
            written.push(key);
        }
        written
    }

    pub(super) fn is_container(&self) -> bool {
        matches!(self.value, Value::Table(_) | Value::Array(_))
    }

    /// Whether this was taken for TOML and may have been meant as text.
    pub(super) fn can_be_text(&self) -> bool {
        let is_text = matches!(self.value, Value::Text(_));
        !is_text && matches!(self.origin, Origin::Variable { whole: true, .. })
    }

    /// Whether its key is hidden. The name of a variable is no secret.
    pub(super) fn is_stray_here(&self) -> bool {
        self.stray.get() && matches!(self.origin, Origin::File { .. })
    }

    /// Everything directly below, with its key; elements of an array have none.
    pub(super) fn children(&self) -> Vec<(Option<&str>, &Node)> {
        match &self.value {
            Value::Table(entries) => entries.iter().map(|(k, n)| (Some(k.as_str()), n)).collect(),
            Value::Array(items) => items.iter().map(|n| (None, n)).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn refused_keys(&self) -> Vec<&str> {
        let refused = self.children().into_iter().filter(|(_, child)| child.refused.get());
        refused.filter_map(|(key, _)| key).collect()
    }

    /// Passes the value over from now on; with `stray`, its key is hidden. So are keys below it that
    /// are like no keys at all: nobody will look at them any more.
    pub(super) fn refuse(&self, stray: bool) {
        self.refused.set(true);
        self.stray.set(stray);
        for (key, child) in self.children() {
            child.refuse(key.is_some_and(|key| !is_plausible_key(key)));
        }
    }

    /// Forgets what an earlier reading found out.
    pub(super) fn forget(&self) {
        self.understood.set(false);
        self.refused.set(false);
        self.stray.set(false);
        self.verbatim.set(false);
        for (_, child) in self.children() {
            child.forget();
        }
    }
}

fn node_of(
    key: Option<Range<usize>>,
    value: Spanned<DeValue<'_>>,
    variable: Option<&Rc<Variable>>,
) -> Node {
    let origin = match variable {
        Some(variable) => Origin::Variable { variable: variable.clone(), whole: false },
        None => Origin::File { key, value: value.span() },
    };
    Node::new(value_of(value.into_inner(), variable), origin)
}

fn value_of(value: DeValue<'_>, variable: Option<&Rc<Variable>>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(Zeroizing::new(text.into_owned())),
        DeValue::Integer(number) => match integer(&number) {
            Some(number) => Value::Integer(number),
            None => Value::Foreign(NO_NUMBER),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Foreign(NO_NUMBER),
        },
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(_) => Value::Foreign("a date"),
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|item| node_of(None, item, variable)).collect())
        }
        DeValue::Table(table) => table_of(table, variable),
    }
}

fn table_of(table: DeTable<'_>, variable: Option<&Rc<Variable>>) -> Value {
    let entries = table.into_iter().map(|(key, value)| {
        let span = key.span();
        (key.into_inner().into_owned(), node_of(Some(span), value, variable))
    });
    Value::Table(entries.collect())
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Beyond 64 bits; or no number at all, for the parser leaves a part of the check to its caller.
const NO_NUMBER: &str = "not a number that can be read";
