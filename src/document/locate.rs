//! Where a path or a span of bytes stands in the text, and what of it may be shown.

use std::ops::Range;

use zeroize::Zeroizing;

use super::Document;
use super::mask::{self, Secrecy};
use super::report::Place;
use super::ruin;
use super::tree::{Node, Origin, Value};

impl Document {
    pub(super) fn place(&self, path: &[String], at_key: bool, readable: &str) -> Place {
        let (node, steps) = self.root.follow(path);
        match &node.origin {
            Origin::Variable { variable, .. } => {
                Place::Environment { variable: variable.name.clone() }
            }
            Origin::File { key, value } => {
                // A table may be written in many places: its key stands for it.
                let wants_key = at_key || steps < path.len() || node.is_container();
                let key = key.clone().filter(|_| wants_key);
                self.at(key.unwrap_or_else(|| value.clone()), readable)
            }
        }
    }

    /// The place of a span of the text; of its first line, if it has several.
    pub(super) fn at(&self, span: Range<usize>, readable: &str) -> Place {
        let text = self.text.as_str();
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let line_end = (line_start + line.len()).max(start);
        let end = text.floor_char_boundary(span.end).clamp(start, line_end);
        Place::File {
            name: self.name.clone(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: readable[line_start..line_end].to_owned(),
            span: start - line_start..end - line_start,
        }
    }

    /// The text with everything hidden that could be a secret, of the same length.
    pub(super) fn readable(&self) -> Zeroizing<String> {
        Zeroizing::new(match (self.ruined, self.secrecy) {
            (true, Secrecy::Guarded) => ruin::readable(&self.text),
            (true, Secrecy::Public) => self.text.to_string(),
            (false, secrecy) => mask::readable(&self.text, &self.scalars, &self.root, secrecy),
        })
    }

    /// Whether the value of the path must not be repeated; its key, with `at_key`.
    pub(super) fn is_secret(&self, path: &[String], at_key: bool) -> bool {
        let hidden = |secret, key: &String| mask::is_secret(Some(key), secret);
        self.secrecy == Secrecy::Guarded
            && match at_key {
                true => self.root.follow(path).0.is_stray_here(),
                false => path.iter().fold(false, hidden),
            }
    }

    /// A last look: no text of ours repeats a secret that stands in the document.
    pub(super) fn censor(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.secrecy == Secrecy::Guarded {
            censor(&self.root, false, &mut text);
        }
        text
    }
}

fn censor(node: &Node, secret: bool, text: &mut String) {
    for (key, child) in node.children() {
        censor(child, mask::is_secret(key, secret), text);
    }
    if let (true, Value::Text(value)) = (secret, &node.value) {
        for form in [value.to_string(), value.escape_debug().to_string()] {
            if form.len() >= SHORTEST_SECRET {
                *text = text.replace(&form, "***");
            }
        }
    }
}

/// Shorter texts are found in ordinary words.
const SHORTEST_SECRET: usize = 6;
