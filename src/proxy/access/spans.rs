//! A request as a span, and each of its attempts, by the semantic conventions of OpenTelemetry for HTTP.
//! They hold what the access log may hold, and no more.

use http::{HeaderMap, Method};

use crate::proxy::Answer;
use crate::proxy::error::ProxyError;
use crate::proxy::head::Head;
use crate::proxy::reply;
use crate::proxy::retry::Retry;
use crate::proxy::route::Settings;
use crate::telemetry::log::holds_secret;
use crate::telemetry::traces::{self, Context, Kind, Span};

use super::record::{End, Record};
use super::shape;

#[derive(Debug, Default)]
pub(super) struct Spans {
    request: Option<Span>,
    /// The one that is under way.
    attempt: Option<Span>,
}

impl Spans {
    pub(super) fn begin(headers: Option<&HeaderMap>) -> Self {
        let request = match headers {
            Some(headers) => traces::request(headers),
            None => traces::request(&HeaderMap::new()),
        };
        Self { request, attempt: None }
    }

    pub(super) fn context(&self) -> Option<Context> {
        self.request.as_ref().map(Span::context)
    }

    pub(super) fn attempt(&mut self, settings: &Settings, head: &mut Head, record: &Record) {
        let request = self.request.as_ref();
        let span = request.and_then(|request| request.child(Kind::Client, "attempt"));
        let Some(mut span) = span else { return };
        span.tell(head.headers_mut());
        let method = method_of(&head.method);
        span.name(method.to_owned());
        span.text("http.request.method", method);
        span.text("url.scheme", settings.scheme);
        span.text("url.template", shape_of(head.target.path()));
        let (host, port) = settings.server();
        span.text("server.address", host.to_owned());
        span.number("server.port", port.into());
        span.text("tokenward.upstream", settings.name.clone());
        if let Some(generation) = record.generation {
            span.number("tokenward.generation", signed(generation));
        }
        if record.attempts > 0 {
            span.number("http.request.resend_count", record.attempts.into());
        }
        self.attempt = Some(span);
    }

    pub(super) fn attempted(&mut self, settings: &Settings, answer: Result<&Answer, &ProxyError>) {
        let Some(mut span) = self.attempt.take() else { return };
        match answer {
            Err(error) => span.fail(reply::kind(error)),
            Ok(answer) => {
                let status = answer.response.status();
                span.number("http.response.status_code", status.as_u16().into());
                if status.is_client_error() || status.is_server_error() {
                    span.fail(status.as_str().to_owned());
                }
                if let Some(rejected) = &answer.rejected {
                    let rule = settings.rules.get(rejected.rule).name();
                    span.text("tokenward.rejected_by", rule.to_owned());
                }
            }
        }
    }

    pub(super) fn end(self, record: &Record) {
        let Self { request: Some(mut span), attempt } = self else { return };
        // Its request was given up.
        attempt.into_iter().for_each(|mut span| span.fail("cancelled"));
        let method = record.method.as_ref().map_or("_OTHER", method_of);
        let route = record.target.as_ref().map(|target| shape_of(target.path()));
        span.name(match &route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        });
        span.text("http.request.method", method);
        route.into_iter().for_each(|route| span.text("http.route", route));
        if let Some(status) = record.status {
            span.number("http.response.status_code", status.as_u16().into());
        }
        if let Some(upstream) = &record.upstream {
            span.text("tokenward.upstream", upstream.name.clone());
        }
        if let Some(client) = &record.client {
            span.text("tokenward.client", client.name.clone());
        }
        if let Some(generation) = record.generation {
            span.number("tokenward.generation", signed(generation));
        }
        span.text("tokenward.retry", record.retry.map_or("none", Retry::outcome));
        span.text("tokenward.end", record.end.as_str());
        span.number("http.request.body.size", signed(record.bytes_in));
        span.number("http.response.body.size", signed(record.bytes_out));
        match (record.error, record.status) {
            (error, Some(status)) if status.is_server_error() => {
                span.fail(error.map_or_else(|| status.as_str().to_owned(), str::to_owned));
            }
            _ if record.end != End::Complete => span.fail(record.end.as_str()),
            // The caller's fault is no failure of this side, by the conventions.
            (Some(error), _) => span.text("error.type", error),
            (None, _) => {}
        }
    }
}

/// Nothing else looks for secrets between this and the collector.
fn shape_of(path: &str) -> String {
    let shape = shape::of_path(path);
    if holds_secret(shape.as_bytes()) { "/*".to_owned() } else { shape }
}

/// Others are one: they come from callers.
fn method_of(method: &Method) -> &'static str {
    KNOWN.iter().find(|known| **known == method.as_str()).copied().unwrap_or("_OTHER")
}

/// What is counted here never grows so large.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const KNOWN: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
