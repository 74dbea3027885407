//! Why each rule does or does not fire on a saved answer, for the operator who saved it.

use std::fmt;

use http::{HeaderMap, StatusCode};

use super::{Rule, RuleIndex, Rules, media};
use crate::vendor::scan::{Event, Pointers, Scanner, Value};

/// What one rule makes of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The rule gives the verdict.
    Fires,
    /// All its conditions hold, but the named rule comes first.
    After(RuleIndex),
    /// A condition fails.
    Fails(Miss),
}

/// The condition that fails, and what was found in its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Miss {
    Status(StatusCode),
    ContentType(Option<String>),
    /// Bodies of this type are never looked into.
    NeverLookedInto(String),
    NotJson,
    /// The value is not in `in`, or it is in `not_in`.
    Value(Found),
    /// None of these texts passes `pattern` or `says`.
    Text(Vec<Found>),
}

/// What lies at a pointer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub pointer: String,
    /// As one would write it: `"success"`, `40102`, `missing`; cut to 120 characters.
    pub value: String,
}

impl Rules {
    /// What each rule, in order, makes of an answer with this body, decoded. The gateway itself
    /// reads no further than the bound of a look: pass no more than that.
    pub fn explain(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Vec<Outcome> {
        let content_type = media::essence(headers);
        let mut first = None;
        let mut outcomes = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.iter() {
            outcomes.push(match (miss(rule, status, content_type, body), first) {
                (Some(miss), _) => Outcome::Fails(miss),
                (None, Some(earlier)) => Outcome::After(earlier),
                (None, None) => {
                    first = Some(index);
                    Outcome::Fires
                }
            });
        }
        outcomes
    }
}

fn miss(rule: &Rule, status: StatusCode, content_type: Option<&str>, body: &[u8]) -> Option<Miss> {
    if !rule.status_holds(status) {
        return Some(Miss::Status(status));
    }
    if !rule.content_type_holds(content_type) {
        return Some(Miss::ContentType(content_type.map(str::to_owned)));
    }
    if !rule.needs_body() {
        return None;
    }
    if let Some(never) = content_type.filter(|one| media::never_looked_into(one)) {
        return Some(Miss::NeverLookedInto(never.to_owned()));
    }
    if !begins_like_json(body) {
        return Some(Miss::NotJson);
    }
    if let Some(condition) = &rule.value {
        let value = value_at(body, &condition.pointer);
        if !value.as_ref().is_some_and(|value| condition.holds(value)) {
            return Some(Miss::Value(Found::new(&condition.pointer, value.as_ref())));
        }
    }
    let condition = rule.text.as_ref()?;
    let mut found = Vec::with_capacity(condition.pointers.len());
    for pointer in &condition.pointers {
        let value = value_at(body, pointer);
        if value.as_ref().is_some_and(|value| condition.holds(value)) {
            return None;
        }
        found.push(Found::new(pointer, value.as_ref()));
    }
    Some(Miss::Text(found))
}

fn begins_like_json(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    matches!(body.trim_ascii_start(), [b'{' | b'[', ..])
}

fn value_at(body: &[u8], pointer: &str) -> Option<Value<'static>> {
    let mut pointers = Pointers::default();
    pointers.add(pointer).ok()?;
    let mut input = body;
    match Scanner::new(&pointers, pointers.all()).next(&mut input)? {
        Event::Found { value, .. } => Some(value.into_owned()),
        Event::Gone(_) => None,
    }
}

impl Found {
    fn new(pointer: &str, value: Option<&Value<'_>>) -> Found {
        let shown = match value {
            None => "missing".to_owned(),
            Some(Value::Null) => "null".to_owned(),
            Some(Value::Container) => "an object or array".to_owned(),
            Some(Value::Text(text)) => format!("{text:?}"),
            Some(value) => value.as_text().unwrap_or_default().to_owned(),
        };
        let value = match shown.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{}…", &shown[..end]),
            None => shown,
        };
        Found { pointer: pointer.to_owned(), value }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Fires => f.write_str("fires"),
            Outcome::After(earlier) => {
                write!(f, "would fire, but rule {} comes first", earlier.place() + 1)
            }
            Outcome::Fails(miss) => write!(f, "does not fire: {miss}"),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Status(status) => write!(f, "the status is {}", status.as_u16()),
            Miss::ContentType(None) => write!(f, "there is no content type"),
            Miss::ContentType(Some(found)) => write!(f, "the content type is {found}"),
            Miss::NeverLookedInto(found) => write!(f, "{found} bodies are never looked into"),
            Miss::NotJson => write!(f, "the body is not a JSON object or array"),
            Miss::Value(found) => found.fmt(f),
            Miss::Text(found) => {
                for (place, found) in found.iter().enumerate() {
                    write!(f, "{}{found}", if place == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.pointer, self.value)
    }
}

const MAX_SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use super::super::tests::{default_rules, headers, json_headers};
    use super::*;

    #[test]
    fn an_explanation_names_the_failed_condition_and_what_was_found() {
        let rules = default_rules();
        let explain = |headers: &HeaderMap, body: &str| -> Vec<String> {
            let outcomes = rules.explain(StatusCode::OK, headers, body.as_bytes()).into_iter();
            outcomes
                .map(|outcome| match outcome {
                    Outcome::Fires => "fires".to_owned(),
                    Outcome::After(rule) => format!("after {}", rule.place()),
                    Outcome::Fails(miss) => miss.to_string(),
                })
                .collect()
        };
        assert_eq!(
            explain(&json_headers(), r#"{"code":429,"msg":"token expired"}"#),
            ["the status is 200", "fires", "after 1"]
        );
        assert_eq!(
            explain(&json_headers(), r#"{"code":1,"msg":"balance\ntoo low"}"#),
            [
                "the status is 200",
                r#"/msg is "balance\ntoo low", /message is missing"#,
                "/code is 1"
            ]
        );
        assert_eq!(
            explain(&headers("image/png"), ""),
            [
                "the status is 200",
                "image/png bodies are never looked into",
                "image/png bodies are never looked into"
            ]
        );
        assert_eq!(
            explain(&HeaderMap::new(), "<html>")[1..],
            ["the body is not a JSON object or array", "the body is not a JSON object or array"]
        );
        let long = explain(&json_headers(), &format!(r#"{{"code":"{}"}}"#, "é".repeat(200)));
        assert_eq!(long[2], format!("/code is \"{}…", "é".repeat(119)));
    }
}
