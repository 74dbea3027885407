//! Takes out of a request what must not travel on.

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue, TRAILER};
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use crate::headers::{NameSet, list, remove_hop_by_hop, retain};
use crate::vendor::emulation::holds_placeholder;
use crate::vendor::injection::{Inject, Place};

use super::kinds::Kinds;

/// What one upstream strips beside hop-by-hop fields: everything that is injected.
#[derive(Clone, Debug)]
pub struct Strip {
    headers: NameSet,
    query: NameSet,
    /// And whatever holds what was handed out in place of a token: the vendor must not take it for
    /// somebody's guess at one.
    placeholders: bool,
}

impl Strip {
    pub fn new<'a>(inject: &'a [Inject], more: impl IntoIterator<Item = &'a str>) -> Self {
        let headers = inject.iter().filter_map(|item| match &item.place {
            Place::Header(name) => Some(name.as_str()),
            Place::Query(_) => None,
        });
        let query = inject.iter().filter_map(|item| match &item.place {
            Place::Query(name) => Some(name.as_str()),
            Place::Header(_) => None,
        });
        let headers = NameSet::new(headers.chain(more));
        Self { headers, query: NameSet::new(query), placeholders: false }
    }

    /// Where callers have been given placeholders.
    pub fn and_placeholders(self) -> Self {
        Self { placeholders: true, ..self }
    }

    pub fn headers(&self, headers: &mut HeaderMap) {
        self.headers_of(Kinds::of(headers), headers);
    }

    /// The same for a header of which the kinds of fields are known.
    pub(super) fn headers_of(&self, kinds: Kinds, headers: &mut HeaderMap) {
        if kinds.of_this_hop {
            remove_hop_by_hop(headers);
        }
        self.headers.remove_from(headers);
        if self.placeholders {
            placeholders(headers);
        }
        if kinds.trailer {
            self.announced_trailers(headers);
        }
    }

    /// What may not come as a header may not come after the body either: hyper passes on only those
    /// trailers that are announced.
    fn announced_trailers(&self, headers: &mut HeaderMap) {
        let is_ours =
            |name: &&[u8]| std::str::from_utf8(name).is_ok_and(|name| self.headers.contains(name));
        if !list(headers, TRAILER).any(|name| is_ours(&name)) {
            return;
        }
        let kept: Vec<&[u8]> = list(headers, TRAILER).filter(|name| !is_ours(name)).collect();
        let kept = HeaderValue::from_bytes(&kept.join(&b", "[..]));
        match kept {
            // The first line's place is kept.
            Ok(kept) if !kept.is_empty() => drop(headers.insert(TRAILER, kept)),
            _ => retain(headers, |name| name != TRAILER),
        }
    }

    /// The target without the pairs whose place an injected one takes; the other bytes of the query
    /// stay as they are. `None`: there is nothing to take out.
    pub fn target(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        let query = target.query().filter(|_| self.placeholders || !self.query.is_empty())?;
        let is_ours = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            let plain = percent_decode_str(name).decode_utf8_lossy();
            let is_worthless = || holds_placeholder(&Cow::from(percent_decode_str(pair)));
            self.query.contains(&plain) || self.placeholders && is_worthless()
        };
        if !query.split('&').any(|pair| is_ours(&pair)) {
            return None;
        }
        let kept: Vec<&str> = query.split('&').filter(|pair| !is_ours(pair)).collect();
        let path = target.path();
        let stripped = if kept.is_empty() {
            PathAndQuery::try_from(path)
        } else {
            PathAndQuery::try_from(format!("{path}?{}", kept.join("&")))
        };
        stripped.ok()
    }
}

/// Takes out every field that holds a placeholder.
fn placeholders(headers: &mut HeaderMap) {
    let holding = headers.iter().filter(|(_, value)| holds_placeholder(value.as_bytes()));
    let names: Vec<HeaderName> = holding.map(|(name, _)| name.clone()).collect();
    if !names.is_empty() {
        retain(headers, |name| !names.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::template::Template;

    #[test]
    fn p02_the_callers_own_token_goes_from_the_query() {
        let value = Template::parse("{access_token}", &["access_token"]).expect("a template");
        let inject = [Inject { place: Place::Query("access_token".into()), value }];
        let strip = Strip::new(&inject, []);
        for (before, after) in [
            ("/x?access_token=mine&a=1", Some("/x?a=1")),
            ("/x?a=1&ACCESS%5FTOKEN=mine&&b", Some("/x?a=1&&b")),
            ("/x?access_token", Some("/x")),
            ("/x?Access-Token=mine&a=1", Some("/x?a=1")),
            ("/x?a=1&my_access_token=2", None),
            ("/x", None),
        ] {
            let target: PathAndQuery = before.parse().expect("a target");
            let stripped = strip.target(&target);
            assert_eq!(stripped.as_ref().map(PathAndQuery::as_str), after, "{before}");
        }
    }

    #[test]
    fn p24_placeholders_go_from_headers_and_query_where_callers_were_given_them() {
        let strip = Strip::new(&[], []);
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-b", HeaderValue::from_static("2"));
        let worthless = "Bearer tokenward-placeholder-not-a-token";
        headers.append("x-b", HeaderValue::from_static(worthless));
        headers.append("x-c", HeaderValue::from_static("tokenward-placeholder"));
        let target = "/x?a=1&t=tokenward%2Dplaceholder-not-a-token&tokenward-placeholder-not-a-x";
        let target: PathAndQuery = target.parse().expect("a target");

        let mut kept = headers.clone();
        strip.headers(&mut kept);
        assert_eq!((kept.len(), strip.target(&target)), (4, None));

        let strip = strip.and_placeholders();
        strip.headers(&mut headers);
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-a", "x-c"]);
        assert_eq!(strip.target(&target).as_ref().map(PathAndQuery::as_str), Some("/x?a=1"));
    }
}
