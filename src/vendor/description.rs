//! A vendor's API as data: where it is, what a request must carry, how a token is had and kept,
//! and how to tell that one is dead.

mod raw;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::document::{Document, Report};
use crate::units::BaseUrl;

use super::injection::{Inject, Place};
use super::path::PathPattern;
use super::pointer::Pointer;
use super::rules::{RawRule, Rule};
use super::template::Template;

/// Everything that the gateway knows of a vendor.
#[derive(Clone, Debug)]
pub struct Description {
    pub name: String,
    pub base_url: BaseUrl,
    /// The credentials that a config must give; the seed (`refresh_token`) is not among them.
    pub credentials: Vec<String>,
    pub inject: Vec<Inject>,
    /// Further request headers that are taken out.
    pub strip: Vec<HeaderName>,
    /// How a refresh token is turned into a new access token.
    pub refresh: Option<Call>,
    /// How the credentials alone are turned into a new token.
    pub mint: Option<Call>,
    pub answer: AnswerShape,
    pub rules: Vec<Rule>,
    /// Paths closed to callers: a client that refreshes by itself kills the shared token.
    pub token_endpoints: Vec<PathPattern>,
    /// Paths whose requests are never sent a second time.
    pub never_resend: Vec<PathPattern>,
    /// What a refresh does to the access token before it.
    pub old_access_token: OldToken,
    pub limits: Limits,
    pub envelope: Envelope,
}

/// One call of the vendor's token endpoint.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    /// Appended to the base URL.
    pub path: String,
    pub encoding: Encoding,
    pub fields: BTreeMap<String, Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Json,
    Multipart,
    Form,
    Query,
}

/// How to read what a token endpoint answers.
#[derive(Clone, Debug)]
pub struct AnswerShape {
    /// The member that tells success, and the values (as text) that mean it. Without it, an answer
    /// with an access token is a success.
    pub success: Option<(Pointer, Vec<String>)>,
    pub access_token: Pointer,
    /// Where a new refresh token would be; when none comes, the old one is kept.
    pub refresh_token: Option<Pointer>,
    /// Seconds of life left, or, above 1e9, seconds since 1970.
    pub expires_in: Option<Pointer>,
    /// The life of a token whose answer does not tell.
    pub default_life: Duration,
    /// How long a refresh token lives after it was handed out; `None`: not known.
    pub refresh_token_life: Option<Duration>,
    /// Where a refusal says what was wrong.
    pub error: Vec<Pointer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OldToken {
    /// Dead at once, or not known: after a refresh whose answer was lost, the access token in hand
    /// is not to be relied on.
    Dies,
    /// Good until its own end.
    Lives,
}

/// What the vendor allows at its token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls in one natural day; 0: no cap is known.
    pub per_day: u32,
    /// The offset from UTC at which the vendor's day begins, in seconds.
    pub day_offset: i32,
    /// The least time between two calls, where one is known.
    pub min_interval: Duration,
}

/// The members of the vendor's own failure envelope, so that our answers read like the vendor's.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub code: Option<String>,
    pub message: Option<String>,
}

// === impl Description ===

impl Description {
    /// Reads a description; what is wrong with it is added to the report.
    pub fn read(document: &Document, report: &mut Report) -> Option<Self> {
        let before = report.len();
        let raw: raw::Description = document.read(report)?;
        let description = Reader { document, report }.description(raw);
        description.filter(|_| report.len() == before)
    }

    /// The names that templates of requests may use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.credentials.iter().map(String::as_str).chain(ISSUED)
    }

    /// The description with the items that a config names turned off. Returns the first name that
    /// is not one of its items.
    pub fn without_items(&mut self, names: &[String]) -> Result<(), String> {
        for name in names {
            let before = self.inject.len();
            self.inject.retain(|item| !same_name(item.name(), name));
            if self.inject.len() == before {
                return Err(name.clone());
            }
        }
        Ok(())
    }
}

