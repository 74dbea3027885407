//! One call of a vendor with a token that is none, to see how the vendor says so.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use prometheus::IntGauge;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::body::decode::Decoder;
use crate::config::UpstreamConfig;
use crate::proxy::inject;
use crate::secret::Secret;
use crate::units::Scheme;
use crate::upstream::pool::{SendError, Upstream};
use crate::upstream::{BrokenOff, RequestHead, tls};
use crate::vendor::injection::{Injection, InjectionError};

use super::{StartError, assemble};

/// What a vendor is asked.
#[derive(Debug)]
pub struct Question {
    pub method: Method,
    /// The vendor's own, below the path of `base_url`.
    pub target: PathAndQuery,
    pub headers: HeaderMap,
}

/// What it says.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Decoded, and no more of it than a look reads.
    pub body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("what the vendor wants injected cannot be made")]
    Injection(#[from] InjectionError),
    #[error("the target is too long, or none")]
    Target,
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the answer broke off")]
    Broken(#[source] BrokenOff),
    #[error("the answer stood still for {}", humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("a gauge")]
    Gauge(#[from] prometheus::Error),
}

/// Calls as the gateway does, but for the tokens: in the place of each stands `wrong`.
///
/// # Errors
/// When there is no whole answer.
pub async fn ask(
    config: &UpstreamConfig,
    question: Question,
    wrong: &str,
) -> Result<Answer, ProbeError> {
    let mut values = config.credentials.clone();
    for name in ["access_token", "refresh_token"] {
        // It opens nothing, and may be shown.
        values.insert(name.to_owned(), Secret::identifier(wrong));
    }
    let injection = Injection::render(&config.vendor.inject, &values)?;
    let below = [config.base_url.prefix(), question.target.as_str()].concat();
    let below: PathAndQuery = below.parse().map_err(|_| ProbeError::Target)?;
    let target = inject::target(&below, &injection).ok_or(ProbeError::Target)?;
    let mut headers = question.headers;
    for (name, _) in &injection.headers {
        headers.remove(name);
    }
    let authority = HeaderValue::from_str(config.identity.authority());
    headers.insert(HOST, authority.map_err(|_| assemble::bad_host(config))?);
    let head = RequestHead {
        method: &question.method,
        target: &target,
        headers: &headers,
        injected: &injection.headers,
        upgrades: false,
        on_continue: None,
    };
    // Connections have tasks of their own on this thread.
    LocalSet::new().run_until(exchange(config, head)).await
}

async fn exchange(config: &UpstreamConfig, head: RequestHead<'_>) -> Result<Answer, ProbeError> {
    let plain = config.base_url.scheme() == Scheme::Http;
    let tls = tls::client_config(&config.tls, plain)
        .map_err(|source| StartError::Tls { upstream: config.name.clone(), source })?;
    let connector = assemble::connector(config, (!plain).then_some(tls))?;
    let gauge = IntGauge::new("connections", "of this call alone")?;
    let pool = assemble::pool(config)?;
    let upstream = Upstream::<Empty<Bytes>>::new(connector, pool, gauge.clone(), gauge);
    let (response, lease) = upstream.send(head, Empty::new(), Instant::now(), || None).await?;
    let (parts, mut body) = response.into_parts();
    let mut decoder = Decoder::for_headers(&parts.headers);
    let mut text = Vec::new();
    let limit = config.look_limit;
    while text.len() < limit {
        let frame = timeout(config.timeouts.idle, body.frame()).await;
        let Some(frame) = frame.map_err(|_| ProbeError::Silent(config.timeouts.idle))? else {
            break;
        };
        let Ok(data) = frame.map_err(ProbeError::Broken)?.into_data() else { break };
        match &mut decoder {
            Some(decoder) if !decoder.is_identity() => {
                // What came out before an error counts, as it does for a look.
                let left = limit - text.len();
                let _ = decoder.push(&data, &mut text, left);
                if decoder.is_over() {
                    break;
                }
            }
            _ => text.extend_from_slice(&data[..data.len().min(limit - text.len())]),
        }
    }
    // The connection ends with this call.
    drop(lease);
    Ok(Answer { status: parts.status, headers: parts.headers, body: text })
}
