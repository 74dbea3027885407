//! Path patterns, matched on a form of the path in which spelling does not matter.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A path in which `*` stands for any run of characters, `/` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path pattern begins with `/` or `*`, and has no `?`, `#`, `%` or `//`")]
pub struct PatternError;

impl PathPattern {
    /// # Errors
    /// When the text is not a path.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let odd = text.contains(['?', '#', '%', '\\']) || text.contains("//");
        if odd || !text.starts_with(['/', '*']) {
            return Err(PatternError);
        }
        Ok(Self { text: text.to_owned() })
    }

    /// Whether any spelling of `path` that a server might take for the same could be meant: for
    /// lists of what is forbidden. Letter case does not count.
    pub fn could_match(&self, path: &str) -> bool {
        let path = canonical(path);
        let matches =
            |pattern: &str| glob(pattern.as_bytes(), path.as_bytes(), u8::eq_ignore_ascii_case);
        matches(&self.text) || self.without_slash().is_some_and(matches)
    }

    /// Whether `path` matches both as it stands and in its canonical form: for lists of what is
    /// allowed.
    pub fn surely_matches(&self, path: &str) -> bool {
        self.matches(Certain::of(path).as_ref())
    }

    /// The same for a path that was looked at before; `None` is one of which nothing is certain.
    pub fn matches(&self, path: Option<&Certain<'_>>) -> bool {
        let matches = |pattern: &str, path: &str| glob(pattern.as_bytes(), path.as_bytes(), u8::eq);
        let Some(Certain { path, plain }) = path else { return self.text == "*" };
        let slash = self.without_slash().filter(|_| path.ends_with('/'));
        matches(&self.text, path)
            && (matches(&self.text, plain) || slash.is_some_and(|bare| matches(bare, plain)))
    }

    /// The same pattern for an API whose paths all begin with `base`. An allow-list below a base
    /// that has to be percent-encoded lets nothing pass.
    pub fn below(&self, base: &str) -> Self {
        if base.is_empty() || self.text.starts_with('*') {
            return self.clone();
        }
        Self { text: format!("{}{}", canonical(base), self.text) }
    }

    /// The pattern for the canonical form of paths that end with a slash, which has none.
    fn without_slash(&self) -> Option<&str> {
        self.text.strip_suffix("/*").or_else(|| self.text.strip_suffix('/'))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// What is beyond doubt in a path.
#[derive(Debug)]
pub struct Certain<'a> {
    path: &'a str,
    plain: Cow<'a, str>,
}

impl<'a> Certain<'a> {
    pub fn of(path: &'a str) -> Option<Self> {
        Some(Self { path, plain: canonical(path) })
    }

    pub fn as_str(&self) -> &str {
        &self.plain
    }
}

/// The path that most servers would act on: percent-decoded until nothing is left to decode,
/// backslashes turned, parameters (`;x`) cut, empty and dot segments resolved.
pub fn canonical(path: &str) -> Cow<'_, str> {
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    let mut decoded = path.to_owned();
    for _ in 0..MAX_DECODES {
        let next = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if next == decoded {
            break;
        }
        decoded = next;
    }
    // Servers that decode before they split would end the path here.
    let decoded = decoded.split(['?', '#', '\0']).next().unwrap_or_default();
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        let name = segment.split(';').next().unwrap_or_default().trim();
        match name {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(name),
        }
    }
    let mut plain = String::with_capacity(decoded.len() + 1);
    for segment in segments {
        plain.push('/');
        plain.push_str(segment);
    }
    if plain.is_empty() {
        plain.push('/');
    }
    Cow::Owned(plain)
}

/// True for nearly every real path, and then nothing is copied.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let trailing = bytes.len() > 1 && bytes.ends_with(b"/");
    let odd = memchr::memchr3(b'%', b';', b'\\', bytes).is_some();
    let segments = || bytes.windows(2).any(|pair| pair == b"//" || pair == b"/.");
    bytes.starts_with(b"/") && !trailing && !odd && !segments()
}

