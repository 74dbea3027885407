//! What tells that a web browser sent a request, and whether a page was behind it.
//!
//! Facts that the rules rest on, of the Fetch Metadata specification and of what Chromium does
//! (`tests/browser.rs` asks it):
//!
//! - `Origin` comes with each WebSocket handshake, each request by CORS, each POST. It does not come
//!   with a GET that needs no permission: `<img>`, `<script>`, a link, a form, `fetch` with `no-cors`.
//! - `Sec-Fetch-Site` comes with all of these but WebSocket handshakes, to trustworthy URLs: `https://`,
//!   and `http://` to `localhost` and loopback addresses. To another name or address over `http://` a
//!   browser sends no `Sec-Fetch-` field at all, and a page can switch `Referer` off. What is left then
//!   is `User-Agent` and `Accept-Language`.
//! - No page can change or leave out `Host`, `Origin` and `Sec-…`; nor, towards another origin,
//!   `User-Agent`. `Accept-Language` it can empty, but not leave out.
//! - A rebound name makes the page one of the same origin. Then it can set `User-Agent` in some
//!   browsers, and nothing tells its requests from a program's but `Host`.

use http::header::{HeaderMap, HeaderValue};

use super::Hosts;

/// Whose pages may ask.
///
/// `Sec-Fetch-Site: none` means that no page asked, but the user. That is less than it seems: a
/// link in a mail or a chat is opened by another program, so it is `none`; so is what such a link is
/// redirected to, which its target decides. `same-origin` proves as little: the vendor's answer may be a
/// page, which then asks as one of this origin, and a window that a page has opened asks for its icon.
/// So [`Pages::None`] refuses whatever bears `Sec-Fetch-Site`: no program sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Nobody's: no browser at all. For whatever spends a token or changes something.
    None,
    /// Our own, and people at their browsers. For reading what other pages cannot read.
    Own,
}

/// Why a request is none that may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It names another server.
    Host,
    /// A web browser sent it, perhaps for a page of another origin.
    Browser,
}

/// # Errors
/// Why it may not be answered.
pub fn judge(hosts: &Hosts, headers: &HeaderMap, pages: Pages) -> Result<(), Stranger> {
    let marks = Marks::of(headers);
    if !marks.names_one_of(hosts) {
        return Err(Stranger::Host);
    }
    let refused = marks.is_foreign(hosts)
        || match pages {
            Pages::None => marks.are_of_a_browser(),
            Pages::Own => false,
        };
    if refused { Err(Stranger::Browser) } else { Ok(()) }
}

/// What there is to look at, found with one pass over the header.
#[derive(Default)]
struct Marks<'a> {
    host: Field<'a>,
    origin: Field<'a>,
    referer: Field<'a>,
    site: Field<'a>,
    mode: Field<'a>,
    user_agent: Field<'a>,
    has_languages: bool,
    /// `Sec-Fetch-Dest`, `Sec-Fetch-User`, `Sec-Purpose`: never without `Sec-Fetch-Site`, as long as
    /// nobody takes that out.
    has_more_metadata: bool,
    is_preflight: bool,
}

/// A field, in none, one or more lines.
#[derive(Clone, Copy, Default)]
enum Field<'a> {
    #[default]
    Missing,
    Once(&'a HeaderValue),
    Again,
}

impl<'a> Marks<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut marks = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            // Most names are of another length, which is told at once.
            match name.len() {
                4 if name == "host" => marks.host.add(value),
                6 if name == "origin" => marks.origin.add(value),
                7 if name == "referer" => marks.referer.add(value),
                10 if name == "user-agent" => marks.user_agent.add(value),
                11 if name == "sec-purpose" => marks.has_more_metadata = true,
                14 => match name {
                    "sec-fetch-site" => marks.site.add(value),
                    "sec-fetch-mode" => marks.mode.add(value),
                    "sec-fetch-dest" | "sec-fetch-user" => marks.has_more_metadata = true,
                    _ => {}
                },
                15 if name == "accept-language" => marks.has_languages = true,
                23.. => marks.is_preflight |= name.starts_with("access-control-request-"),
                _ => {}
            }
        }
        marks
    }

    /// Programs of HTTP/1.0 send no `Host`; browsers always do.
    fn names_one_of(&self, hosts: &Hosts) -> bool {
        match self.host {
            Field::Missing => true,
            Field::Once(host) => host.to_str().is_ok_and(|host| hosts.knows(host)),
            Field::Again => false,
        }
    }

    /// Whether a page of another origin is behind it, or may be.
    fn is_foreign(&self, hosts: &Hosts) -> bool {
        let is_own_site = |site: &[u8]| matches!(site, b"same-origin" | b"none");
        self.is_preflight
            || self.origin.is_not(|origin| self.is_own_origin(origin))
            || self.site.is_not(is_own_site)
            // Programs send a `Referer` too, as the vendor wants it.
            || self.is_called_a_browser() && self.referer.is_not(|referer| is_within(referer, hosts))
    }

    /// Whether a browser sent it, whoever asked.
    fn are_of_a_browser(&self) -> bool {
        !matches!(self.site, Field::Missing)
            || self.has_more_metadata
            // Some programs say `cors`, as a library does that follows the specification half-way.
            || self.mode.is_not(|mode| !matches!(mode, b"navigate" | b"nested-navigate"))
            // To a name that is not trustworthy, or by an old browser. Some programs call themselves
            // Mozilla, but say no languages.
            || self.is_called_a_browser() && self.has_languages
    }

    /// The very address that was called. That alone proves nothing when a name was rebound, which
    /// the list of hosts is there for.
    fn is_own_origin(&self, origin: &[u8]) -> bool {
        let Field::Once(host) = self.host else { return false };
        origin.strip_prefix(b"http://").is_some_and(|it| it.eq_ignore_ascii_case(host.as_bytes()))
    }

    /// Safari loads what `<video>` and `<audio>` name under another name than its own.
    fn is_called_a_browser(&self) -> bool {
        let is_one =
            |agent: &[u8]| agent.starts_with(b"Mozilla/") || agent.starts_with(b"AppleCoreMedia/");
        self.user_agent.is_not(|agent| !is_one(agent))
    }
}

