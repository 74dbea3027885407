//! Who is a stranger, written a second time and in another way, for whatever header somebody makes
//! up: what [`judge`] says must be that, for every one.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use tokenward::browsers::{Hosts, Pages, Stranger, judge};

/// Reads lines as fields, where they are some.
pub fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Panics where the two differ.
pub fn check(headers: &HeaderMap) {
    let mut hosts = Hosts::of(([127, 0, 0, 1], 8081).into());
    hosts.extend(["Web", "tokenward.internal:8080"].map(|host| host.parse().expect("a host")));
    for pages in [Pages::None, Pages::Own] {
        let expected = verdict(headers, pages);
        assert_eq!(judge(&hosts, headers, pages), expected, "{pages:?} {headers:?}");
    }
}

fn verdict(headers: &HeaderMap, pages: Pages) -> Result<(), Stranger> {
    let mut fields: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for (name, value) in headers {
        fields.entry(name.as_str()).or_default().push(value.as_bytes());
    }
    let all = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let host = all("host");
    if host.len() > 1 || host.iter().any(|host| !is_known(host)) {
        return Err(Stranger::Host);
    }
    let only = |name: &str, good: &dyn Fn(&[u8]) -> bool| {
        let values = all(name);
        values.is_empty() || values.len() == 1 && good(values[0])
    };
    let own = host.first().map(|host| [b"http://", *host].concat().to_ascii_lowercase());
    let mozilla = !only("user-agent", &|agent| {
        let name = agent.split(|byte| *byte == b'/').next().unwrap_or_default();
        name == agent || ![&b"Mozilla"[..], b"AppleCoreMedia"].contains(&name)
    });
    let mut rules = vec![
        !fields.keys().any(|name| name.starts_with("access-control-request-")),
        only("origin", &|origin| {
            own.as_deref() == Some(&origin.to_ascii_lowercase()) && origin.starts_with(b"http://")
        }),
        only("sec-fetch-site", &|site| site == b"none" || site == b"same-origin"),
        !mozilla || only("referer", &|url| is_known(authority(url))),
    ];
    if pages == Pages::None {
        let metadata = ["sec-fetch-site", "sec-fetch-dest", "sec-fetch-user", "sec-purpose"];
        rules.extend(metadata.map(|name| !fields.contains_key(name)));
        rules.push(only("sec-fetch-mode", &|mode| {
            mode != b"navigate" && mode != b"nested-navigate"
        }));
        rules.push(!mozilla || !fields.contains_key("accept-language"));
    }
    if rules.contains(&false) { Err(Stranger::Browser) } else { Ok(()) }
}

/// Between the two slashes and whatever comes next; of another scheme, nothing.
fn authority(url: &[u8]) -> &[u8] {
    let rest = url.strip_prefix(b"http://").or(url.strip_prefix(b"https://")).unwrap_or_default();
    rest.split(|byte| b"/?#".contains(byte)).next().unwrap_or_default()
}

fn is_known(authority: &[u8]) -> bool {
    // Values of fields may hold more than the text that a host is.
    if !authority.iter().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let text = String::from_utf8_lossy(authority).to_lowercase();
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (text.as_str(), ""),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit())
        || port.trim_start_matches('0').len() > 5
        || port.parse::<u64>().is_ok_and(|port| port > 0xffff)
    {
        return false;
    }
    if let Some(inner) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        let loopback = [0, 0, 0, 0, 0, 0, 0, 1];
        let mapped = [0, 0, 0, 0, 0, 0xffff, 0x7f00, 1];
        return groups(inner).is_some_and(|it| it == loopback || it == mapped);
    }
    match name.strip_suffix('.').unwrap_or(name) {
        "localhost" | "127.0.0.1" | "web" => true,
        "tokenward.internal" => port.parse() == Ok(8080),
        _ => false,
    }
}

/// The eight numbers of an IPv6 address (RFC 4291, 2.2).
fn groups(text: &str) -> Option<[u16; 8]> {
    let (before, after) = match text.split_once("::") {
        Some((before, after)) => (numbers(before, false)?, Some(numbers(after, true)?)),
        None => (numbers(text, true)?, None),
    };
    // Two colons stand for one group of zeros at the least.
    let gap = 8_usize.checked_sub(before.len() + after.as_ref().map_or(0, Vec::len))?;
    if (gap == 0) != after.is_none() {
        return None;
    }
    let zeros = std::iter::repeat_n(0, gap);
    let all: Vec<u16> = before.into_iter().chain(zeros).chain(after.unwrap_or_default()).collect();
    all.try_into().ok()
}

/// Groups of hexadecimal digits; at the end of an address, the last two may be written as IPv4.
fn numbers(text: &str, at_end: bool) -> Option<Vec<u16>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut found = Vec::new();
    let mut groups = text.split(':').peekable();
    while let Some(group) = groups.next() {
        if at_end && groups.peek().is_none() && group.contains('.') {
            let bytes: Vec<u8> = group.split('.').map(byte).collect::<Option<_>>()?;
            let [a, b, c, d] = bytes[..] else { return None };
            found.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            continue;
        }
        if group.is_empty() || group.len() > 4 || !group.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        found.push(u16::from_str_radix(group, 16).ok()?);
    }
    Some(found)
}

fn byte(text: &str) -> Option<u8> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && text.bytes().all(|it| it.is_ascii_digit())).then(|| text.parse().ok())?
}
