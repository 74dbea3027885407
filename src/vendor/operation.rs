//! What an API may be asked for: a path pattern, and perhaps the one method that is meant.

use std::fmt;

use http::Method;

use super::path::{PathPattern, PatternError};

/// An entry of an allow-list: `GET /v1/account/*`, or without its method `/v1/account/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// `None`: any.
    pub method: Option<Method>,
    pub path: PathPattern,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    #[error(transparent)]
    Method(#[from] MethodError),
    #[error(transparent)]
    Path(#[from] PatternError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    #[error("this is not a method")]
    NotOne,
    /// Methods differ by letter case: it would let nothing pass.
    #[error("methods are written in capitals")]
    LowerCase,
}

impl Operation {
    /// # Errors
    /// When the text is not a path pattern, with or without a method and a space before it.
    pub fn parse(text: &str) -> Result<Self, OperationError> {
        let text = text.trim_matches(' ');
        let (name, path) = match text.split_once(' ') {
            Some((name, path)) if !text.starts_with(['/', '*']) => (Some(name), path),
            _ => (None, text),
        };
        let name = name.map(method).transpose()?;
        Ok(Self { method: name, path: PathPattern::new(path.trim_start_matches(' '))? })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Some(method) => write!(f, "{method} {}", self.path.as_str()),
            None => f.write_str(self.path.as_str()),
        }
    }
}

/// A method as an operator writes it.
///
/// # Errors
/// When it is none, or one that nobody sends.
pub fn method(text: &str) -> Result<Method, MethodError> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(MethodError::LowerCase);
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| MethodError::NotOne)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_an_entry_may_begin_with_a_method() {
        for (text, read) in [
            ("/v1/*", "/v1/*"),
            ("*", "*"),
            ("GET /v1/account/*", "GET /v1/account/*"),
            (" PROPFIND   * ", "PROPFIND *"),
        ] {
            let operation = Operation::parse(text).expect(text);
            assert_eq!(operation.to_string(), read);
        }
        for text in ["", "GET", "GET /a /b", "/a b", "GET,POST /a", "GET POST /a", "v1/x"] {
            let error = Operation::parse(text).expect_err(text);
            assert_ne!(error, OperationError::Method(MethodError::LowerCase), "{text}");
        }
        let lower = OperationError::Method(MethodError::LowerCase);
        assert_eq!(Operation::parse("get /v1/x"), Err(lower));
    }
}
