//! The calls of the Kubernetes API: one Secret is read, created, patched and watched.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};

use crate::secret::{Buffer, Secret};
use crate::units::BaseUrl;

use super::Config;
use super::account::Account;
use super::fault::{ApiError, Status, unreachable_because};
use super::object::Object;

/// The API server, as far as one Secret goes.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    account: Account,
    server: BaseUrl,
    namespace: String,
    secret: String,
}

/// What is done with the Secret, in the words of a Role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Create,
    Patch,
    Watch,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Done,
    /// The Secret is another than was read, or is there by now, or no longer.
    Conflict,
}

// === impl Api ===

impl Api {
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(config: Config, tls: Arc<ClientConfig>) -> Result<Self, ApiError> {
        let Config { server, namespace, secret, token_file } = config;
        let client = Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .user_agent(concat!("tokenward/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_keepalive(KEEP_ALIVE)
            // A redirect would carry the token elsewhere.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|source| ApiError::Setup { server: server.clone(), source })?;
        Ok(Self { client, account: Account::new(token_file), server, namespace, secret })
    }

    /// The Secret as it is now, `None` without one. The API answers from what a majority of its
    /// database has, as long as no version is asked for.
    pub(super) async fn get(&self) -> Result<Option<Object>, ApiError> {
        let answer = self.call(Verb::Get, || self.request(Method::GET, &self.path())).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ if answer.status.is_success() => {
                let object = Object::read(&answer.body);
                object.map(Some).ok_or_else(|| ApiError::Nonsense { server: self.server.clone() })
            }
            _ => Err(self.refused(Verb::Get, &answer)),
        }
    }

    pub(super) async fn create(&self, body: &Secret) -> Result<Change, ApiError> {
        let path = format!("{}?{OWNER}", self.collection());
        let request = || self.request(Method::POST, &path).header(CONTENT_TYPE, JSON);
        let answer = self.call(Verb::Create, || request().body(body.to_bytes())).await?;
        match answer.status {
            StatusCode::CONFLICT => Ok(Change::Conflict),
            status if status.is_success() => Ok(Change::Done),
            _ => Err(self.refused(Verb::Create, &answer)),
        }
    }

    pub(super) async fn patch(&self, body: &Secret) -> Result<Change, ApiError> {
        let path = format!("{}?{OWNER}", self.path());
        let request = || self.request(Method::PATCH, &path).header(CONTENT_TYPE, MERGE_PATCH);
        let answer = self.call(Verb::Patch, || request().body(body.to_bytes())).await?;
        match answer.status {
            // Somebody has deleted it since it was read.
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Ok(Change::Conflict),
            status if status.is_success() => Ok(Change::Done),
            _ => Err(self.refused(Verb::Patch, &answer)),
        }
    }

    /// The changes after a version, as lines of JSON; without one, first the Secret as it is. The
    /// server ends it after `life`, if not sooner. A Role can allow this for one Secret, because the
    /// selector names it.
    pub(super) async fn watch(
        &self,
        after: Option<&str>,
        life: Duration,
    ) -> Result<Response, ApiError> {
        let (collection, name, life) = (self.collection(), &self.secret, life.as_secs());
        // A version is opaque, but none has ever been other than digits.
        let after = after.filter(|version| version.bytes().all(|b| b.is_ascii_alphanumeric()));
        let after = after.map(|version| format!("&resourceVersion={version}")).unwrap_or_default();
        let path = format!(
            "{collection}?watch=true&fieldSelector=metadata.name%3D{name}&allowWatchBookmarks=true\
             &timeoutSeconds={life}{after}"
        );
        let response = self.send(|| self.request(Method::GET, &path)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = self.read(response).await?;
        Err(self.refused(Verb::Watch, &answer))
    }

    pub(super) fn server(&self) -> &BaseUrl {
        &self.server
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.server))
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.secret)
    }

    /// One call, answer and all, within a bounded time. A server that says when to come back is
    /// asked again, if that is soon.
    async fn call(
        &self,
        verb: Verb,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, ApiError> {
        let mut waited = Duration::ZERO;
        loop {
            let answer = timeout(CALL, async { self.read(self.send(&request).await?).await });
            let answer = answer.await.unwrap_or_else(|_| {
                let (server, time) = (self.server.clone(), humantime::format_duration(CALL));
                let reason = format!("it gave no answer within {time}");
                Err(ApiError::Unreachable { server, reason })
            })?;
            if !answer.is_trouble() {
                return Ok(answer);
            }
            match answer.come_back {
                Some(pause) if waited + pause <= PATIENCE => {
                    sleep(pause).await;
                    waited += pause;
                }
                _ => return Err(self.refused(verb, &answer)),
            }
        }
    }

    /// Sends a request, and once more with the token that stands in its file then, if the first is
    /// not taken: it may have been replaced just now.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ApiError> {
        let response = self.send_once(&request).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.send_once(&request).await
    }

    async fn send_once(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ApiError> {
        let mut request = request();
        if let Some(value) = self.account.authorization().await? {
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await.map_err(|error| self.unreachable(error))
    }

    async fn read(&self, mut response: Response) -> Result<Answer, ApiError> {
        let status = response.status();
        let come_back = response.headers().get(RETRY_AFTER).and_then(|value| {
            let seconds = value.to_str().ok()?.parse().ok()?;
            Some(Duration::from_secs(seconds).max(SHORTEST_PAUSE))
        });
        let mut body = Buffer::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(ApiError::Nonsense { server: self.server.clone() });
            }
            body.push(&chunk);
        }
        Ok(Answer { status, come_back, body })
    }

    /// What the network says of a call that has failed.
    pub(super) fn unreachable(&self, error: reqwest::Error) -> ApiError {
        let reason = unreachable_because(&error.without_url());
        ApiError::Unreachable { server: self.server.clone(), reason }
    }

    /// What a watch says before it ends early.
    pub(super) fn watch_failed(&self, status: &Status) -> ApiError {
        let code = status.code.and_then(|code| StatusCode::from_u16(code).ok());
        self.fault(Verb::Watch, code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), status)
    }

    fn refused(&self, verb: Verb, answer: &Answer) -> ApiError {
        self.fault(verb, answer.status, &Status::read(&answer.body))
    }

    fn fault(&self, verb: Verb, code: StatusCode, status: &Status) -> ApiError {
        let (namespace, secret) = (self.namespace.clone(), self.secret.clone());
        let (server, said) = (self.server.clone(), status.quotable(code));
        match code {
            StatusCode::UNAUTHORIZED => {
                let token_file = self.account.token_file().cloned();
                ApiError::Unauthorized { server, token_file }
            }
            StatusCode::FORBIDDEN => ApiError::Forbidden { verb, namespace, secret, said },
            StatusCode::GONE => ApiError::Expired,
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
                ApiError::Invalid { namespace, secret, said, too_large: status.is_about_size(code) }
            }
            _ => ApiError::Answered { server, verb, code, said },
        }
    }
}

/// An answer that has been read.
struct Answer {
    status: StatusCode,
    come_back: Option<Duration>,
    body: Buffer,
}

impl Answer {
    /// Too many requests, or a server that cannot: nothing that concerns this request.
    fn is_trouble(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Watch => "watch",
        })
    }
}

/// A lease of the usual length outlasts one call that fails.
const CALL: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(3);
/// A watch is silent for minutes: this tells a server that has vanished.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A server that is overloaded asks for a second.
const PATIENCE: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// A Secret holds 1 MiB, in base64 a third more, and 256 KiB of annotations.
pub(super) const LARGEST_ANSWER: usize = 4 << 20;
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Who it is that changes the Secret, in its `managedFields`.
const OWNER: &str = "fieldManager=tokenward";
