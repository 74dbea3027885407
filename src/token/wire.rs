//! What is said to a token endpoint and what its answers mean: pure, without a network.

mod body;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::secret::{Buffer, Secret};
use crate::vendor::description::{AnswerShape, Call, Encoding};
use crate::vendor::pointer::Pointer;
use crate::vendor::template::{Missing, Values};

/// One request to a token endpoint.
#[derive(Debug)]
pub struct TokenRequest {
    pub method: Method,
    /// Appended to the base URL.
    pub path: String,
    pub encoding: Encoding,
    pub fields: BTreeMap<String, Secret>,
}

/// A request's fields as they are sent.
#[derive(Debug)]
pub enum Written {
    /// The content type, and the body.
    Body(String, Buffer),
    /// Behind the path, without a `?`.
    Query(Buffer),
}

/// What a token endpoint gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub struct Grant {
    pub access_token: Secret,
    /// `None`: the one that was presented stays good.
    pub refresh_token: Option<Secret>,
    pub expires_at: SystemTime,
    /// Of the refresh token, where that is known.
    pub refresh_expires_at: Option<SystemTime>,
}

/// Why it gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(test, derive(Hash))]
pub enum Denied {
    /// The vendor understood and said no: asking again with the same will not help.
    #[error("the vendor refused: {0}")]
    Refused(String),
    /// Nothing was sent: no connection could be had.
    #[error("{0}")]
    NotSent(String),
    /// No answer, or one that says that the vendor is in trouble: asking again may help. The vendor
    /// may have acted all the same.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that does not fit the description.
    #[error("the vendor's answer cannot be understood: {0}")]
    Malformed(String),
}

/// An answer's JSON. Its texts are zeroed when it is dropped.
struct Answer(Value);

/// Fills in a call.
///
/// # Errors
/// When a credential that the call names is not configured.
pub fn request(call: &Call, values: &Values) -> Result<TokenRequest, Missing> {
    let fields = call
        .fields
        .iter()
        .map(|(name, template)| Ok((name.clone(), template.render(values)?)))
        .collect::<Result<_, Missing>>()?;
    Ok(TokenRequest {
        method: call.method.clone(),
        path: call.path.clone(),
        encoding: call.encoding,
        fields,
    })
}

/// Reads an answer that arrived at `now`. Texts of the vendor's that end up in the error are cut
/// short and rid of every secret in `said`.
///
/// # Errors
/// When it holds no token.
pub fn read(
    shape: &AnswerShape,
    status: StatusCode,
    body: &[u8],
    now: SystemTime,
    said: &TokenRequest,
) -> Result<Grant, Denied> {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Denied::Unreachable(format!("the token endpoint answered HTTP {status}")));
    }
    // A byte order mark, or a message that is no UTF-8, must not cost a new refresh token.
    let text = Zeroizing::new(String::from_utf8_lossy(body).into_owned());
    let Ok(answer) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) else {
        let size = body.len();
        return Err(Denied::Malformed(format!("HTTP {status} with {size} bytes that are no JSON")));
    };
    let answer = Answer(answer);
    if !shape.is_success(&answer.0) || status.is_client_error() {
        return Err(refusal(shape, status, &answer, said));
    }
    let Some(access_token) = secret_at(&answer, &shape.access_token) else {
        let place = shape.access_token.as_str();
        return Err(Denied::Malformed(format!("a success without an access token at {place}")));
    };
    Ok(Grant {
        access_token,
        refresh_token: shape.refresh_token.as_ref().and_then(|at| secret_at(&answer, at)),
        expires_at: expiry(shape, &answer, now),
        refresh_expires_at: refresh_expiry(shape, &answer, now),
    })
}

fn refusal(
    shape: &AnswerShape,
    status: StatusCode,
    answer: &Answer,
    said: &TokenRequest,
) -> Denied {
    let told = shape.error.iter().filter_map(|pointer| pointer.text_in(&answer.0));
    let told: Zeroizing<Vec<String>> = Zeroizing::new(told.map(Cow::into_owned).collect());
    if told.is_empty() {
        return Denied::Malformed(format!("HTTP {status} and JSON without a code or a message"));
    }
    let mut text = without_secrets(&Zeroizing::new(told.join(", ")), said);
    if let Some((cut, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
        text.truncate(cut);
        text.push('…');
    }
    Denied::Refused(format!("HTTP {status}, {text}"))
}

fn without_secrets(told: &str, said: &TokenRequest) -> String {
    let mut text = Zeroizing::new(told.to_owned());
    let fields = said.fields.values().map(Secret::expose);
    let mut secrets: Vec<_> = fields.filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
    // The longest first: one may begin with another.
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    for secret in &secrets {
        text = Zeroizing::new(text.replace(secret, "***"));
    }
    let decoded = percent_decode_str(&text).decode_utf8_lossy();
    if secrets.iter().any(|secret| decoded.contains(secret)) {
        return "with a message that repeats a credential".to_owned();
    }
    std::mem::take(&mut text)
}

impl Drop for Answer {
    fn drop(&mut self) {
        zero(&mut self.0);
    }
}

fn zero(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(zero),
        Value::Object(members) => members.values_mut().for_each(zero),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// When a granted token ends. A life that cannot be understood is no reason to throw away the pair
/// that it came with: the refresh token before it may be spent.
fn expiry(shape: &AnswerShape, answer: &Answer, now: SystemTime) -> SystemTime {
    let told = shape.expires_in.as_ref().and_then(|pointer| pointer.text_in(&answer.0));
    told.and_then(|text| end_of_life(&text, now)).unwrap_or_else(|| now + shape.default_life)
}

fn refresh_expiry(shape: &AnswerShape, answer: &Answer, now: SystemTime) -> Option<SystemTime> {
    let told = shape.refresh_expires_in.as_ref().and_then(|pointer| pointer.text_in(&answer.0));
    let told = told.and_then(|text| end_of_life(&text, now));
    told.or_else(|| now.checked_add(shape.refresh_token_life?))
}

/// `expires_in` as both vendors' kind of API use it: seconds left, or an epoch when it is too large
/// to be a life.
fn end_of_life(text: &str, now: SystemTime) -> Option<SystemTime> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    let since = |start: SystemTime, seconds: f64| {
        Duration::try_from_secs_f64(seconds).ok().and_then(|time| start.checked_add(time))
    };
    let end = if number > SMALLEST_EPOCH_MILLIS {
        since(SystemTime::UNIX_EPOCH, number / 1000.0)
    } else if number > SMALLEST_EPOCH {
        since(SystemTime::UNIX_EPOCH, number)
    } else {
        since(now, number)
    };
    end.filter(|end| *end > now && *end < now + LONGEST_LIFE)
}

fn secret_at(answer: &Answer, pointer: &Pointer) -> Option<Secret> {
    let text = answer.0.pointer(pointer.as_str())?.as_str()?;
    (!text.is_empty()).then(|| Secret::new(text))
}

/// Above this many seconds a number is a date (2001), not a life (31 years).
const SMALLEST_EPOCH: f64 = 1e9;
/// Above this it can only be a date in milliseconds.
const SMALLEST_EPOCH_MILLIS: f64 = 1e12;
/// A token that lives longer is a mistake of unit.
const LONGEST_LIFE: Duration = Duration::from_secs(50 * 365 * 86_400);
/// Shorter values are replaced nowhere: they would blot out ordinary words.
const SHORTEST_SECRET: usize = 6;
/// Characters of a vendor's message that are repeated in logs.
const LONGEST_MESSAGE: usize = 200;

#[cfg(test)]
mod tests;