/// Turns the raw description into the typed one, noting every mistake.
struct Reader<'a> {
    document: &'a Document,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn description(&mut self, raw: raw::Description) -> Option<Description> {
        let credentials = raw.credentials.unwrap_or_default();
        let names: Vec<&str> = credentials.iter().map(String::as_str).chain(ISSUED).collect();

        let inject = self.inject(raw.inject.unwrap_or_default(), &names);
        let strip = self.strip(&raw.strip.unwrap_or_default());
        let refresh = raw.refresh.and_then(|call| self.call("refresh", call, &names));
        let mint = raw.mint.and_then(|call| self.call("mint", call, &names));
        if refresh.is_none() && mint.is_none() {
            let problem = "neither `refresh` nor `mint` says how a token is had";
            self.note(&[], problem);
        }
        let rules = self.rules(raw.reject.unwrap_or_default());
        let answer = self.required(&["answer"], raw.answer).and_then(|raw| self.answer(raw));
        if let Some(answer) = &answer {
            self.refuse_rules_that_match_success(&rules, answer);
        }
        let token_endpoints =
            self.patterns("token_endpoints", &raw.token_endpoints.unwrap_or_default());
        let never_resend = self.patterns("never_resend", &raw.never_resend.unwrap_or_default());
        let limits = self.limits(&raw.limits.unwrap_or_default());
        let envelope = raw.envelope.unwrap_or_default();
        let name = self.required(&["name"], raw.name);
        let base_url = self.required(&["base_url"], raw.base_url);

        Some(Description {
            name: name?,
            base_url: base_url?,
            inject,
            strip,
            refresh,
            mint,
            answer: answer?,
            rules,
            token_endpoints,
            never_resend,
            old_access_token: raw.old_access_token.unwrap_or(OldToken::Dies),
            limits: limits?,
            envelope: Envelope { code: envelope.code, message: envelope.message },
            credentials,
        })
    }

    fn inject(&mut self, raw: Vec<raw::Inject>, names: &[&str]) -> Vec<Inject> {
        let mut items = Vec::new();
        for (index, item) in raw.into_iter().enumerate() {
            let index = index.to_string();
            let at = |key| ["inject", index.as_str(), key];
            let place = match (item.header, item.query) {
                (Some(name), None) => HeaderName::try_from(name).map(Place::Header).ok(),
                (None, Some(name)) => Some(Place::Query(name)),
                _ => {
                    self.note(&["inject", &index], "an item has either `header` or `query`");
                    continue;
                }
            };
            let Some(place) = place else {
                self.note(&at("header"), "this is not a header name");
                continue;
            };
            let Some(value) = self.required(&at("value"), item.value) else {
                continue;
            };
            match Template::parse(&value, names) {
                Ok(value) => items.push(Inject { place, value }),
                Err(error) => self.note(&at("value"), error.to_string()),
            }
        }
        items
    }

    fn strip(&mut self, raw: &[String]) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            match HeaderName::try_from(text) {
                Ok(name) => names.push(name),
                Err(_) => self.note(&["strip", &index.to_string()], "this is not a header name"),
            }
        }
        names
    }

    fn call(&mut self, key: &str, raw: raw::Call, names: &[&str]) -> Option<Call> {
        let mut fields = BTreeMap::new();
        for (name, text) in raw.fields.unwrap_or_default() {
            match Template::parse(&text, names) {
                Ok(template) => {
                    fields.insert(name, template);
                }
                Err(error) => self.note(&[key, "fields", &name], error.to_string()),
            }
        }
        let path = self.required(&[key, "path"], raw.path)?;
        if !path.starts_with('/') || path.contains(['?', '#']) {
            self.note(&[key, "path"], "a path begins with `/` and has no query");
        }
        let method = raw.method.as_deref().unwrap_or("POST");
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            self.note(&[key, "method"], "this is not a method");
            return None;
        };
        let encoding = self.required(&[key, "encoding"], raw.encoding)?;
        Some(Call { method, path, encoding, fields })
    }

    fn answer(&mut self, raw: raw::Answer) -> Option<AnswerShape> {
        let success = match raw.success {
            None => None,
            Some(success) => {
                let pointer =
                    self.pointer(&["answer", "success", "pointer"], success.pointer.as_deref())?;
                let values = success.values.unwrap_or_default();
                let texts = values.iter().filter_map(scalar_text).collect::<Vec<_>>();
                if texts.is_empty() || texts.len() != values.len() {
                    let problem = "success needs the values that mean it: numbers or texts";
                    self.note(&["answer", "success", "in"], problem);
                }
                Some((pointer, texts))
            }
        };
        let mut optional = |key: &str, text: Option<String>| {
            text.and_then(|text| self.pointer(&["answer", key], Some(&text)))
        };
        let refresh_token = optional("refresh_token", raw.refresh_token);
        let expires_in = optional("expires_in", raw.expires_in);
        let error = raw.error.unwrap_or_default();
        let error = error
            .iter()
            .enumerate()
            .filter_map(|(i, text)| self.pointer(&["answer", "error", &i.to_string()], Some(text)))
            .collect();
        let access_token =
            self.pointer(&["answer", "access_token"], raw.access_token.as_deref())?;
        Some(AnswerShape {
            success,
            access_token,
            refresh_token,
            expires_in,
            default_life: raw.default_life.map_or(DEFAULT_LIFE, Duration::from),
            refresh_token_life: raw.refresh_token_life.map(Duration::from),
            error,
        })
    }

    fn rules(&mut self, raw: Vec<RawRule>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            match Rule::new(raw) {
                Ok(rule) => rules.push(rule),
                Err(error) => {
                    let path = ["reject", &index.to_string(), error.key()];
                    self.note(&path, error.to_string());
                }
            }
        }
        rules
    }

    fn refuse_rules_that_match_success(&mut self, rules: &[Rule], answer: &AnswerShape) {
        for (index, rule) in rules.iter().enumerate() {
            if answer.is_success_for(rule) {
                let problem = "this rule matches an answer that `answer.success` calls a success";
                self.note(&["reject", &index.to_string()], problem);
            }
        }
    }

    fn patterns(&mut self, key: &str, raw: &[String]) -> Vec<PathPattern> {
        let mut patterns = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            match PathPattern::new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.note(&[key, &index.to_string()], error.to_string()),
            }
        }
        patterns
    }

    fn limits(&mut self, raw: &raw::Limits) -> Option<Limits> {
        let day = raw.day_begins.as_deref().unwrap_or("+00:00");
        let Some(day_offset) = offset_seconds(day) else {
            self.note(&["limits", "day_begins"], "an offset from UTC is written `+08:00`");
            return None;
        };
        Some(Limits {
            per_day: raw.refreshes_per_day.unwrap_or(0),
            day_offset,
            min_interval: raw.min_interval.map_or(Duration::ZERO, Duration::from),
        })
    }

    fn pointer(&mut self, path: &[&str], text: Option<&str>) -> Option<Pointer> {
        let text = self.required(path, text)?;
        Pointer::parse(text).map_err(|error| self.note(path, error.to_string())).ok()
    }

    fn required<T>(&mut self, path: &[&str], value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.note(path, format!("`{}` is missing", path.join(".")));
        }
        value
    }

    fn note(&mut self, path: &[&str], message: impl Into<String>) {
        self.report.push(self.document.mistake(path, message));
    }
}