/// `*` matches any run of characters. Each star is settled once the next one is reached, so the
/// work is bounded by the lengths' product.
fn glob(pattern: &[u8], text: &[u8], same: fn(&u8, &u8) -> bool) -> bool {
    let alike = |one: &[u8], other: &[u8]| {
        one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
    };
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some((head, mut rest)) = text.split_at_checked(first.len()) else {
        return false;
    };
    if !alike(first, head) {
        return false;
    }
    let Some(mut piece) = pieces.next() else {
        return rest.is_empty();
    };
    for next in pieces {
        let found = (0..=rest.len().saturating_sub(piece.len()))
            .find(|at| rest.get(*at..*at + piece.len()).is_some_and(|part| alike(piece, part)));
        let Some(at) = found else { return false };
        rest = &rest[at + piece.len()..];
        piece = next;
    }
    rest.len() >= piece.len() && alike(piece, &rest[rest.len() - piece.len()..])
}

/// More rounds of encoding than any server undoes.
const MAX_DECODES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::new(text).expect("a good pattern")
    }

    #[test]
    fn p24_a_forbidden_path_is_found_in_every_spelling() {
        let token = pattern("/oauth2/token");
        for path in [
            "/oauth2/token",
            "/oauth2/token/",
            "//oauth2//token",
            "/oauth2/./token",
            "/x/../oauth2/token",
            "/oauth2/%74oken",
            "/oauth2/%2574oken",
            "/oauth2%2ftoken",
            "/OAuth2/Token",
            "/oauth2/token;jsessionid=1",
            "/oauth2;a=b/token",
            "\\oauth2\\token",
            "/oauth2/token/.",
            "/oauth2/token%3fx",
            "/oauth2/token%00",
            "/oauth2/token%20",
        ] {
            assert!(token.could_match(path), "{path}");
        }
        for path in ["/oauth2/tokens", "/oauth2", "/openapi/v1/oauth2/token", "/"] {
            assert!(!token.could_match(path), "{path}");
        }
    }

    #[test]
    fn p23_an_allowed_path_cannot_be_left_by_its_spelling() {
        let open = pattern("/openapi/v1/*");
        assert!(open.surely_matches("/openapi/v1/account/info"));
        for path in
            ["/openapi/v1/../v2/x", "/openapi/v1/%2e%2e/v2/x", "/openapi/v2/x", "//openapi/v1/x"]
        {
            assert!(!open.surely_matches(path), "{path}");
        }
    }

    #[test]
    fn p24_patterns_hold_below_a_base_path() {
        let token = pattern("/oauth2/token").below("/mock/v9");
        for path in ["/mock/v9/oauth2/token", "/mock/v9/../v9/oauth2/%74oken"] {
            assert!(token.could_match(path), "{path}");
        }
        assert!(!token.could_match("/oauth2/token"));
        let open = pattern("/openapi/*").below("/mock/v9");
        assert!(open.surely_matches("/mock/v9/openapi/x"));
        assert!(!open.surely_matches("/mock/v9/openapi/../../openapi/x"));
        assert!(pattern("*").below("/mock").surely_matches("/mock/x"));
        assert_eq!(pattern("/x").below(""), pattern("/x"));
    }

    #[test]
    fn p23_a_slash_at_the_end_is_matched_as_it_is_written() {
        assert!(pattern("/openapi/v1/*").surely_matches("/openapi/v1/"));
        assert!(!pattern("/openapi/v1/*").surely_matches("/openapi/v1"));
        assert!(!pattern("/openapi/v1/*").surely_matches("/openapi/v1/../"));
        assert!(pattern("/list/").surely_matches("/list/"));
        assert!(!pattern("/list/").surely_matches("/list"));
        for path in ["/charge/", "/charge", "//charge/."] {
            assert!(pattern("/charge/").could_match(path), "{path}");
        }
        assert!(!pattern("/charge/*").could_match("/charges"));
    }

    #[test]
    fn stars_stand_for_any_run() {
        for (text, path, expected) in [
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", true),
            ("/a/*/c", "/a/c", false),
            ("*", "/anything", true),
            ("/a*b*c", "/aXbYc", true),
            ("/a*b*c", "/aXcYb", false),
            ("/a", "/a/b", false),
            ("/a/*", "/a/", true),
        ] {
            let found = glob(text.as_bytes(), path.as_bytes(), u8::eq);
            assert_eq!(found, expected, "{text} on {path}");
        }
        assert!(PathPattern::new("no/slash").is_err() && PathPattern::new("/a?b").is_err());
    }
}
