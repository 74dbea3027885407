//! What is answered in place of a vendor's token endpoint: the vendor's own form, with nothing of
//! worth in it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::{Map, Number, Value};

use super::description::AnswerShape;
use super::template::{Template, TemplateError};

/// A call of the token endpoint that is answered here.
#[derive(Clone, Debug)]
pub struct TokenCall {
    pub method: Method,
    /// As it stands in a request, with the base path before it.
    pub path: String,
    pub answer: Form,
    /// What is promised of the placeholder while no token is in hand.
    pub default_life: Duration,
}

/// An answer in JSON in which some texts are filled in.
#[derive(Clone, Debug)]
pub struct Form(Node);

/// What differs from one answer to the next.
#[derive(Clone, Debug)]
pub struct Filling {
    pub expires_in: Duration,
    pub now: SystemTime,
    pub request_id: String,
}

/// The values of placeholders, by name. None is a secret.
type Texts = BTreeMap<&'static str, String>;

#[derive(Clone, Debug)]
enum Node {
    Fixed(Value),
    Text(Template),
    Number(Quantity),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// A placeholder that is a number in JSON, where it is the whole of a text.
#[derive(Clone, Copy, Debug)]
enum Quantity {
    ExpiresIn,
    ExpiresAt,
    NowSeconds,
    NowMillis,
}

/// Why no answer can be made of this, and where: keys, and numbers for the elements of lists.
#[derive(Debug, PartialEq, Eq)]
pub struct FormError {
    pub path: Vec<String>,
    pub message: String,
}

/// Why a caller could make nothing of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    #[error("`answer.success` does not call this a success")]
    NoSuccess,
    #[error("where `answer.access_token` points there is no `{{access_token}}`")]
    NoToken,
    #[error("where `answer.expires_in` points there is no number: write \"{{expires_in}}\"")]
    NoLife,
}

// === impl TokenCall ===

impl TokenCall {
    /// The same call for an API whose paths all begin with `base`.
    pub fn below(self, base: &str) -> Self {
        Self { path: format!("{base}{}", self.path), ..self }
    }

    /// Whether a request is this call and can be no other. A path counts to the byte: this is the
    /// one that the vendor would take for its token endpoint, since the gateway itself uses it.
    pub fn is(&self, method: &Method, path: &str) -> bool {
        let same_method =
            *method == self.method || (*method == Method::HEAD && self.method == Method::GET);
        same_method && path == self.path
    }
}

// === impl Form ===

impl Form {
    /// # Errors
    /// Every text in it that is no template.
    pub fn new(body: Map<String, Value>) -> Result<Self, Vec<FormError>> {
        let mut errors = Vec::new();
        let form = Node::new(Value::Object(body), &mut Vec::new(), &mut errors);
        if errors.is_empty() { Ok(Self(form)) } else { Err(errors) }
    }

    pub fn fill(&self, filling: &Filling) -> Value {
        self.0.fill(&filling.texts(), filling)
    }

    /// Whether whoever reads it as the description says finds a token in it.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, shape: &AnswerShape) -> Result<(), Useless> {
        let filling = Filling {
            expires_in: Duration::from_secs(7200),
            now: SystemTime::UNIX_EPOCH,
            request_id: String::new(),
        };
        let answer = self.fill(&filling);
        if !shape.is_success(&answer) {
            return Err(Useless::NoSuccess);
        }
        let token = shape.access_token.text_in(&answer);
        if !token.is_some_and(|token| token.contains(ACCESS_TOKEN)) {
            return Err(Useless::NoToken);
        }
        let Some(at) = &shape.expires_in else { return Ok(()) };
        let told = at.text_in(&answer).and_then(|text| text.parse::<f64>().ok());
        told.filter(|number| *number > 0.0).map(drop).ok_or(Useless::NoLife)
    }
}

// === impl Filling ===

