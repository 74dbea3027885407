//! Carries batches to the collector. The thread that makes them has no reactor: they are sent by the
//! runtime of everything but requests.

use std::error::Error;
use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{info, warn};

pub(super) struct Post {
    client: Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
    longest: Duration,
    is_down: AtomicBool,
}

impl Post {
    pub(super) fn new(runtime: Handle, longest: Duration) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, runtime, longest, is_down: AtomicBool::new(false) }
    }

    /// Says once that it does not work, and once that it works again.
    fn note(&self, outcome: Result<(), String>) {
        let was_down = self.is_down.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(()) if was_down => info!("the collector takes spans again"),
            Err(reason) if !was_down => warn!(
                reason,
                "the collector (traces.endpoint) does not take spans: they are dropped until it does"
            ),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, longest) = (self.client.clone(), self.longest);
        let sent = self.runtime.spawn(async move {
            let answered = timeout(longest, async {
                let answer = client.request(request.map(Full::new)).await?;
                let (head, body) = answer.into_parts();
                let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
                Ok::<_, HttpError>(Response::from_parts(head, body))
            });
            answered.await.map_err(|_| HttpError::from(format!("no answer within {longest:?}")))?
        });
        let answer = match sent.await {
            Ok(answer) => answer,
            Err(_) => Err("the gateway has stopped".into()),
        };
        self.note(match &answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status())),
            Err(error) => Err(why(&**error)),
        });
        answer
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

/// The error and what caused it.
fn why(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

const LONGEST_ANSWER: usize = 64 << 10;
