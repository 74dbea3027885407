//! A rejection rule as it is written, and its parsing.

use std::fmt;

use http::StatusCode;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use super::rule::{Rule, TextCheck, TextCondition, ValueCondition};
use super::{Verdict, media};
use crate::vendor::scan::{PointerError, Pointers};

/// A rule as a table of a description or of the configuration. Every condition given must hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// For metrics and logs. Left out: made from the rule's place.
    pub name: Option<String>,
    /// HTTP status codes. Left out: any below 500.
    pub status: Option<Vec<u16>>,
    /// A media type without parameters. Left out: any.
    pub content_type: Option<String>,
    /// Where in the JSON body the value for `in` and `not_in` is.
    pub pointer: Option<String>,
    /// The value is one of these.
    #[serde(rename = "in")]
    pub among: Option<Vec<RawValue>>,
    /// The value is none of these. A missing member, `null`, an object or an array is neither in nor not
    /// in.
    #[serde(rename = "not_in")]
    pub not_among: Option<Vec<RawValue>>,
    /// Where the message for `pattern` or `says` is; one of several is enough.
    pub text: Option<OneOrMany>,
    /// A regular expression that is found in the message.
    pub pattern: Option<String>,
    /// A built-in test of the message: `token_dead` knows how vendors say it.
    pub says: Option<Says>,
    /// `expired`: the token is dead. `rate_limited`: handed on, refreshes nothing.
    pub verdict: Verdict,
}

/// A value to compare with; `40102` and `"40102"` are the same.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(untagged)]
pub enum RawValue {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// In the words in which vendors say that a token is dead.
    TokenDead,
}

