//! Who may call what: checked before a byte leaves.

pub mod allow;
mod overrides;

use http::{HeaderMap, Method};
use prometheus::IntCounter;

use crate::browsers::{self, Hosts, Pages, Stranger};
use crate::telemetry::metrics::Metrics;
use crate::vendor::emulation::TokenCall;
use crate::vendor::path::PathPattern;

use allow::{AllowList, Unlisted};
use overrides::Overrides;

/// What one upstream allows.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// By which the gateway may be called.
    pub hosts: Hosts,
    pub allowed: AllowList,
    /// The vendor's own token endpoints: closed.
    pub token_endpoints: Vec<PathPattern>,
    /// The calls among them that are answered in the vendor's place.
    pub emulated: Vec<TokenCall>,
}

/// What becomes of a request that is admitted.
#[derive(Clone, Copy, Debug)]
pub enum Admission<'a> {
    ToVendor,
    Emulate(&'a TokenCall),
}

/// One upstream's guard.
#[derive(Clone, Debug)]
pub struct Guard {
    config: Config,
    overrides: Overrides,
    refused: Vec<(Refusal, IntCounter)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the Host of this request is not a name of this gateway (guard.allowed_hosts adds one): \
         a web page may have rebound its name to this address"
    )]
    Host,
    #[error(
        "a web browser sent this, or what bears the marks of one (Origin, Sec-Fetch-Site, \
         Access-Control-Request-*, or Mozilla with Accept-Language): no page may call with the token"
    )]
    Browser,
    #[error(
        "the vendor's token endpoint is closed to callers: a refresh of their own would end the \
         token that all share"
    )]
    TokenEndpoint,
    #[error(
        "this may not be called with this method: the lists of the upstream (guard.methods, \
         guard.paths, guard.preset) do not have it"
    )]
    Method,
    #[error(
        "this path is not on the lists of the upstream (guard.paths, guard.preset), or not in \
         every way in which a server might read it"
    )]
    Path,
}

impl Guard {
    pub fn new(config: Config, metrics: &Metrics) -> Self {
        let counter = |refusal: Refusal| (refusal, metrics.guard_refusals(refusal.reason()));
        Self { config, overrides: Overrides::default(), refused: Refusal::ALL.map(counter).into() }
    }

    /// Whether callers may address the gateway by this authority.
    pub fn knows(&self, authority: &str) -> bool {
        self.config.hosts.knows(authority)
    }

    /// # Errors
    /// Why this request may not pass.
    pub fn admit(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Admission<'_>, Refusal> {
        self.judge(method, path, headers).inspect_err(|refusal| self.count(*refusal))
    }

    /// Looks only at who asks, not at what for, and counts nothing.
    ///
    /// # Errors
    /// For those who call it by another's name, and for web browsers.
    pub fn receive(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        Ok(browsers::judge(&self.config.hosts, headers, Pages::None)?)
    }

    /// Counts what [`Guard::receive`] has refused.
    pub fn count(&self, refusal: Refusal) {
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == refusal) {
            counter.inc();
        }
    }

    fn judge(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Admission<'_>, Refusal> {
        let emulated = &self.config.emulated;
        self.receive(headers)?;
        // Before the lists, which are about what reaches the vendor.
        if let Some(call) = emulated.iter().find(|call| call.is(method, path)) {
            return Ok(Admission::Emulate(call));
        }
        self.judge_each((method, path, headers), |m, p| self.judge_call(m, p), Refusal::Path)?;
        Ok(Admission::ToVendor)
    }

    /// Judges a request by its first line, and by each other one that its fields make some servers
    /// take it for. `unreadable` is the verdict where such a field cannot be read.
    ///
    /// # Errors
    /// The first verdict that is one.
    pub fn judge_each<E>(
        &self,
        request: (&Method, &str, &HeaderMap),
        judge: impl Fn(&Method, &str) -> Result<(), E>,
        unreadable: E,
    ) -> Result<(), E> {
        self.overrides.judge_each(request, judge, unreadable)
    }

    fn judge_call(&self, method: &Method, path: &str) -> Result<(), Refusal> {
        let Config { allowed, token_endpoints, .. } = &self.config;
        if PathPattern::any_could_match(token_endpoints, path) {
            return Err(Refusal::TokenEndpoint);
        }
        allowed.admits(method, path).map_err(|unlisted| match unlisted {
            Unlisted::Method => Refusal::Method,
            Unlisted::Path => Refusal::Path,
        })
    }
}

