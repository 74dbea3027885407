//! Lays environment variables over the tree: `PREFIX__A__B=…` is the key `a.b`.

use std::collections::BTreeMap;
use std::rc::Rc;

use zeroize::Zeroizing;

use super::tree::{Node, Origin, Value, Variable};

/// Puts one variable in its place; `path` is its name without the prefix.
///
/// A key that exists is found in any letter case and with `_` for `-`; a new one is lower case. In
/// an array a number names an element, and the number after the last one adds an element.
pub(super) fn lay(root: &mut Node, path: &str, name: String, raw: String) {
    let variable = Rc::new(Variable { name, raw: Zeroizing::new(raw) });
    let mut node = root;
    for segment in path.split("__") {
        node = step(node, segment, &variable);
    }
    *node = Node::from_variable(variable);
}

fn step<'n>(node: &'n mut Node, segment: &str, variable: &Rc<Variable>) -> &'n mut Node {
    let empty = || {
        Node::new(
            Value::Table(BTreeMap::new()),
            Origin::Variable { variable: variable.clone(), whole: false },
        )
    };
    let index = segment.parse::<usize>().unwrap_or(usize::MAX);
    match &node.value {
        Value::Table(_) => {}
        Value::Array(items) if index <= items.len() => {}
        // A value in the way gives way: `credentials.x = "…"` to `…__CREDENTIALS__X__FILE`.
        _ => *node = empty(),
    }
    match &mut node.value {
        Value::Table(entries) => {
            let known = entries.keys().find(|key| same(key, segment)).cloned();
            entries.entry(known.unwrap_or_else(|| segment.to_lowercase())).or_insert_with(empty)
        }
        Value::Array(items) => {
            if index == items.len() {
                items.push(empty());
            }
            &mut items[index]
        }
        _ => unreachable!("whatever is neither a table nor a fitting array became a table above"),
    }
}

fn same(key: &str, segment: &str) -> bool {
    key.replace('-', "_").eq_ignore_ascii_case(segment)
}
