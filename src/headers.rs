//! What is known of header fields: which end at the next hop, and which say how a body is framed.

use http::header::{self, HeaderMap, HeaderName};

/// Names to be taken out of a header, found with one pass over it.
#[derive(Clone, Debug)]
pub struct NameSet {
    /// Lower case, `_` for `-`: a server behind CGI rules would take the spellings for one.
    names: Vec<String>,
    /// A bit for each length that a name has, so that most names cost one test.
    lengths: u64,
}

impl NameSet {
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self { names: Vec::new(), lengths: 0 };
        for name in names {
            set.lengths |= 1 << name.len().min(63);
            set.names.push(name.bytes().map(|byte| char::from(fold(byte))).collect());
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.lengths & (1 << name.len().min(63)) != 0
            && self.names.iter().any(|known| known.bytes().eq(name.bytes().map(fold)))
    }

    /// Takes every field of these names out.
    pub fn remove_from(&self, headers: &mut HeaderMap) {
        retain(headers, |name| !self.contains(name.as_str()));
    }
}

/// Keeps these fields, in their order: `HeaderMap::remove` puts the last field into the gap.
pub fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    let Some(first) = headers.keys().position(|name| !keep(name)) else { return };
    if headers.keys().skip(first + 1).any(&keep) {
        retain_in_new_map(headers, keep);
        return;
    }
    // Behind the last one that stays there is no order to keep.
    while let Some(name) = headers.keys().nth(first).cloned() {
        headers.remove(name);
    }
}

fn retain_in_new_map(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    let all = std::mem::replace(headers, HeaderMap::with_capacity(headers.keys_len()));
    let mut last = None;
    for (name, value) in all {
        // A field that repeats the name before it comes without one.
        if let Some(name) = name {
            last = keep(&name).then_some(name);
        }
        if let Some(name) = &last {
            headers.append(name, value);
        }
    }
}

/// Takes out what is meant for this hop alone (RFC 9110, 7.6.1): the fields that `Connection`
/// names, and the known ones. `Trailer` stays: it announces what travels on.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(is_of_this_hop) {
        return;
    }
    let named: Vec<HeaderName> = connection_options(headers)
        .filter(|option| !matches!(*option, b"keep-alive" | b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !FRAMING.contains(name))
        .collect();
    // A coding overrides the length (RFC 9112, 6.3), which would cut the body once it stands alone.
    let coded = headers.contains_key(header::TRANSFER_ENCODING);
    retain(headers, |name| {
        let ends_here =
            is_of_this_hop(name) || named.contains(name) || coded && name == header::CONTENT_LENGTH;
        !ends_here
    });
}

/// What `Connection` lists: names of fields, and options such as `close`.
pub fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    list(headers, header::CONNECTION)
}

/// The members of a field that is a comma-separated list, in however many lines. What is no text
/// stands in its own member alone.
pub fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// Whether a body was put into a transfer coding that reading it does not undo. We ask for none, so
/// none may come (RFC 9112, 7).
pub fn has_unknown_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

/// Whether whoever sent these takes trailers after a body.
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    list(headers, header::TE).any(|one| one.eq_ignore_ascii_case(b"trailers"))
}

/// Whether a field ends at the next hop, whatever `Connection` says; `_` counts as `-`, as servers
/// behind CGI rules take it.
fn is_of_this_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    let known: &[&str] = match name.len() {
        2 => &["te"],
        7 => &["upgrade"],
        10 => &["connection", "keep-alive"],
        16 => &["proxy-connection"],
        17 => &["transfer-encoding"],
        18 => &["proxy-authenticate"],
        19 => &["proxy-authorization"],
        _ => return false,
    };
    let is_same = |(a, b): (u8, u8)| a == b || a == b'_' && b == b'-';
    known.iter().any(|known| name.bytes().zip(known.bytes()).all(is_same))
}

fn fold(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
}

/// What `Connection` must not take out, though it may try.
const FRAMING: [HeaderName; 2] = [header::CONTENT_LENGTH, header::HOST];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        map
    }

    fn names(map: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn p01_hop_by_hop_fields_and_what_connection_names_are_dropped() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("connection", "x-other, content-length"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("proxy-connection", "close"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("content-length", "3"),
            ("trailer", "x-sum"),
            ("accept", "a"),
            ("accept", "b"),
        ]);
        remove_hop_by_hop(&mut map);
        assert_eq!(names(&map), ["accept", "content-length", "trailer"]);
        assert_eq!(map.get_all("accept").iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn p01_fields_keep_their_order_when_others_are_dropped() {
        let mut map = headers(&[
            ("connection", "keep-alive"),
            ("a", "1"),
            ("te", "trailers"),
            ("b", "2"),
            ("a", "3"),
            ("c", "4"),
        ]);
        remove_hop_by_hop(&mut map);
        let left: Vec<_> =
            map.iter().map(|(n, v)| (n.as_str(), v.to_str().expect("text"))).collect();
        assert_eq!(left, [("a", "1"), ("a", "3"), ("b", "2"), ("c", "4")]);
    }

    #[test]
    fn p01_fields_that_end_a_head_go_and_the_others_stay() {
        let mut map = headers(&[
            ("a", "1"),
            ("b", "2"),
            ("connection", "keep-alive"),
            ("connection", "c"),
            ("keep-alive", "timeout=5"),
            ("c", "3"),
        ]);
        remove_hop_by_hop(&mut map);
        let left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["a", "b"]);
    }

    #[test]
    fn p01_a_length_that_transfer_encoding_overrides_goes_with_it() {
        let mut map = headers(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
        remove_hop_by_hop(&mut map);
        assert!(map.is_empty(), "{map:?}");
    }

    #[test]
    fn p02_names_are_found_in_any_case_and_with_dash_or_underscore() {
        let set = NameSet::new(["ACME_ACCESS_TOKEN", "Authorization"]);
        let mut map = headers(&[
            ("Acme_access_token", "1"),
            ("acme-access-token", "2"),
            ("acme-ACCESS_token", "3"),
            ("AUTHORIZATION", "4"),
            ("x-authorization", "5"),
            ("acme-access-tokens", "6"),
        ]);
        set.remove_from(&mut map);
        assert_eq!(names(&map), ["acme-access-tokens", "x-authorization"]);
    }
}
