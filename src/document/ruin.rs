//! Decides what may be shown of a text that is not TOML, where nobody knows what is a value.
//!
//! Only what cannot be a secret is shown: keys, punctuation, short numbers, addresses.

use std::net::{IpAddr, SocketAddr};

use super::mask::names_secret;

/// The text with every word hidden that could be a secret, of the same length.
///
/// What stands to the left of a `=` is taken for a key only on a line that begins an entry: a secret
/// may be cut in two by a stray quote or line end, and its second half may contain a `=`.
pub(super) fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open_quotes: Option<&str> = None;
    let mut unfinished = false;
    let mut secret_section = false;
    for line in text.split_inclusive('\n') {
        let (key, value) = split_key(line, open_quotes.is_none() && !unfinished);
        let is_header = key.starts_with('[');
        if is_header {
            secret_section = names_secret(key);
        }
        out.push_str(key);
        let is_secret = !is_header && (secret_section || names_secret(key));
        mask_words(value, is_secret, &mut out);
        let code = line.trim();
        if !code.is_empty() && (open_quotes.is_some() || !code.starts_with('#')) {
            open_quotes = quotes_after(open_quotes, line);
            let odd = |quote| code.matches(quote).count() % 2 == 1;
            unfinished = code.ends_with(['=', ',', '{', '[', '\\']) || odd('"') || odd('\'');
        }
    }
    out
}

/// Whether this is how keys are named, and not how secrets look: short, in lower case, with hardly a
/// digit. A secret that looks so cannot be told from a key.
pub(super) fn is_plausible_key(name: &str) -> bool {
    name.len() <= LONGEST_KEY
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        && name.bytes().filter(u8::is_ascii_digit).count() <= 2
}

/// The key, with its `=`, or the table header that a line begins with; and the rest.
fn split_key(line: &str, starts_entry: bool) -> (&str, &str) {
    let is_key = |key: &str| key.split('.').all(|name| is_plausible_key(name.trim()));
    // Two at once are the end of something in base64.
    let is_equals = |at: &usize| !line[*at..].starts_with("==");
    let end = if line.starts_with('[') {
        let start = line.len() - line.trim_start_matches('[').len();
        let end = line.find(']').unwrap_or(line.len());
        (end > start && is_key(&line[start..end])).then_some(end)
    } else {
        line.find('=').filter(|at| is_equals(at) && is_key(&line[..*at])).map(|at| at + 1)
    };
    line.split_at(end.filter(|_| starts_entry).unwrap_or(0))
}

/// Masks each word that is not plainly harmless.
fn mask_words(value: &str, secret: bool, out: &mut String) {
    let is_gap = |c: char| c.is_whitespace() || "\"',[]{}=".contains(c);
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let end = match is_gap(first) {
            true => first.len_utf8(),
            false => rest.find(is_gap).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        match is_gap(first) || !secret && is_harmless(word) {
            true => out.push_str(word),
            false => out.extend(std::iter::repeat_n('*', word.len())),
        }
        rest = after;
    }
}

/// A flag, a number of at most five digits and a short unit, or an address.
fn is_harmless(word: &str) -> bool {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let unit = &word[digits..];
    let is_number = (1..=5).contains(&digits)
        && unit.len() <= 3
        && unit.bytes().all(|b| b.is_ascii_alphabetic());
    is_number
        || matches!(word, "true" | "false")
        || word.parse::<IpAddr>().is_ok()
        || word.parse::<SocketAddr>().is_ok()
        || word.strip_prefix("localhost:").is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Which triple quotes are open after this line.
fn quotes_after<'q>(open: Option<&'q str>, line: &str) -> Option<&'q str> {
    let mut open = open;
    let mut rest = line;
    loop {
        let next = match open {
            Some(quotes) => rest.find(quotes).map(|at| (at, quotes)),
            None => TRIPLES.into_iter().filter_map(|q| rest.find(q).map(|at| (at, q))).min(),
        };
        let Some((at, quotes)) = next else {
            return open;
        };
        open = if open.is_some() { None } else { Some(quotes) };
        rest = &rest[at + 3..];
    }
}

const TRIPLES: [&str; 2] = ["\"\"\"", "'''"];

/// Longer than any key of ours, shorter than most secrets that could stand in a key's place.
const LONGEST_KEY: usize = 24;
