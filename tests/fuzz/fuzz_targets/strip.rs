//! Headers and targets of callers, stripped: of what is injected or meant for this hop nothing is
//! left, however it is spelled, and everything else is, in its order.

#![no_main]

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use tokenward::headers::{NameSet, remove_hop_by_hop};
use tokenward::proxy::strip::Strip;
use tokenward::vendor::injection::{Inject, Place};
use tokenward::vendor::template::Template;

/// `-` and `_` are one, as are both cases.
const INJECTED: [&str; 3] = ["authorization", "acme_access_token", "x-key"];
const MORE: &str = "x-caller-key";
const IN_QUERY: &str = "access_token";
const PLACEHOLDER: &[u8] = b"tokenward-placeholder-not-a-";
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

fuzz_target!(|input: &[u8]| {
    // Lines of a header; the first is a target.
    let mut lines = input.split(|&byte| byte == b'\n');
    let target = lines.next().and_then(|line| PathAndQuery::try_from(line).ok());
    let fields: Vec<(HeaderName, HeaderValue)> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
        })
        .collect();
    let mut headers = HeaderMap::new();
    for (name, value) in &fields {
        headers.append(name.clone(), value.clone());
    }
    names(&headers);
    hop_by_hop(&headers);
    strip(&headers, target.as_ref());
    placeholders(&headers, target.as_ref());
});

fn names(headers: &HeaderMap) {
    let set = NameSet::new(INJECTED);
    let mut left = headers.clone();
    set.remove_from(&mut left);
    assert!(!left.keys().any(|name| set.contains(name.as_str())));
    assert_eq!(lines(&left), kept(headers, |name, _| !is_injected(name)));
}

fn hop_by_hop(headers: &HeaderMap) {
    let mut left = headers.clone();
    remove_hop_by_hop(&mut left);
    assert_eq!(lines(&left), kept(headers, |name, headers| !is_of_this_hop(name, headers)));
    let once = left.clone();
    remove_hop_by_hop(&mut left);
    assert_eq!(left, once);
}

fn strip(headers: &HeaderMap, target: Option<&PathAndQuery>) {
    let place = |name: &str| Place::Header(HeaderName::try_from(name).expect("a name"));
    let value = Template::parse("{access_token}", &["access_token"]).expect("a template");
    let places = INJECTED.map(place).into_iter().chain([Place::Query(IN_QUERY.to_owned())]);
    let inject: Vec<_> = places.map(|place| Inject { place, value: value.clone() }).collect();
    let strip = Strip::new(&inject, [MORE]);

    let mut left = headers.clone();
    strip.headers(&mut left);
    let is_ours = |name: &str| is_injected(name) || fold(name) == fold(MORE);
    let expected = kept(headers, |name, headers| !is_ours(name) && !is_of_this_hop(name, headers));
    let without_announcements = |lines: Vec<(String, Vec<u8>)>| -> Vec<_> {
        lines.into_iter().filter(|(name, _)| name != "trailer").collect()
    };
    assert_eq!(without_announcements(lines(&left)), without_announcements(expected));
    for list in left.get_all("trailer") {
        for name in list.as_bytes().split(|&byte| byte == b',') {
            let name = String::from_utf8_lossy(name.trim_ascii());
            assert!(!is_ours(&name), "announced: {name}");
        }
    }

    let Some(target) = target else { return };
    let stripped = strip.target(target);
    let left = stripped.as_ref().unwrap_or(target);
    assert_eq!(left.path(), target.path());
    let pairs = |query: Option<&str>| -> Vec<String> {
        query.into_iter().flat_map(|query| query.split('&')).map(str::to_owned).collect()
    };
    let mut expected = pairs(target.query());
    expected.retain(|pair| {
        fold(&decoded(pair.split('=').next().unwrap_or_default())) != fold(IN_QUERY)
    });
    assert_eq!(pairs(left.query()), expected);
}

/// What was handed out in place of a token goes wherever it is, and takes nothing else with it.
fn placeholders(headers: &HeaderMap, target: Option<&PathAndQuery>) {
    let strip = Strip::new(&[], []).and_placeholders();
    let mut left = headers.clone();
    strip.headers(&mut left);
    let holds = |bytes: &[u8]| bytes.windows(PLACEHOLDER.len()).any(|part| part == PLACEHOLDER);
    let mut expected = headers.clone();
    Strip::new(&[], []).headers(&mut expected);
    let expected =
        kept(&expected, |name, all| !all.get_all(name).iter().any(|value| holds(value.as_bytes())));
    assert_eq!(lines(&left), expected);

    let Some(target) = target else { return };
    let stripped = strip.target(target);
    let left = stripped.as_ref().unwrap_or(target);
    assert_eq!(left.path(), target.path());
    let pairs = |target: &PathAndQuery| -> Vec<String> {
        target.query().into_iter().flat_map(|query| query.split('&')).map(str::to_owned).collect()
    };
    let mut expected = pairs(target);
    expected.retain(|pair| !holds(decoded(pair).as_bytes()));
    assert_eq!(pairs(left), expected);
}

fn is_injected(name: &str) -> bool {
    INJECTED.iter().any(|injected| fold(injected) == fold(name))
}

fn is_of_this_hop(name: &str, headers: &HeaderMap) -> bool {
    if HOP_BY_HOP.iter().any(|known| fold(known) == fold(name)) {
        return true;
    }
    match name {
        "host" => false,
        // A coding overrides the length, which otherwise stays whatever is said of it.
        "content-length" => headers.contains_key("transfer-encoding"),
        _ => headers.get_all("connection").iter().any(|list| {
            let mut named = list.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            named.any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
        }),
    }
}

fn kept(headers: &HeaderMap, keep: impl Fn(&str, &HeaderMap) -> bool) -> Vec<(String, Vec<u8>)> {
    lines(headers).into_iter().filter(|(name, _)| keep(name, headers)).collect()
}

fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// Percent-decoding, in the plainest way.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code =
            text.get(at + 1..at + 3).filter(|code| bytes[at] == b'%' && !code.starts_with('+'));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