impl Filling {
    fn number(&self, quantity: Quantity) -> Number {
        let since_1970 = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match quantity {
            Quantity::ExpiresIn => self.expires_in.as_secs().into(),
            Quantity::ExpiresAt => since_1970.saturating_add(self.expires_in).as_secs().into(),
            Quantity::NowSeconds => since_1970.as_secs().into(),
            Quantity::NowMillis => u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX).into(),
        }
    }

    fn texts(&self) -> Texts {
        let quantities = Quantity::ALL.map(|(name, which)| (name, self.number(which).to_string()));
        let texts = [
            ("access_token", ACCESS_TOKEN.to_owned()),
            ("refresh_token", REFRESH_TOKEN.to_owned()),
            ("request_id", self.request_id.clone()),
        ];
        texts.into_iter().chain(quantities).collect()
    }
}

// === impl Node ===

impl Node {
    fn new(value: Value, path: &mut Vec<String>, errors: &mut Vec<FormError>) -> Self {
        let mut inside = |key: String, value, path: &mut Vec<String>| {
            path.push(key);
            let node = Self::new(value, path, errors);
            path.pop();
            node
        };
        match value {
            Value::Object(members) => {
                let members = members.into_iter();
                let nodes = members.map(|(key, value)| (key.clone(), inside(key, value, path)));
                Self::Object(nodes.collect())
            }
            Value::Array(items) => {
                let items = items.into_iter().enumerate();
                Self::List(items.map(|(at, item)| inside(at.to_string(), item, path)).collect())
            }
            Value::String(text) => match Self::of_text(&text) {
                Ok(node) => node,
                Err(error) => {
                    errors.push(FormError { path: path.clone(), message: error.to_string() });
                    Self::Fixed(Value::Null)
                }
            },
            // TOML has no null, but numbers that JSON has not.
            Value::Null => {
                let message = "JSON has no such number".to_owned();
                errors.push(FormError { path: path.clone(), message });
                Self::Fixed(Value::Null)
            }
            fixed => Self::Fixed(fixed),
        }
    }

    fn of_text(text: &str) -> Result<Self, TemplateError> {
        let template = Template::parse(text, &KNOWN)?;
        let whole = template.as_placeholder();
        let quantity = Quantity::ALL.into_iter().find(|(name, _)| Some(*name) == whole);
        Ok(quantity.map_or(Self::Text(template), |(_, quantity)| Self::Number(quantity)))
    }

    fn fill(&self, texts: &Texts, filling: &Filling) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            // All that a template may name is among the texts.
            Self::Text(template) => {
                let value = |name: &str| texts.get(name).map(String::as_str);
                template.fill(value).map_or(Value::Null, Value::from)
            }
            Self::Number(quantity) => Value::Number(filling.number(*quantity)),
            Self::List(nodes) => nodes.iter().map(|node| node.fill(texts, filling)).collect(),
            Self::Object(members) => {
                let members = members.iter();
                members.map(|(key, node)| (key.clone(), node.fill(texts, filling))).collect()
            }
        }
    }
}

// === impl Quantity ===

impl Quantity {
    const ALL: [(&'static str, Self); 4] = [
        ("expires_in", Self::ExpiresIn),
        ("expires_at", Self::ExpiresAt),
        ("now_seconds", Self::NowSeconds),
        ("now_millis", Self::NowMillis),
    ];
}

/// Whether a text holds what was handed out in place of a token.
pub fn holds_placeholder(text: &[u8]) -> bool {
    memchr::memmem::find(text, PLACEHOLDER.as_bytes()).is_some()
}

const KNOWN: [&str; 7] = [
    "access_token",
    "refresh_token",
    "request_id",
    "expires_in",
    "expires_at",
    "now_seconds",
    "now_millis",
];

/// What both have in common: it opens nothing, and says so to whoever finds it somewhere.
const PLACEHOLDER: &str = "tokenward-placeholder-not-a-";
pub const ACCESS_TOKEN: &str = "tokenward-placeholder-not-a-token";
pub const REFRESH_TOKEN: &str = "tokenward-placeholder-not-a-refresh-token";

#[cfg(test)]
mod tests;
