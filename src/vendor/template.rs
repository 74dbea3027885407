//! Texts with placeholders: `Bearer {access_token}`.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// A parsed template. Braces are written `{{` and `}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// The values of placeholders, by name.
pub type Values = BTreeMap<String, Secret>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{` without a closing `}}`")]
    Unclosed,
    #[error("`}}` without an opening `{{`; write `}}}}` for the character itself")]
    Unopened,
    #[error("unknown placeholder `{{{name}}}`; known here: {known}")]
    Unknown { name: String, known: String },
}

/// A placeholder that has no value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no value for `{{{0}}}`")]
pub struct Missing(pub String);

impl Template {
    /// # Errors
    /// When braces do not match, or a placeholder is not one of `known`.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(TemplateError::Unopened);
            }
            let (name, after) = rest.split_once('}').ok_or(TemplateError::Unclosed)?;
            if !known.contains(&name) {
                return Err(TemplateError::Unknown {
                    name: name.to_owned(),
                    known: known.join(", "),
                });
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Placeholder(name.to_owned()));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The text with every placeholder filled in.
    ///
    /// # Errors
    /// When `values` lacks one.
    pub fn render(&self, values: &Values) -> Result<Secret, Missing> {
        let mut used = Vec::new();
        for name in self.placeholders() {
            used.push(values.get(name).ok_or_else(|| Missing(name.to_owned()))?.clone());
        }
        let mut filled = used.iter();
        let texts: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(literal) => Some(literal.as_str()),
                Part::Placeholder(_) => filled.next().map(Secret::expose),
            })
            .collect();
        // As long as it will be: what a text outgrows is not zeroed.
        Ok(Secret::compound(texts.concat(), used))
    }

    /// The same with values that are no secrets.
    ///
    /// # Errors
    /// When `value` knows one of the names not.
    pub fn fill<'a>(&'a self, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, Missing> {
        let text_of = |part: &'a Part| match part {
            Part::Text(literal) => Ok(literal.as_str()),
            Part::Placeholder(name) => value(name).ok_or_else(|| Missing(name.clone())),
        };
        self.parts.iter().map(text_of).collect()
    }

    /// The placeholder that is the whole of the text.
    pub fn as_placeholder(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Placeholder(name)] => Some(name),
            _ => None,
        }
    }

    /// The names of the placeholders in it.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        [("access_token", "t0k"), ("app_id", "id")]
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .into()
    }

    #[test]
    fn placeholders_are_filled_in() {
        let known = ["access_token", "app_id"];
        for (text, expected) in [
            ("Bearer {access_token}", "Bearer t0k"),
            ("{app_id}:{access_token}", "id:t0k"),
            ("{{\"id\":\"{app_id}\"}}", "{\"id\":\"id\"}"),
            ("plain", "plain"),
            ("", ""),
        ] {
            let template = Template::parse(text, &known).expect(text);
            assert_eq!(template.render(&values()).expect(text).expose(), expected);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let parse = |text| Template::parse(text, &["access_token"]).map(|_| ());
        assert_eq!(parse("Bearer {access_token"), Err(TemplateError::Unclosed));
        assert_eq!(parse("a}b"), Err(TemplateError::Unopened));
        let unknown = parse("{acces_token}").expect_err("a misspelt placeholder");
        assert_eq!(
            unknown.to_string(),
            "unknown placeholder `{acces_token}`; known here: access_token"
        );
        let template = Template::parse("{refresh_token}", &["refresh_token"]).expect("known");
        assert_eq!(template.render(&values()).map(|_| ()), Err(Missing("refresh_token".into())));
    }
}
