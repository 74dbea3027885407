//! Rules that hold for a request to either vendor: sound HTTP, and no header twice in any spelling.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::received::Received;

/// A request broke a rule; the text names it and holds no value of the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake(pub(super) String);

impl Mistake {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Checks the target's form, `Host`, and that no hop-by-hop header was left over.
pub(super) fn sound_http(received: &Received, host: Option<&str>) -> Result<(), Mistake> {
    if received.uri.authority().is_some() {
        return Err(Mistake::new("the target is in absolute form, which is for proxies"));
    }
    right_host(&received.headers, host)?;
    no_leftovers(&received.headers)?;
    if !received.body.complete {
        return Err(Mistake::new("the body broke off"));
    }
    Ok(())
}

/// The value of a header that may be there once: not twice, and not beside a look-alike, which
/// is the same name in another case or with `-` for `_`.
pub(super) fn at_most_once<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a str>, Mistake> {
    let mut found = headers.iter().filter(|(other, _)| look_alike(other, name));
    let Some((spelling, value)) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(Mistake::new(format!("header {name} is there twice, in whatever spelling")));
    }
    if spelling.as_str() != name {
        return Err(Mistake::new(format!("header {name} is spelt {spelling}")));
    }
    text(value, name).map(Some)
}

fn right_host(headers: &HeaderMap, expected: Option<&str>) -> Result<(), Mistake> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return Err(Mistake::new("no Host header"));
    };
    if hosts.next().is_some() {
        return Err(Mistake::new("Host is there twice"));
    }
    if expected.is_some_and(|expected| !host.as_bytes().eq_ignore_ascii_case(expected.as_bytes())) {
        return Err(Mistake::new("Host names somebody else"));
    }
    Ok(())
}

/// A hop-by-hop header is meant for one connection. `Connection` may speak of the connection to
/// us; what it names, and what only proxies and older clients send, must have gone.
fn no_leftovers(headers: &HeaderMap) -> Result<(), Mistake> {
    let mut named = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let options = text(value, "connection")?.split(',').map(str::trim);
        named.extend(options.filter(|option| !option.is_empty()).map(str::to_ascii_lowercase));
    }
    for option in &named {
        let ours = matches!(option.as_str(), "close" | "keep-alive" | "upgrade" | "te");
        if !ours && headers.contains_key(option) {
            return Err(Mistake::new(format!("Connection names {option}, and it is still there")));
        }
    }
    for leftover in ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate"]
    {
        if headers.contains_key(leftover) {
            return Err(Mistake::new(format!("hop-by-hop header {leftover} was left over")));
        }
    }
    for of_this_hop in ["upgrade", "te"] {
        if headers.contains_key(of_this_hop) && !named.iter().any(|name| name == of_this_hop) {
            return Err(Mistake::new(format!("{of_this_hop} without Connection naming it")));
        }
    }
    Ok(())
}

fn look_alike(other: &HeaderName, name: &str) -> bool {
    let plain = |byte: u8| {
        if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
    };
    other.as_str().bytes().map(plain).eq(name.bytes().map(plain))
}

fn text<'a>(value: &'a HeaderValue, name: &str) -> Result<&'a str, Mistake> {
    value.to_str().map_err(|_| Mistake::new(format!("header {name} is not plain text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_header_counts_once_whatever_its_spelling() {
        let once = headers(&[("access_token", "t"), ("x-access-token", "other")]);
        assert_eq!(at_most_once(&once, "access_token"), Ok(Some("t")));
        assert_eq!(at_most_once(&once, "app_id"), Ok(None));
        let twice = headers(&[("access_token", "t"), ("access-token", "stray")]);
        assert!(at_most_once(&twice, "access_token").is_err());
        let respelt = headers(&[("access-token", "t")]);
        assert!(at_most_once(&respelt, "access_token").is_err());
    }

    #[test]
    fn leftovers_of_another_hop_are_mistakes() {
        for lines in [
            &[("keep-alive", "timeout=5")][..],
            &[("proxy-connection", "keep-alive")],
            &[("proxy-authorization", "Basic eA==")],
            &[("te", "trailers")],
            &[("upgrade", "websocket")],
            &[("connection", "close, X-Mine"), ("x-mine", "1")],
        ] {
            assert!(no_leftovers(&headers(lines)).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn what_belongs_to_this_hop_is_none() {
        for lines in [
            &[("connection", "keep-alive")][..],
            &[("connection", "Upgrade"), ("upgrade", "websocket")],
            &[("connection", "TE"), ("te", "trailers")],
            &[("connection", "x-gone")],
            &[("transfer-encoding", "chunked")],
        ] {
            assert!(no_leftovers(&headers(lines)).is_ok(), "{lines:?}");
        }
    }

    #[test]
    fn host_is_there_once_and_right() {
        let one = headers(&[("host", "Vendor.example")]);
        assert!(right_host(&one, None).is_ok());
        assert!(right_host(&one, Some("vendor.example")).is_ok());
        assert!(right_host(&one, Some("other.example")).is_err());
        assert!(right_host(&headers(&[]), None).is_err());
        assert!(right_host(&headers(&[("host", "a"), ("host", "a")]), None).is_err());
    }
}
