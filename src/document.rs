//! A TOML text that remembers where everything stands, so that each mistake is shown in its place.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use toml::de::DeTable;
use zeroize::Zeroizing;

mod deserialize;
mod fault;
mod locate;
mod mask;
mod nearest;
mod overlay;
mod read;
mod report;
mod ruin;
mod tree;

pub use nearest::nearest;
pub use report::{Mistake, Report};

use mask::Secrecy;
use report::Place;
use tree::{Node, Origin};

/// A TOML text, parsed, with the environment laid over it.
///
/// No value leaves it by way of a mistake unless it is known not to be a secret.
pub struct Document {
    name: Rc<str>,
    text: Zeroizing<String>,
    root: Node,
    /// Where the text has strings, numbers and so on; in order.
    scalars: Vec<Range<usize>>,
    secrecy: Secrecy,
    /// The text is not TOML, so the tree is a guess.
    ruined: bool,
}

impl Document {
    /// Parses a text that may hold secrets. Every syntax mistake is in the report; with one, the
    /// document [reads](Document::read) as nothing.
    ///
    /// `name` is what the mistakes show: the path of the file.
    pub fn parse(name: impl Into<String>, text: impl Into<String>) -> (Document, Report) {
        Document::parse_as(Secrecy::Guarded, name.into(), text.into())
    }

    /// Parses a text that by its nature holds no secrets, such as a vendor's description. Only
    /// logins in URLs are hidden.
    pub fn parse_public(name: impl Into<String>, text: impl Into<String>) -> (Document, Report) {
        Document::parse_as(Secrecy::Public, name.into(), text.into())
    }

    /// Lays environment variables over the text: with the prefix `TOKENWARD__`, the variable
    /// `TOKENWARD__ADMIN__LISTEN` is the key `admin.listen`. Its value is read as TOML; if it is
    /// not TOML, or does not fit as such, as text.
    pub fn overlay(&mut self, prefix: &str, vars: impl IntoIterator<Item = (String, String)>) {
        let named = vars.into_iter().filter_map(|(name, raw)| {
            let path = name.strip_prefix(prefix)?.to_owned();
            Some((path, name, raw))
        });
        // Sorted, so that `A` and `A__B` do not depend on the order of the environment.
        let mut named: Vec<_> = named.collect();
        named.sort();
        for (path, name, raw) in named {
            overlay::lay(&mut self.root, &path, name, raw);
        }
    }

    /// A mistake that shows only when values are compared, at the value of `path`: names of keys,
    /// and numbers for the elements of arrays, counted from 0 as they were read. If there is no such
    /// value, at the table that lacks it.
    pub fn mistake(&self, path: &[&str], message: impl Into<String>) -> Mistake {
        let place = self.place(&self.root.as_written(path), false, &self.readable());
        Mistake::new(place, self.censor(&message.into()))
    }

    /// The same, at the key.
    pub fn mistake_at_key(&self, path: &[&str], message: impl Into<String>) -> Mistake {
        let place = self.place(&self.root.as_written(path), true, &self.readable());
        Mistake::new(place, self.censor(&message.into()))
    }

    /// Whether the text or the environment has a value here, be it one that was refused: then it
    /// is not missing, and has been reported.
    pub fn has(&self, path: &[&str]) -> bool {
        self.root.follow(&self.root.as_written(path)).1 == path.len()
    }

    fn parse_as(secrecy: Secrecy, name: String, text: String) -> (Document, Report) {
        let mut text = Zeroizing::new(text);
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let (table, mut errors) = DeTable::parse_recoverable(&text);
        let root = Node::root(table.into_inner());
        let ruined = !errors.is_empty();
        let mut scalars = Vec::new();
        if !ruined {
            collect_scalars(&root, &mut scalars);
            scalars.sort_by_key(|span| span.start);
        }
        errors.truncate(MOST_MISTAKES);
        let errors = errors.iter().map(|error| (error.span(), error.message().to_owned()));
        let errors: Vec<_> = errors.collect();
        let document = Document { name: name.into(), text, root, scalars, secrecy, ruined };
        let mut report = Report::default();
        let readable = document.readable();
        for (span, message) in errors {
            let place = document.at(span.unwrap_or(0..0), &readable);
            report.push(syntax_mistake(place, &message));
        }
        (document, report)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

fn syntax_mistake(place: Place, message: &str) -> Mistake {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, "nothing"));
    let mut mistake = Mistake::new(place, message.to_owned());
    if expected != "nothing" {
        mistake = mistake.expected(format!("expected {expected}"));
    }
    if UNQUOTED.iter().any(|start| message.starts_with(start)) {
        mistake = mistake.help("texts, times, sizes and addresses stand in quotes: key = \"…\"");
    }
    mistake
}

fn collect_scalars(node: &Node, spans: &mut Vec<Range<usize>>) {
    for (_, child) in node.children() {
        collect_scalars(child, spans);
    }
    match &node.origin {
        Origin::File { value, .. } if !node.is_container() => spans.push(value.clone()),
        _ => {}
    }
}

/// Enough to work on; beyond it something other than typing went wrong.
const MOST_MISTAKES: usize = 100;

/// How the parser names a value that lacks its quotes.
const UNQUOTED: [&str; 5] = [
    "string values must be quoted",
    "invalid float",
    "invalid integer",
    "invalid boolean",
    "invalid datetime",
];

#[cfg(test)]
mod tests;
