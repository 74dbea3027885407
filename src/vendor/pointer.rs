//! JSON pointers (RFC 6901), checked when they are read.

use std::borrow::Cow;

use serde_json::Value;

use super::scan::{PointerError, Pointers};

/// A pointer to a member: `/data/access_token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// # Errors
    /// When the text is not a pointer to a member.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        Pointers::check(text)?;
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names along the way, unescaped.
    pub fn segments(&self) -> Vec<String> {
        let names = self.0.split('/').skip(1);
        names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
    }

    /// The scalar there as text; numbers and texts are alike.
    pub fn text_in<'a>(&self, answer: &'a Value) -> Option<Cow<'a, str>> {
        match answer.pointer(&self.0)? {
            Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_checked_and_taken_apart() {
        let pointer = Pointer::parse("/a~1b/c~0d").expect("a pointer");
        assert_eq!(pointer.segments(), ["a/b", "c~d"]);
        assert_eq!(Pointer::parse("code"), Err(PointerError::NoSlash));
        assert_eq!(Pointer::parse("/a~2"), Err(PointerError::BadEscape));
    }
}
