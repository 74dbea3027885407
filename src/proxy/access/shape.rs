//! What of a target may be told: words, but neither identifiers nor values.
//!
//! Ids, names and now and then a key stand in paths. A segment stays if it looks like a word of an API's
//! author (`users`, `v1`, `accountInfo`), and is `*` if not. Of a query only the names are told, by the
//! same rule. A word that is somebody's name looks like any other.

use http::uri::PathAndQuery;

/// The shape of a target: `/v1/users/*?fields&page`.
pub(super) fn of(target: &PathAndQuery) -> String {
    let mut shape = of_path(target.path());
    if shape.ends_with('…') {
        return shape;
    }
    let Some(query) = target.query() else { return shape };
    let mut mark = '?';
    for pair in query.split('&') {
        // Without a `=` it may be a value.
        let name = pair.split_once('=').map_or("*", |(name, _)| word(name));
        shape.push(mark);
        shape.push_str(name);
        mark = '&';
        if shape.len() > LONGEST {
            shape.push('…');
            break;
        }
    }
    shape
}

/// The same of a path alone.
pub(super) fn of_path(path: &str) -> String {
    let mut shape = String::with_capacity(path.len().min(LONGEST));
    if path == "*" {
        return "*".to_owned();
    }
    for segment in path.split('/').skip(1) {
        shape.push('/');
        shape.push_str(word(segment));
        if shape.len() > LONGEST {
            shape.push('…');
            break;
        }
    }
    shape
}

fn word(text: &str) -> &str {
    if text.is_empty() || is_word(text.as_bytes()) { text } else { "*" }
}

/// Letters with hyphens, underscores and dots between them, and at most two digits, which are last in
/// their part: `v1`, `oauth2`, `user_info`, `list.json`. A mix of cases is taken for a word if its parts
/// are long enough: `accountInfo`, but not `aGVsbG8`.
fn is_word(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| matches!(byte, b'-' | b'_' | b'.'));
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    text.len() <= LONGEST_WORD && digits <= MOST_DIGITS && parts.all(is_part)
}

fn is_part(part: &[u8]) -> bool {
    let letters = part.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(part.len());
    let (letters, rest) = part.split_at(letters);
    if letters.is_empty() || !rest.iter().all(u8::is_ascii_digit) {
        return false;
    }
    // From small to large begins a word of its own.
    let is_hump = |[a, b]: &&[u8; 2]| a.is_ascii_lowercase() && b.is_ascii_uppercase();
    let humps = letters.array_windows().filter(is_hump).count();
    letters.len() >= SHORTEST_HUMP * humps && letters.len() <= LONGEST_PART
}

/// Of all that is told.
const LONGEST: usize = 256;
const LONGEST_WORD: usize = 40;
/// Words of one part are shorter, random letters longer.
const LONGEST_PART: usize = 24;
/// On average; the parts of random letters are shorter.
const SHORTEST_HUMP: usize = 4;
const MOST_DIGITS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(target: &str) -> String {
        of(&target.parse().expect("a target"))
    }

    #[test]
    fn p26_identifiers_and_values_are_not_told() {
        for (target, expected) in [
            ("/", "/"),
            ("*", "*"),
            ("/openapi/v1/account/info?account_id=1", "/openapi/v1/account/info?account_id"),
            ("/v1/users/42/", "/v1/users/*/"),
            ("/oauth2/accountInfo/list.json", "/oauth2/accountInfo/list.json"),
            ("/u/4f2a9c/0b", "/u/*/*"),
            ("/7d444840-9dc0-11d1-b245-5ffdce74fad2", "/*"),
            ("/a@b.example/x%20y/~me/a:b", "/*/*/*/*"),
            ("/aGVsbG8gd29ybGQ/eyJhbGciOiJIUzI1NiJ9", "/*/*"),
            ("/abcdefghijklmnopqrstuvwxyz", "/*"),
            ("/x?a=1&token=SECRET&b[]=2&&c", "/x?a&token&*&*&*"),
            ("/x?SECRETVALUE1234567890", "/x?*"),
            ("/x?", "/x?*"),
            ("//a//", "//a//"),
        ] {
            assert_eq!(shape(target), expected, "{target}");
        }
        let long = shape(&format!("/{}", "word/".repeat(4000)));
        assert!(long.len() <= LONGEST + 50 && long.ends_with('…'), "{long}");
    }
}
