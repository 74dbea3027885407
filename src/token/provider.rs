//! The vendor's token endpoint, over the network.

mod way;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url, redirect};

use crate::clock;
use crate::clock::watch::Watch;
use crate::secret::{Buffer, Secret};
use crate::telemetry::traces;
use crate::vendor::description::{AnswerShape, Call};
use crate::vendor::template::Values;

use way::Way;

use super::wire::{self, Denied, Grant, TokenRequest, Written};

/// What is needed to call one vendor's token endpoints.
#[derive(Clone, Debug)]
pub struct Config {
    /// The vendor by its own name; both calls' paths are appended.
    pub base_url: String,
    /// Where connections go: a name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// For name, TCP and TLS together.
    pub connect_timeout: Duration,
    pub refresh: Option<Call>,
    pub mint: Option<Call>,
    pub answer: AnswerShape,
    /// The configured credentials.
    pub credentials: Values,
    /// The longest that a call may take.
    pub timeout: Duration,
    pub tls: Arc<rustls::ClientConfig>,
}

/// One vendor's token endpoint.
#[derive(Debug)]
pub struct Provider {
    config: Config,
    client: Client,
    way: Way,
}

/// How tokens are had. The refresher knows no more of a vendor.
pub trait TokenEndpoint: Send + Sync {
    fn can_refresh(&self) -> bool;
    fn can_mint(&self) -> bool;

    /// The configured credentials, which injected templates may name.
    fn credentials(&self) -> &Values;

    /// Turns a refresh token into a new access token.
    fn refresh(&self, token: &Secret) -> impl Future<Output = Result<Grant, Denied>> + Send;

    /// Turns the credentials alone into a new token.
    fn mint(&self) -> impl Future<Output = Result<Grant, Denied>> + Send;
}

/// The client for a token endpoint could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare calls of {base_url}")]
pub struct SetupError {
    base_url: String,
    #[source]
    source: reqwest::Error,
}

impl Config {
    /// Whether a provider of the other would do the same.
    pub fn same_as(&self, other: &Self) -> bool {
        let Self {
            base_url,
            host,
            port,
            connect_timeout,
            refresh,
            mint,
            answer,
            credentials,
            timeout,
            tls,
        } = self;
        (base_url, host, port) == (&other.base_url, &other.host, &other.port)
            && (connect_timeout, timeout) == (&other.connect_timeout, &other.timeout)
            && (refresh, mint, answer) == (&other.refresh, &other.mint, &other.answer)
            && credentials == &other.credentials
            && Arc::ptr_eq(tls, &other.tls)
    }
}

impl Provider {
    /// # Errors
    /// When the TLS configuration cannot be used.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let way = Way::new(&config);
        let client = Client::builder()
            .tls_backend_preconfigured((*config.tls).clone())
            .dns_resolver(way.resolver())
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|source| SetupError { base_url: config.base_url.clone(), source })?;
        Ok(Self { config, client, way })
    }

    async fn call(&self, call: Option<&Call>, values: &Values) -> Result<Grant, Denied> {
        let call = call.ok_or_else(|| Denied::Refused("the vendor has no such call".into()))?;
        let said =
            wire::request(call, values).map_err(|error| Denied::Refused(error.to_string()))?;
        let request = self.build(&said)?;
        let mut clocks = Watch::new();
        let mut span = self.span(&request);
        let answer = self.client.execute(request).await;
        span.iter_mut().for_each(|span| told(span, answer.as_ref().ok()));
        let answer = answer.map_err(|error| self.way.failed(error))?;
        let status = answer.status();
        let body = self.read_bounded(answer).await?;
        // An answer that has lain through a sleep of the machine is as old as that.
        let asleep = clocks.look().map_or(Duration::ZERO, |shift| shift.asleep);
        wire::read(&self.config.answer, status, &body, clock::wall() - asleep, &said)
    }

    fn build(&self, said: &TokenRequest) -> Result<reqwest::Request, Denied> {
        let parse = |whole: &str| {
            Url::parse(whole).map_err(|error| Denied::NotSent(format!("bad URL: {error}")))
        };
        let whole = [self.config.base_url.as_str(), &said.path].concat();
        let request = match said.written() {
            Written::Body(kind, body) => {
                let request = self.client.request(said.method.clone(), parse(&whole)?);
                request.header(CONTENT_TYPE, kind).body(body.into_bytes())
            }
            // The library keeps URLs in memory that it does not zero.
            Written::Query(query) => {
                let mut url = parse(&whole)?;
                url.set_query(std::str::from_utf8(&query).ok());
                self.client.request(said.method.clone(), url)
            }
        };
        request.build().map_err(|error| self.way.failed(error))
    }

    /// Of a call, whose path and query may hold anything.
    fn span(&self, request: &reqwest::Request) -> Option<traces::Span> {
        let mut span = traces::child(traces::Kind::Client, "token endpoint")?;
        span.text("http.request.method", request.method().as_str().to_owned());
        span.text("server.address", self.config.host.clone());
        span.number("server.port", i64::from(self.config.port));
        span.text("url.scheme", request.url().scheme().to_owned());
        Some(span)
    }

    /// The answer's body, as far as a token answer may be long.
    async fn read_bounded(&self, mut answer: reqwest::Response) -> Result<Buffer, Denied> {
        let mut body = Buffer::default();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.way.failed(error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(Denied::Malformed(format!("more than {LARGEST_ANSWER} bytes")));
            }
            body.push(&chunk);
        }
        Ok(body)
    }
}

impl TokenEndpoint for Provider {
    fn can_refresh(&self) -> bool {
        self.config.refresh.is_some()
    }

    fn can_mint(&self) -> bool {
        self.config.mint.is_some()
    }

    fn credentials(&self) -> &Values {
        &self.config.credentials
    }

    async fn refresh(&self, token: &Secret) -> Result<Grant, Denied> {
        let mut values = self.config.credentials.clone();
        values.insert("refresh_token".to_owned(), token.clone());
        self.call(self.config.refresh.as_ref(), &values).await
    }

    async fn mint(&self) -> Result<Grant, Denied> {
        self.call(self.config.mint.as_ref(), &self.config.credentials).await
    }
}

/// `None`: there was no answer.
fn told(span: &mut traces::Span, answer: Option<&reqwest::Response>) {
    let Some(answer) = answer else { return span.fail("unreachable") };
    let status = answer.status();
    span.number("http.response.status_code", i64::from(status.as_u16()));
    if status.is_client_error() || status.is_server_error() {
        span.fail(status.as_str().to_owned());
    }
}

/// Token answers are a few hundred bytes.
const LARGEST_ANSWER: usize = 256 * 1024;
