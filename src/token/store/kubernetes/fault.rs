//! Why the API gave nothing, in words that say what to do.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::path::PathBuf;

use http::StatusCode;
use serde::Deserialize;

use crate::causes::network::explain;
use crate::causes::network::find_io;
use crate::causes::{causes, tls};
use crate::units::BaseUrl;

use super::api::Verb;
use super::object::NoPage;

/// A failure of the Kubernetes API. None of its texts holds anything of a Secret's content.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("a client of the Kubernetes API at {server} cannot be made")]
    Setup {
        server: BaseUrl,
        #[source]
        source: reqwest::Error,
    },
    #[error("{}: there is no service account's token", path.display())]
    NoToken {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the Kubernetes API at {server} cannot be reached: {reason}")]
    Unreachable { server: BaseUrl, reason: String },
    #[error("the Kubernetes API at {server} does not know who we are; {}", who_we_are(token_file.as_ref()))]
    Unauthorized { server: BaseUrl, token_file: Option<PathBuf> },
    #[error(
        "the Kubernetes API forbids to {verb} the Secret {secret} in the namespace {namespace}: \
         bind the service account to a Role of that namespace that allows {} on `secrets`{}{}",
        allowed(*verb),
        restricted(*verb, secret),
        in_brackets(said)
    )]
    Forbidden { verb: Verb, namespace: String, secret: String, said: Option<String> },
    #[error(
        "the Kubernetes API refuses what would become of the Secret {secret} in the namespace \
         {namespace}{}{}",
        in_brackets(said),
        if *too_large { TOO_LARGE } else { "" }
    )]
    Invalid { namespace: String, secret: String, said: Option<String>, too_large: bool },
    #[error("the version from which to watch is no longer known")]
    Expired,
    #[error("the Kubernetes API at {server} answered {code} to a {verb}{}", in_brackets(said))]
    Answered { server: BaseUrl, verb: Verb, code: StatusCode, said: Option<String> },
    #[error("what answers at {server} is not the Kubernetes API, or more than a Secret can hold")]
    Nonsense { server: BaseUrl },
    #[error(
        "others have changed the Secret {secret} in the namespace {namespace} {times} times while \
         one page was to be written"
    )]
    Contended { namespace: String, secret: String, times: u32 },
    #[error(
        "the Secret {secret} in the namespace {namespace}, under {key}: {problem}; it is left as it \
         is: mend it, or take both away and seed again"
    )]
    Damaged { namespace: String, secret: String, key: String, problem: NoPage },
}

/// The `Status` with which the API says no. Proxies before it answer anything.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    reason: Option<String>,
    message: Option<String>,
    pub(super) code: Option<u16>,
}

// === impl Status ===

impl Status {
    pub(super) fn read(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }

    /// What the API says, as far as it may be told. A request that it cannot read is quoted by older
    /// versions, with what was in it.
    pub(super) fn quotable(&self, code: StatusCode) -> Option<String> {
        let reason = self.reason.as_deref().unwrap_or_default();
        let message = match code {
            StatusCode::BAD_REQUEST => reason,
            _ => self.message.as_deref().unwrap_or(reason),
        };
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = message.chars().map(clean).take(LONGEST_MESSAGE).collect();
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn is_about_size(&self, code: StatusCode) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_ascii_lowercase();
        code == StatusCode::PAYLOAD_TOO_LARGE
            || ["too long", "too large", "at most"].iter().any(|words| message.contains(words))
    }
}

/// A failure of the network.
pub(super) fn unreachable_because(error: &reqwest::Error) -> String {
    if let Some(reason) = tls::explain(error) {
        return format!("no TLS with it: {reason}; `store.tls.ca_file` says whom to trust");
    }
    match find_io(error) {
        Some(error) => format!("it {}", explain(error)),
        None if error.is_timeout() => "it gave no answer in time".to_owned(),
        None => causes(error as &dyn Error),
    }
}

fn who_we_are(token_file: Option<&PathBuf>) -> Cow<'static, str> {
    match token_file {
        None => {
            "no token is sent: give `store.service_account`, or another client certificate".into()
        }
        Some(path) => {
            format!("is the token in {} one of this cluster, and still good?", path.display())
                .into()
        }
    }
}

fn allowed(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "`create`",
        Verb::Get | Verb::Patch | Verb::Watch => "`get`, `patch` and `watch`",
    }
}

fn restricted(verb: Verb, secret: &str) -> String {
    match verb {
        Verb::Create => format!(", or create an empty Secret {secret} yourself"),
        _ => format!(" with the resource name {secret}"),
    }
}

fn in_brackets(said: &Option<String>) -> String {
    said.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

const TOO_LARGE: &str = "; a Secret holds 1 MiB and 256 KiB of annotations: give some gateways \
                         another `store.secret`";
/// Characters of the API's message that are repeated.
const LONGEST_MESSAGE: usize = 300;