impl Refusal {
    const ALL: [Refusal; 5] =
        [Self::Host, Self::Browser, Self::TokenEndpoint, Self::Method, Self::Path];

    /// The label of the metric.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Browser => "browser",
            Self::TokenEndpoint => "token_endpoint",
            Self::Method => "method",
            Self::Path => "path",
        }
    }

    /// The value of the header `tokenward-error`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Host => "host-refused",
            Self::Browser => "browser-refused",
            Self::TokenEndpoint => "token-endpoint-refused",
            Self::Method => "method-refused",
            Self::Path => "path-refused",
        }
    }
}

impl From<Stranger> for Refusal {
    fn from(stranger: Stranger) -> Self {
        match stranger {
            Stranger::Host => Self::Host,
            Stranger::Browser => Self::Browser,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::operation::Operation;

    fn guard() -> Guard {
        let paths = ["/openapi/*", "/oauth2/*"].map(|text| Operation::parse(text).expect("it"));
        let allowed = AllowList::default().to_methods(vec![Method::GET, Method::POST]).to(&paths);
        let config = Config {
            hosts: Hosts::of(([127, 0, 0, 1], 8081).into()),
            allowed,
            token_endpoints: vec![PathPattern::new("/oauth2/token").expect("a pattern")],
            emulated: Vec::new(),
        };
        let metrics = Metrics::new("0", "test").expect("metrics");
        Guard::new(config, &metrics)
    }

    fn admit(method: Method, path: &str, fields: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        guard().admit(&method, path, &headers).map(|_| ())
    }

    #[test]
    fn p22_only_known_hosts_are_answered() {
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "[::1]:1", "localhost.:80"] {
            assert_eq!(admit(Method::GET, "/openapi/x", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.nip.io",
            "localhost.evil.example",
            "[::2]",
            "",
            "localhost:80:x",
            "localhost:80@evil.example",
            "[::1]x",
        ] {
            let refused = admit(Method::GET, "/openapi/x", &[("host", host)]);
            assert_eq!(refused, Err(Refusal::Host), "{host}");
        }
    }

    #[test]
    fn p23_methods_and_paths_are_limited_to_the_lists() {
        assert_eq!(admit(Method::PUT, "/openapi/x", &[]), Err(Refusal::Method));
        assert_eq!(admit(Method::GET, "/private", &[]), Err(Refusal::Path));
        assert_eq!(admit(Method::GET, "/openapi/../private", &[]), Err(Refusal::Path));
    }

    #[test]
    fn p23_a_field_that_stands_for_the_first_line_is_judged_like_it() {
        for (fields, verdict) in [
            (&[("x-http-method-override", "DELETE")][..], Err(Refusal::Method)),
            (&[("x_http_method_override", "delete")], Err(Refusal::Method)),
            (&[("x-http-method-override", "POST")], Ok(())),
            (&[("x-original-url", "/private")], Err(Refusal::Path)),
            (&[("x-rewrite-url", "/oauth2/%74oken?x")], Err(Refusal::TokenEndpoint)),
            (&[("x-rewrite-url", "/openapi/y")], Ok(())),
            (&[("x-original-url", "/openapi/y"), ("x-http-method", "PUT")], Err(Refusal::Method)),
            (&[("x-original-url", "/openapi/y"), ("x-original-url", "/z")], Err(Refusal::Path)),
        ] {
            assert_eq!(admit(Method::GET, "/openapi/x", fields), verdict, "{fields:?}");
        }
    }

    #[test]
    fn p24_the_token_endpoint_is_closed() {
        for path in ["/oauth2/token", "//oauth2/%74oken/"] {
            assert_eq!(admit(Method::POST, path, &[]), Err(Refusal::TokenEndpoint), "{path}");
        }
    }

    #[test]
    fn p22_pages_of_other_origins_are_refused() {
        let fields = [("host", "localhost:1"), ("origin", "http://evil.example")];
        assert_eq!(admit(Method::GET, "/openapi/x", &fields), Err(Refusal::Browser));
    }
}