/// What is wrong with a rule; [`RuleError::key`] says where.
#[derive(Debug, Error)]
pub enum RuleError {
    #[error(
        "a rule needs a condition: `status`, `pointer` with `in` or `not_in`, or `text` with `pattern` or `says`"
    )]
    NoCondition,
    #[error("a name has 1 to {MAX_NAME} characters, none of them a control character")]
    Name,
    #[error("`{key}` is empty")]
    Empty { key: &'static str },
    #[error("{status} is no HTTP status")]
    Status { status: u16 },
    #[error("`{value}` is no media type such as `application/json`")]
    ContentType { value: String },
    #[error("bodies of type `{value}` are never looked into")]
    NeverLookedInto { value: String },
    #[error("`{key}` needs a `pointer` to the value")]
    NoPointer { key: &'static str },
    #[error("`pointer` needs `in` or `not_in`")]
    NoValues,
    #[error("`{key}` needs `text`, a pointer to the message")]
    NoText { key: &'static str },
    #[error("`text` needs `pattern` or `says`")]
    NoCheck,
    #[error("`pattern` and `says` exclude each other")]
    TwoChecks,
    #[error("`{pointer}`: {source}")]
    Pointer { key: &'static str, pointer: String, source: PointerError },
    #[error("not a regular expression, or one too large: {0}")]
    Pattern(#[source] regex::Error),
}

impl RuleError {
    /// The key whose value is at fault, or, where one is missing, the key that calls for it.
    pub fn key(&self) -> &'static str {
        match self {
            RuleError::NoCondition => "verdict",
            RuleError::Name => "name",
            RuleError::Status { .. } => "status",
            RuleError::ContentType { .. } | RuleError::NeverLookedInto { .. } => "content_type",
            RuleError::NoValues => "pointer",
            RuleError::NoCheck => "text",
            RuleError::TwoChecks => "says",
            RuleError::Pattern(_) => "pattern",
            RuleError::Empty { key }
            | RuleError::NoPointer { key }
            | RuleError::NoText { key }
            | RuleError::Pointer { key, .. } => key,
        }
    }
}

impl Rule {
    pub fn new(raw: RawRule) -> Result<Rule, RuleError> {
        let rule = Rule {
            name: raw.name.map(name).transpose()?,
            verdict: raw.verdict,
            status: raw.status.map(statuses).transpose()?,
            content_type: raw.content_type.map(content_type).transpose()?,
            value: value_condition(raw.pointer, raw.among, raw.not_among)?,
            text: text_condition(raw.text, raw.pattern, raw.says)?,
        };
        if rule.status.is_none() && rule.value.is_none() && rule.text.is_none() {
            return Err(RuleError::NoCondition);
        }
        match rule.content_type {
            Some(value) if rule.needs_body() && media::never_looked_into(&value) => {
                Err(RuleError::NeverLookedInto { value })
            }
            _ => Ok(rule),
        }
    }
}

fn name(name: String) -> Result<String, RuleError> {
    let fine =
        (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fine { Ok(name) } else { Err(RuleError::Name) }
}

fn statuses(list: Vec<u16>) -> Result<Vec<StatusCode>, RuleError> {
    let statuses = some("status", list)?
        .into_iter()
        .map(|status| StatusCode::from_u16(status).map_err(|_| RuleError::Status { status }));
    statuses.collect()
}

fn content_type(value: String) -> Result<String, RuleError> {
    match value.parse::<mime::Mime>() {
        Ok(mime) if mime.params().next().is_none() && mime.subtype() != mime::STAR => {
            Ok(mime.essence_str().to_owned())
        }
        _ => Err(RuleError::ContentType { value }),
    }
}

fn value_condition(
    pointer: Option<String>,
    among: Option<Vec<RawValue>>,
    not_among: Option<Vec<RawValue>>,
) -> Result<Option<ValueCondition>, RuleError> {
    let among = among.map(|list| values("in", list)).transpose()?;
    let not_among = not_among.map(|list| values("not_in", list)).transpose()?;
    match (pointer, &among, &not_among) {
        (None, None, None) => Ok(None),
        (None, Some(_), _) => Err(RuleError::NoPointer { key: "in" }),
        (None, _, Some(_)) => Err(RuleError::NoPointer { key: "not_in" }),
        (Some(_), None, None) => Err(RuleError::NoValues),
        (Some(text), ..) => {
            let pointer = pointer_at("pointer", text)?;
            Ok(Some(ValueCondition { pointer, among, not_among }))
        }
    }
}

fn text_condition(
    text: Option<OneOrMany>,
    pattern: Option<String>,
    says: Option<Says>,
) -> Result<Option<TextCondition>, RuleError> {
    let check = match (pattern, says) {
        (None, None) => None,
        (Some(_), Some(_)) => return Err(RuleError::TwoChecks),
        (Some(pattern), None) => Some(TextCheck::Pattern(compile(&pattern)?)),
        (None, Some(Says::TokenDead)) => Some(TextCheck::TokenDead),
    };
    match (text, check) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(RuleError::NoCheck),
        (None, Some(TextCheck::Pattern(_))) => Err(RuleError::NoText { key: "pattern" }),
        (None, Some(TextCheck::TokenDead)) => Err(RuleError::NoText { key: "says" }),
        (Some(text), Some(check)) => {
            let pointers = match text {
                OneOrMany::One(pointer) => vec![pointer],
                OneOrMany::Many(pointers) => some("text", pointers)?,
            };
            let pointers = pointers.into_iter().map(|text| pointer_at("text", text));
            Ok(Some(TextCondition { pointers: pointers.collect::<Result<_, _>>()?, check }))
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, RuleError> {
    if pattern.is_empty() {
        return Err(RuleError::Empty { key: "pattern" });
    }
    let mut builder = RegexBuilder::new(pattern);
    let regex = builder.size_limit(MAX_PATTERN).dfa_size_limit(MAX_CACHE).nest_limit(MAX_NEST);
    regex.build().map_err(RuleError::Pattern)
}

fn pointer_at(key: &'static str, pointer: String) -> Result<String, RuleError> {
    match Pointers::check(&pointer) {
        Ok(()) => Ok(pointer),
        Err(source) => Err(RuleError::Pointer { key, pointer, source }),
    }
}

fn values(key: &'static str, list: Vec<RawValue>) -> Result<Vec<String>, RuleError> {
    Ok(some(key, list)?.iter().map(RawValue::to_string).collect())
}

fn some<T>(key: &'static str, list: Vec<T>) -> Result<Vec<T>, RuleError> {
    if list.is_empty() { Err(RuleError::Empty { key }) } else { Ok(list) }
}

impl fmt::Display for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawValue::Bool(value) => value.fmt(f),
            RawValue::Integer(value) => value.fmt(f),
            RawValue::Float(value) => value.fmt(f),
            RawValue::Text(value) => value.fmt(f),
        }
    }
}

/// Of a compiled pattern, in bytes: a search takes time in proportion to it and to the text.
const MAX_PATTERN: usize = 512 << 10;
/// Of what a search keeps of its own, in bytes.
const MAX_CACHE: usize = 1 << 20;
const MAX_NEST: u32 = 50;
/// Of a name, in characters: it becomes a metric label.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use crate::vendor::scan::{MAX_TEXT, Value};

    use super::*;

    #[test]
    fn p32_a_bad_rule_names_the_key_at_fault() {
        let cases = [
            ("", "verdict"),
            ("content_type = 'application/json'", "verdict"),
            ("name = ''\nstatus = [401]", "name"),
            ("name = \"a\\u0007\"\nstatus = [401]", "name"),
            ("status = []", "status"),
            ("status = [99]", "status"),
            ("status = [401]\ncontent_type = 'json'", "content_type"),
            ("status = [401]\ncontent_type = 'text/html; charset=utf-8'", "content_type"),
            ("pointer = '/a'\nin = [1]\ncontent_type = 'text/event-stream'", "content_type"),
            ("in = [1]", "in"),
            ("not_in = [1]", "not_in"),
            ("pointer = '/a'", "pointer"),
            ("pointer = 'a'\nin = [1]", "pointer"),
            ("pointer = '/a'\nin = []", "in"),
            ("pointer = '/a'\nnot_in = []", "not_in"),
            ("text = '/a'", "text"),
            ("text = []\nsays = 'token_dead'", "text"),
            ("text = ['/a', 'b']\nsays = 'token_dead'", "text"),
            ("says = 'token_dead'", "says"),
            ("pattern = 'x'", "pattern"),
            ("text = '/a'\npattern = ''", "pattern"),
            ("text = '/a'\npattern = '('", "pattern"),
            ("text = '/a'\npattern = '(\\w{200}){200}'", "pattern"),
            ("text = '/a'\npattern = 'x'\nsays = 'token_dead'", "says"),
        ];
        for (toml, key) in cases {
            let toml = format!("verdict = 'expired'\n{toml}");
            let raw = toml::from_str(&toml).unwrap();
            let error = Rule::new(raw).expect_err(&toml);
            assert_eq!(error.key(), key, "{toml}: {error}");
        }
        for unknown in
            ["verdict = 'expired'\nstatuses = [401]", "status = [401]", "verdict = 'dead'"]
        {
            toml::from_str::<RawRule>(unknown).expect_err(unknown);
        }
    }

    #[test]
    fn p27_patterns_cannot_blow_up() {
        let rule = |pattern: &str| {
            let toml = format!("text = '/a'\npattern = '{pattern}'\nverdict = 'expired'");
            Rule::new(toml::from_str(&toml).unwrap())
        };
        let deep = format!("{}a{}", "(".repeat(60), ")".repeat(60));
        let nested = "((((a{1000}){1000}){1000}){1000})";
        for large in ["(a{1000}){1000}", nested, r"(\pL{100}){100}", "(a|b{900}){900}", &deep] {
            assert_eq!(rule(large).expect_err(large).key(), "pattern", "{large}");
        }
        let text = Value::Text("a".repeat(MAX_TEXT).into());
        for slow in ["(a|a)*b", "(a*)*b", "(.*)*x$", "(a?){300}a{300}b", "^(([a-z])+.)+[A-Z]$"] {
            let rule = rule(slow).expect(slow);
            let began = tokio::time::Instant::now();
            assert!(!rule.text.as_ref().expect("a text").holds(&text), "{slow}");
            let took = began.elapsed();
            assert!(took.as_secs() < 5, "{slow}: {took:?}");
        }
    }

    #[test]
    fn useful_patterns_are_not_too_large() {
        for pattern in
            [r"(?i)\btoken\b.{0,20}\b(expired|invalid)\b", r"^\w+ \d{1,10} 过期$", r"\w{1,8}"]
        {
            let toml = format!("text = '/a'\npattern = '{pattern}'\nverdict = 'expired'");
            Rule::new(toml::from_str(&toml).unwrap()).unwrap();
        }
    }
}
