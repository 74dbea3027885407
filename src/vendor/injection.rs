//! What is put into every request of one token: header values and query pairs, made once.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::secret::{Buffer, Secret};

use super::template::{Missing, Template, Values};

/// One thing that a vendor wants to see in each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inject {
    pub place: Place,
    pub value: Template,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Header(HeaderName),
    /// The name of a query parameter.
    Query(String),
}

/// The injected items of one token, ready to be copied into requests. Header values are marked
/// sensitive: they are not shown by `Debug` and not put into HPACK tables. Requests share their memory,
/// which is zeroed when the last of them has gone.
#[derive(Debug, Default)]
pub struct Injection {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `name=value` pairs, percent-encoded and joined by `&`; empty when there are none.
    pub query: QueryText,
}

/// A piece of a query that holds a token.
#[derive(Default)]
pub struct QueryText {
    text: Buffer,
    /// What stands in it; it is looked for in the log as long as this lives.
    parts: Vec<Secret>,
}

#[derive(Debug, thiserror::Error)]
pub enum InjectionError {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("the value for {0} has characters that no header can carry")]
    NotAHeaderValue(HeaderName),
}

// === impl Inject ===

impl Inject {
    /// The header's or parameter's name, by which a config turns it off.
    pub fn name(&self) -> &str {
        match &self.place {
            Place::Header(name) => name.as_str(),
            Place::Query(name) => name,
        }
    }
}

// === impl Injection ===

impl Injection {
    /// # Errors
    /// When a value is missing, or cannot stand in a header.
    pub fn render(items: &[Inject], values: &Values) -> Result<Self, InjectionError> {
        let mut made = Self::default();
        for item in items {
            let text = item.value.render(values)?;
            match &item.place {
                Place::Header(name) => {
                    let mut value = HeaderValue::from_maybe_shared(text.to_bytes())
                        .map_err(|_| InjectionError::NotAHeaderValue(name.clone()))?;
                    value.set_sensitive(true);
                    // Of several for one name the last counts.
                    made.headers.retain(|(known, _)| known != name);
                    made.headers.push((name.clone(), value));
                }
                Place::Query(name) => made.query.push(name, text),
            }
        }
        Ok(made)
    }
}

// === impl QueryText ===

impl QueryText {
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A target with the pairs behind it, in memory that is zeroed with the last request that has it.
    pub fn behind(&self, target: &str, separator: &str) -> Bytes {
        let length = target.len() + separator.len() + self.text.len();
        let mut whole = Buffer::with_capacity(length);
        for part in [target.as_bytes(), separator.as_bytes(), &self.text] {
            whole.push(part);
        }
        whole.into_bytes()
    }

    fn push(&mut self, name: &str, value: Secret) {
        let separator = if self.is_empty() { "" } else { "&" };
        let name = utf8_percent_encode(name, UNRESERVED);
        let text = utf8_percent_encode(value.expose(), UNRESERVED);
        write!(self.text, "{separator}{name}={text}").expect("memory takes everything");
        self.parts.push(value);
    }
}

impl std::fmt::Debug for QueryText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QueryText(***)")
    }
}

/// RFC 3986: what need not be encoded anywhere in a URI.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn item(place: Place, value: &str) -> Inject {
        let value = Template::parse(value, &["access_token"]).expect("a good template");
        Inject { place, value }
    }

    fn token(text: &str) -> Values {
        [("access_token".to_owned(), Secret::new(text))].into()
    }

    #[test]
    fn p02_values_are_made_ready_and_marked_sensitive() {
        let items = [
            item(Place::Header(HeaderName::from_static("authorization")), "Bearer {access_token}"),
            item(Place::Query("access_token".into()), "{access_token}"),
            item(Place::Query("v".into()), "1"),
        ];
        let made = Injection::render(&items, &token("a+b/c=")).expect("it renders");
        assert_eq!(made.headers[0].1, "Bearer a+b/c=");
        assert!(made.headers[0].1.is_sensitive());
        assert_eq!(made.query.behind("/x", "?"), "/x?access_token=a%2Bb%2Fc%3D&v=1");
        assert!(!format!("{made:?}").contains("a+b"), "{made:?}");
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        let items = [item(Place::Header(HeaderName::from_static("x")), "{access_token}")];
        let error = Injection::render(&items, &token("a\r\nb")).expect_err("a line break");
        assert!(!error.to_string().contains("a\r\nb"));
    }
}
