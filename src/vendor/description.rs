//! A vendor's API as data: where it is, what a request must carry, how a token is had and kept,
//! and how to tell that one is dead.

mod emulate;
mod raw;
mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::document::{Document, Report};
use crate::units::BaseUrl;

use super::emulation::TokenCall;
use super::injection::Inject;
use super::operation::Operation;
use super::path::PathPattern;
use super::pointer::Pointer;
use super::rules::Rule;
use super::template::Template;

/// Everything that the gateway knows of a vendor.
#[derive(Clone, Debug)]
pub struct Description {
    pub name: String,
    pub base_url: BaseUrl,
    /// The credentials that a config must give; the seed (`refresh_token`) is not among them.
    pub credentials: Vec<String>,
    /// The one among them that names the account: whoever has the same shares tokens and budget.
    pub account: Option<String>,
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
    /// Allow-lists by their names, for operators to choose from.
    pub presets: BTreeMap<String, Vec<Operation>>,
    /// What a refresh does to the access token before it.
    pub old_access_token: OldToken,
    pub limits: Limits,
    pub envelope: Envelope,
    /// Calls of the token endpoint that can be answered in the vendor's place.
    pub emulated: Vec<TokenCall>,
}

/// One call of the vendor's token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Seconds of life left to the refresh token, or its end, as with `expires_in`.
    pub refresh_expires_in: Option<Pointer>,
    /// How long a refresh token lives after it was handed out, where the answer does not tell; `None`:
    /// not known.
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
        let description = read::Reader { document, report }.description(raw);
        description.filter(|_| report.len() == before)
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

// === impl AnswerShape ===

impl AnswerShape {
    /// Whether an answer in JSON says that there is a token.
    pub fn is_success(&self, answer: &serde_json::Value) -> bool {
        match &self.success {
            Some((pointer, values)) => pointer
                .text_in(answer)
                .is_some_and(|found| values.iter().any(|value| *value == found)),
            None => self.access_token.text_in(answer).is_some(),
        }
    }

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

/// `ACCESS_TOKEN`, `access-token` and `Access_Token` are one name.
fn same_name(one: &str, other: &str) -> bool {
    let fold = |byte: u8| {
        if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
    };
    one.bytes().map(fold).eq(other.bytes().map(fold))
}

/// What a vendor hands out, beside the credentials that are configured.
const ISSUED: [&str; 2] = ["access_token", "refresh_token"];

#[cfg(test)]
mod tests;
