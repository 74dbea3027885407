//! Decides which bytes of a text may be shown in a snippet; the rest become `*`.
//!
//! A value is shown when a reader took it by a key that it knows, and no key on the way to it names a
//! secret. So the value of a mistyped `credentials` stays hidden too.

use std::ops::Range;

use super::tree::{Node, Origin, Value};

/// How much of a document's text is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Secrecy {
    /// Values may be secrets.
    Guarded,
    /// Nothing is secret but a password in a URL.
    Public,
}

/// The text with everything hidden that could be a secret, byte for byte of the same length.
pub(super) fn readable(
    text: &str,
    scalars: &[Range<usize>],
    root: &Node,
    secrecy: Secrecy,
) -> String {
    let mut shown = vec![Show::AsIs; text.len()];
    for span in scalars {
        shown[inside_quotes(text, span)].fill(Show::Star);
    }
    reveal(text, root, secrecy, false, &mut shown);
    blank_comments(text, scalars, &mut shown);
    apply(text, &shown)
}

/// Whether what stands below this key is secret; `secret` says it of the table or array around it.
///
/// Below a secret key, `env` and `file` say where the secret is and not what.
pub(super) fn is_secret(key: Option<&str>, secret: bool) -> bool {
    match key {
        Some(key) if secret => !matches!(key, "env" | "file"),
        Some(key) => names_secret(key),
        None => secret,
    }
}

/// Whether a key of this name holds a secret, or a table of them.
pub(super) fn names_secret(key: &str) -> bool {
    let key = key.trim().to_lowercase();
    if NOT_SECRET.contains(&key.as_str()) {
        return false;
    }
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    AsIs,
    Star,
    Blank,
}

fn apply(text: &str, shown: &[Show]) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match (shown[at], c) {
            (Show::AsIs, _) | (_, '\n' | '\r') => out.push(c),
            // As many as bytes, so that spans into the text stay right.
            (Show::Star, _) => out.extend(std::iter::repeat_n('*', c.len_utf8())),
            (Show::Blank, _) => out.extend(std::iter::repeat_n(' ', c.len_utf8())),
        }
    }
    out
}

fn reveal(text: &str, node: &Node, secrecy: Secrecy, secret: bool, shown: &mut [Show]) {
    for (key, child) in node.children() {
        reveal(text, child, secrecy, is_secret(key, secret), shown);
    }
    let Origin::File { key, value: span } = &node.origin else {
        return;
    };
    if let (true, Some(key)) = (secrecy == Secrecy::Guarded && node.stray.get(), key) {
        shown[key.clone()].fill(Show::Star);
    }
    let public = secrecy == Secrecy::Public;
    let known = node.understood.get() && !matches!(node.value, Value::Foreign(_));
    if node.is_container() || !(public || known && !secret) {
        return;
    }
    shown[span.clone()].fill(Show::AsIs);
    if let Some(login) = login(&text[span.clone()], &node.value) {
        shown[span.start + login.start..span.start + login.end].fill(Show::Star);
    }
}

/// The user and password of a URL, and its query, within the written form of a value.
fn login(written: &str, value: &Value) -> Option<Range<usize>> {
    let Value::Text(text) = value else {
        return None;
    };
    if text.contains('@') {
        // Written as an escape, it cannot be found: then all of it is hidden.
        let Some(end) = written.rfind('@') else {
            return Some(0..written.len());
        };
        let start = written.find("://").map_or(1, |at| at + 3).min(end);
        return Some(start..end);
    }
    let start = text.contains("://").then(|| written.find('?')).flatten()? + 1;
    Some(start..inside_quotes(written, &(0..written.len())).end.max(start))
}

/// Comments end up in a snippet by accident only, and may hold a secret that was commented out.
fn blank_comments(text: &str, scalars: &[Range<usize>], shown: &mut [Show]) {
    let mut values = scalars.iter().peekable();
    let mut key_quote = None;
    let mut in_comment = false;
    let mut at = 0;
    while at < text.len() {
        while values.next_if(|span| span.end <= at).is_some() {}
        match values.peek() {
            Some(span) if span.start == at && !in_comment => {
                at = span.end.max(at + 1);
                continue;
            }
            _ => {}
        }
        let byte = text.as_bytes()[at];
        match (byte, key_quote) {
            (b'\n', _) => (in_comment, key_quote) = (false, None),
            (b'"' | b'\'', None) if !in_comment => key_quote = Some(byte),
            (_, Some(quote)) if quote == byte => key_quote = None,
            (b'#', None) => in_comment = true,
            _ => {}
        }
        if in_comment {
            shown[at] = Show::Blank;
        }
        at += 1;
    }
}

fn inside_quotes(text: &str, span: &Range<usize>) -> Range<usize> {
    let written = &text[span.clone()];
    let quotes = |c| c == '"' || c == '\'';
    let leading = written.len() - written.trim_start_matches(quotes).len();
    let trailing = written.len() - written.trim_end_matches(quotes).len();
    match leading == written.len() {
        true => span.clone(),
        false => span.start + leading..span.end - trailing,
    }
}

const SECRET_WORDS: [&str; 5] = ["credential", "secret", "token", "passw", "key"];

/// Keys of ours that only sound like secrets.
const NOT_SECRET: [&str; 2] = ["token_endpoint", "key_prefix"];