// === impl AnswerShape ===

impl AnswerShape {
    /// Whether a rule would fire on an answer that this shape calls a success: it would refresh and
    /// resend for ever.
    pub fn is_success_for(&self, rule: &Rule) -> bool {
        self.samples().iter().any(|body| rule.matches(http::StatusCode::OK, None, body))
    }

    /// Bodies that mean success by this shape, one for each success value.
    fn samples(&self) -> Vec<serde_json::Value> {
        let Some((pointer, values)) = &self.success else {
            return Vec::new();
        };
        let numbers = values.iter().map(|text| match text.parse::<i64>() {
            Ok(number) => serde_json::Value::from(number),
            Err(_) => serde_json::Value::from(text.as_str()),
        });
        numbers
            .map(|value| {
                let nested =
                    pointer.segments().into_iter().rev().fold(value, |inner, segment| {
                        serde_json::Value::from_iter([(segment, inner)])
                    });
                let mut body = nested;
                for word in ["msg", "message", "errmsg"] {
                    if let Some(members) = body.as_object_mut() {
                        members.entry(word).or_insert_with(|| "success".into());
                    }
                }
                body
            })
            .collect()
    }
}

/// `OGW_ACCESS_TOKEN`, `ogw-access-token` and `Ogw_Access_Token` are one name.
pub fn same_name(one: &str, other: &str) -> bool {
    let fold = |byte: u8| {
        if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
    };
    one.bytes().map(fold).eq(other.bytes().map(fold))
}

fn scalar_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `+08:00` in seconds.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let good = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    good.then_some(sign * (hours * 3600 + minutes * 60))
}

/// What a vendor hands out, beside the credentials that are configured.
const ISSUED: [&str; 2] = ["access_token", "refresh_token"];

/// The shortest life among the vendors that we know; a guess on the safe side.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
