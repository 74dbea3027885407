//! One rejection rule: its conditions, each tested on its own.

use std::borrow::Cow;
use std::slice;

use http::StatusCode;
use regex::Regex;
use serde_json::Value as Json;

use super::{Verdict, media};
use crate::vendor::phrases;
use crate::vendor::scan::Value;

/// A rule whose conditions are known to make sense.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) name: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) status: Option<Vec<StatusCode>>,
    pub(super) content_type: Option<String>,
    pub(super) value: Option<ValueCondition>,
    pub(super) text: Option<TextCondition>,
}

#[derive(Clone, Debug)]
pub(super) struct ValueCondition {
    pub(super) pointer: String,
    pub(super) among: Option<Vec<String>>,
    pub(super) not_among: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub(super) struct TextCondition {
    pub(super) pointers: Vec<String>,
    pub(super) check: TextCheck,
}

#[derive(Clone, Debug)]
pub(super) enum TextCheck {
    Pattern(Regex),
    TokenDead,
}

impl Rule {
    /// For metrics and logs; empty until the rule is among [`Rules`](super::Rules), unless it was
    /// written with a name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the rule would fire on a whole answer. Meant for sample answers: a rule that matches
    /// a success must be refused.
    pub fn matches(&self, status: StatusCode, content_type: Option<&str>, body: &Json) -> bool {
        let content_type = content_type.map(media::without_parameters);
        let at = |pointer: &String| body.pointer(pointer).map(value_of);
        self.status_holds(status)
            && self.content_type_holds(content_type)
            && !(self.needs_body() && content_type.is_some_and(media::never_looked_into))
            && self.value.as_ref().is_none_or(|condition| {
                at(&condition.pointer).is_some_and(|value| condition.holds(&value))
            })
            && self.text.as_ref().is_none_or(|condition| {
                let mut found = condition.pointers.iter().filter_map(at);
                found.any(|value| condition.holds(&value))
            })
    }

    pub(super) fn needs_body(&self) -> bool {
        self.value.is_some() || self.text.is_some()
    }

    /// A rule that names no status does not fire on a 5xx: the vendor is in trouble then, whatever
    /// it says of tokens.
    pub(super) fn status_holds(&self, status: StatusCode) -> bool {
        match &self.status {
            Some(list) => list.contains(&status),
            None => !status.is_server_error(),
        }
    }

    /// `found` is without parameters.
    pub(super) fn content_type_holds(&self, found: Option<&str>) -> bool {
        let wanted = self.content_type.as_deref();
        wanted.is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
    }

    pub(super) fn value_pointer(&self) -> Option<&String> {
        self.value.as_ref().map(|condition| &condition.pointer)
    }

    pub(super) fn text_pointers(&self) -> slice::Iter<'_, String> {
        self.text.as_ref().map_or(&[][..], |condition| &condition.pointers).iter()
    }
}

impl ValueCondition {
    pub(super) fn holds(&self, value: &Value<'_>) -> bool {
        let Some(found) = comparable(value) else {
            return false;
        };
        let is_in = |list: &Vec<String>| list.iter().any(|one| *one == *found);
        self.among.as_ref().is_none_or(is_in) && !self.not_among.as_ref().is_some_and(is_in)
    }
}

impl TextCondition {
    pub(super) fn holds(&self, value: &Value<'_>) -> bool {
        value.as_text().is_some_and(|text| match &self.check {
            TextCheck::Pattern(pattern) => pattern.is_match(text),
            TextCheck::TokenDead => phrases::token_dead(text),
        })
    }
}

/// The value in the form in which rules name it: a whole number that is written otherwise (`4e3`,
/// `200.0`) is brought to plain digits.
fn comparable<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    if let Value::Number(text) = value
        && text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        && let Ok(number) = text.parse::<f64>()
    {
        return Some(Cow::Owned(number.to_string()));
    }
    value.as_text().map(Cow::Borrowed)
}

fn value_of(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(Cow::Owned(number.to_string())),
        Json::String(text) => Value::Text(Cow::Borrowed(text)),
        Json::Array(_) | Json::Object(_) => Value::Container,
    }
}