impl<'a> Field<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::Missing => Self::Once(value),
            Self::Once(_) | Self::Again => Self::Again,
        };
    }

    /// Whether it is there and not, once, as it should be.
    fn is_not(self, as_it_should_be: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::Missing => false,
            Self::Once(value) => !as_it_should_be(value.as_bytes()),
            Self::Again => true,
        }
    }
}

/// Whether a URL leads to one of these hosts.
fn is_within(url: &[u8], hosts: &Hosts) -> bool {
    let rest = url.strip_prefix(b"http://").or_else(|| url.strip_prefix(b"https://"));
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let authority = rest.and_then(|rest| rest.split(is_end).next());
    authority.is_some_and(|it| std::str::from_utf8(it).is_ok_and(|it| hosts.knows(it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (&str, &str) = ("host", "localhost:8081");
    const MOZILLA: (&str, &str) = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    const LANGUAGES: (&str, &str) = ("accept-language", "en");

    fn judged(fields: &[(&'static str, &str)], pages: Pages) -> Result<(), Stranger> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        judge(&Hosts::of(([127, 0, 0, 1], 8081).into()), &headers, pages)
    }

    #[test]
    fn p22_programs_are_let_in() {
        for fields in [
            vec![HOST],
            // HTTP/1.0.
            vec![],
            // WebSocket libraries send it.
            vec![HOST, ("origin", "http://localhost:8081")],
            vec![HOST, ("user-agent", "node"), LANGUAGES, ("sec-fetch-mode", "cors")],
            vec![HOST, ("user-agent", "Mozilla/5.0 (Windows NT; en-US) WindowsPowerShell/5.1")],
            vec![
                HOST,
                ("user-agent", "python-requests/2.31"),
                ("referer", "https://vendor.example/"),
            ],
            vec![HOST, MOZILLA, ("referer", "http://127.0.0.1:8081/x")],
            vec![HOST, ("sec-websocket-key", "x"), ("x-forwarded-host", "evil.example")],
        ] {
            assert_eq!(judged(&fields, Pages::None), Ok(()), "{fields:?}");
        }
    }

    #[test]
    fn p22_pages_of_other_origins_are_refused_everywhere() {
        for fields in [
            vec![("origin", "http://evil.example")],
            vec![("origin", "null")],
            vec![("origin", "")],
            vec![("origin", "localhost:8081")],
            vec![("origin", "https://localhost:8081")],
            vec![("origin", "http://localhost")],
            vec![("origin", "http://localhost:8082")],
            vec![("origin", "http://localhost:8081/")],
            vec![("origin", "http://localhost:8081 http://evil.example")],
            vec![("origin", "http://localhost:8081"), ("origin", "http://localhost:8081")],
            vec![("origin", "http://localhost:8081"), ("origin", "http://evil.example")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "Same-Origin")],
            vec![("sec-fetch-site", "")],
            vec![("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            vec![("access-control-request-method", "PUT")],
            vec![("access-control-request-private-network", "true")],
            vec![("origin", "http://localhost:8081"), ("access-control-request-headers", "x-a")],
            vec![MOZILLA, ("referer", "http://evil.example/")],
            vec![MOZILLA, ("referer", "http://localhost:8081@evil.example/")],
            vec![MOZILLA, ("referer", "about:client")],
            vec![MOZILLA, ("referer", "http://localhost/"), ("referer", "http://evil.example/")],
        ] {
            let fields = [&[HOST][..], &fields].concat();
            for pages in [Pages::None, Pages::Own] {
                assert_eq!(judged(&fields, pages), Err(Stranger::Browser), "{fields:?}");
            }
        }
    }

    #[test]
    fn p22_people_at_their_browsers_may_read_what_is_ours_and_call_nothing() {
        for fields in [
            vec![("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
            vec![("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-mode", "navigate")],
            vec![("sec-fetch-dest", "document")],
            vec![("sec-fetch-user", "?1")],
            vec![("sec-purpose", "prefetch")],
            // To a name that is not trustworthy.
            vec![MOZILLA, LANGUAGES],
            vec![MOZILLA, ("accept-language", "")],
            vec![("user-agent", "AppleCoreMedia/1.0.0.20F66 (Macintosh; U)"), LANGUAGES],
            vec![MOZILLA, LANGUAGES, ("referer", "http://localhost:8081/")],
        ] {
            let fields = [&[HOST][..], &fields].concat();
            assert_eq!(judged(&fields, Pages::None), Err(Stranger::Browser), "{fields:?}");
            assert_eq!(judged(&fields, Pages::Own), Ok(()), "{fields:?}");
        }
    }

    #[test]
    fn p22_the_host_is_said_once_and_is_ours() {
        let both = [HOST, ("host", "localhost:8081")];
        let foreign = [("host", "rebound.example:8081"), ("origin", "http://rebound.example:8081")];
        for fields in [&both[..], &foreign, &[("host", "")]] {
            for pages in [Pages::None, Pages::Own] {
                assert_eq!(judged(fields, pages), Err(Stranger::Host), "{fields:?}");
            }
        }
        // Without a host, there is no origin of its own.
        let origin = [("origin", "http://localhost:8081")];
        assert_eq!(judged(&origin, Pages::None), Err(Stranger::Browser));
    }
}
