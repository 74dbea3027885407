//! Puts a token into the target of a request. Into its header it comes when that is written.

use std::borrow::Cow;

use http::uri::PathAndQuery;

use crate::vendor::injection::Injection;

/// The target with the injected query pairs at its end; untouched when there are none. `None`: it
/// would be longer than a target can be.
pub fn target<'a>(
    target: &'a PathAndQuery,
    injection: &Injection,
) -> Option<Cow<'a, PathAndQuery>> {
    if injection.query.is_empty() {
        return Some(Cow::Borrowed(target));
    }
    let separator = match target.query() {
        None => "?",
        Some("") => "",
        Some(_) => "&",
    };
    let whole = injection.query.behind(target.as_str(), separator);
    PathAndQuery::from_maybe_shared(whole).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::vendor::injection::{Inject, Place};
    use crate::vendor::template::Template;

    fn query_injection() -> Injection {
        let value = Template::parse("{access_token}", &["access_token"]).expect("a template");
        let item = Inject { place: Place::Query("access_token".into()), value };
        let values = [("access_token".to_owned(), Secret::new("a/b"))].into();
        Injection::render(&[item], &values).expect("it renders")
    }

    #[test]
    fn p02_query_pairs_come_after_the_callers_own() {
        for (before, after) in [
            ("/cgi?x=1", "/cgi?x=1&access_token=a%2Fb"),
            ("/cgi", "/cgi?access_token=a%2Fb"),
            ("/cgi?", "/cgi?access_token=a%2Fb"),
            ("/cgi?x=%20&&", "/cgi?x=%20&&&access_token=a%2Fb"),
        ] {
            let path: PathAndQuery = before.parse().expect("a target");
            let made = target(&path, &query_injection()).expect("a target");
            assert_eq!(made.to_string(), after);
        }
    }

    #[test]
    fn p28_a_target_that_grows_too_long_is_not_sent_without_its_token() {
        let path: PathAndQuery = format!("/{}", "a".repeat(65_520)).parse().expect("a target");
        assert!(target(&path, &query_injection()).is_none());
    }

    #[test]
    fn p01_a_target_into_which_nothing_is_put_stays_as_it_is() {
        for text in ["/a//b/../c?x=%2f&&=", "/a?", "/", "*"] {
            let path: PathAndQuery = text.parse().expect("a target");
            let made = target(&path, &Injection::default()).expect("a target");
            assert_eq!(made.to_string(), text);
        }
    }
}
