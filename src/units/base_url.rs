//! The address of an API: `"https://api.example.com/v2"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use url::{Host, Position, Url};

use super::{UnitError, Written};

/// Scheme, host, port and path of an API, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    scheme: Scheme,
    authority: String,
    host: String,
    port: u16,
    prefix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl BaseUrl {
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and port as the `Host` header has them: without the port that the scheme implies.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Name or IP address to connect to; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path before every path of the API, without a `/` at its end; mostly empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same API by another name; `None` where the text is no name alone.
    pub fn called(&self, name: &str) -> Option<BaseUrl> {
        let Ok(Host::Domain(name)) = Host::parse(name) else {
            return None;
        };
        format!("{}://{name}:{}{}", self.scheme.as_str(), self.port, self.prefix).parse().ok()
    }
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl FromStr for BaseUrl {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<BaseUrl, UnitError> {
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => lacks_scheme(),
            url::ParseError::EmptyHost => not_a("the URL lacks its host"),
            url::ParseError::InvalidPort => not_a("the port is not a number from 0 to 65535"),
            _ => not_a("not a URL"),
        })?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            // `localhost:8080` is a URL with the scheme `localhost`.
            _ if !text.contains("://") => return Err(lacks_scheme()),
            _ => return Err(not_a("the scheme is neither https nor http")),
        };
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(not_a("the URL lacks its host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                not_a("a base URL holds no login").help("credentials have keys of their own")
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(not_a("a base URL ends with its path, before any ? or #"));
        }
        Ok(BaseUrl {
            scheme,
            authority: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            host: match host {
                Host::Ipv6(address) => address.to_string(),
                other => other.to_string(),
            },
            port,
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Written for BaseUrl {
    const EXPECTED: &'static str = "a URL such as \"https://api.example.com\"";
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BaseUrl, D::Error> {
        super::deserialize(deserializer)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority, self.prefix)
    }
}

fn lacks_scheme() -> UnitError {
    not_a("the URL lacks its scheme").help("it begins with https:// or http://")
}

fn not_a(problem: &'static str) -> UnitError {
    UnitError::new(problem, BaseUrl::EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_falls_into_its_parts() {
        for (text, authority, host, port, prefix) in [
            ("https://api.example.com", "api.example.com", "api.example.com", 443, ""),
            ("https://api.example.com:443/", "api.example.com", "api.example.com", 443, ""),
            ("HTTP://Api.Example.com:80/v2/", "api.example.com", "api.example.com", 80, "/v2"),
            ("http://127.0.0.1:9/a/b", "127.0.0.1:9", "127.0.0.1", 9, "/a/b"),
            ("https://[::1]:8443/x//", "[::1]:8443", "::1", 8443, "/x"),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            let parts = (url.authority(), url.host(), url.port(), url.prefix());
            assert_eq!(parts, (authority, host, port, prefix), "{text}");
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn a_base_url_keeps_its_port_and_path_under_another_name() {
        for (text, called) in [
            ("https://127.0.0.1/v2", "https://api.test/v2"),
            ("https://[::1]:8443", "https://api.test:8443"),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.called("API.test"), Some(called.parse().unwrap()), "{text}");
            for bad in ["", "10.0.0.1", "[::1]", "::1", "a:1", "u@a", "a/b", "https://a", "a b"] {
                assert_eq!(url.called(bad), None, "{bad}");
            }
        }
    }

    #[test]
    fn what_is_not_a_base_url_is_refused_with_the_reason() {
        for (text, problem) in [
            ("", "the URL lacks its scheme"),
            ("api.example.com", "the URL lacks its scheme"),
            ("localhost:8080", "the URL lacks its scheme"),
            ("/v2", "the URL lacks its scheme"),
            ("ftp://example.com", "the scheme is neither https nor http"),
            ("https://", "the URL lacks its host"),
            ("https://a:99999", "the port is not a number from 0 to 65535"),
            ("https://us er", "not a URL"),
            ("https://user:pw@example.com", "a base URL holds no login"),
            ("https://example.com?x=1", "a base URL ends with its path, before any ? or #"),
            ("https://example.com/#x", "a base URL ends with its path, before any ? or #"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().map_err(|e| e.problem), Err(problem), "{text}");
        }
    }
}
