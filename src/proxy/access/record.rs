//! What is told of one request, and how it is written.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use tracing::Level;

use crate::proxy::clients::Client;
use crate::proxy::peer::Peer;
use crate::proxy::retry::Retry;
use crate::proxy::route::{Entrance, Settings};
use crate::telemetry::log::{Fields, Format};

use super::shape;

#[derive(Debug)]
pub struct Record {
    /// `None`: it could not be read.
    pub(super) method: Option<Method>,
    /// As it came; only its shape is written.
    pub(super) target: Option<PathAndQuery>,
    listener: &'static str,
    caller: Option<SocketAddr>,
    pub(super) client: Option<Arc<Client>>,
    pub(super) upstream: Option<Arc<Settings>>,
    /// `None`: the caller was gone before there was an answer.
    pub(super) status: Option<StatusCode>,
    pub(super) took: Duration,
    /// Of the last attempt.
    pub(super) first_byte: Option<Duration>,
    pub(super) attempts: u32,
    pub(super) generation: Option<u64>,
    pub(super) retry: Option<Retry>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) end: End,
    /// What `tokenward-error` says.
    pub(super) error: Option<&'static str>,
    pub(super) request_id: Option<String>,
    /// How many requests like this there were, about.
    pub(super) stands_for: u32,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it was handed on.
    Complete,
    /// The caller did not take all of it.
    CallerGone,
    /// It broke off, stood still or took too long.
    VendorCut,
}

impl Record {
    pub(super) fn new(entrance: Entrance, peer: Peer) -> Self {
        Self {
            method: None,
            target: None,
            listener: match entrance {
                Entrance::Upstream(_) => "upstream",
                Entrance::Gateway => "gateway",
                Entrance::Gone => "removed",
            },
            caller: match peer {
                Peer::Unix => None,
                Peer::Tcp(address) | Peer::Certified(address, _) => Some(address),
            },
            client: None,
            upstream: None,
            status: None,
            took: Duration::ZERO,
            first_byte: None,
            attempts: 0,
            generation: None,
            retry: None,
            bytes_in: 0,
            bytes_out: 0,
            end: End::CallerGone,
            error: None,
            request_id: None,
            stands_for: 1,
        }
    }

    /// Whoever looks for what went wrong must find it.
    pub(super) fn is_remarkable(&self, slow: Duration) -> bool {
        self.status.is_some_and(|status| status.is_server_error())
            || self.retry.is_some()
            || self.end == End::VendorCut
            || self.took >= slow
    }
}

impl End {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CallerGone => "caller-gone",
            Self::VendorCut => "vendor-cut",
        }
    }
}

/// The line of a record, whose time is that of the writing.
pub fn line(record: Box<Record>, format: Format) -> String {
    let mut line = Fields::new(format, Level::INFO, TARGET, TARGET);
    let millis = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1000.0);
    if let Some(method) = &record.method {
        line.text("method", method.as_str());
    }
    if let Some(target) = &record.target {
        line.text("path", &shape::of(target));
    }
    if let Some(status) = record.status {
        line.number("status", status.as_u16());
    }
    line.text("end", record.end.as_str());
    line.number("took_ms", millis(record.took));
    if let Some(time) = record.first_byte {
        line.number("first_byte_ms", millis(time));
    }
    if let Some(upstream) = &record.upstream {
        line.text("upstream", &upstream.name);
    }
    line.text("listener", record.listener);
    match record.caller {
        Some(address) => line.text("caller", &address.to_string()),
        None => line.text("caller", "unix"),
    }
    if let Some(client) = &record.client {
        line.text("client", &client.name);
    }
    if let Some(generation) = record.generation {
        line.number("generation", generation);
    }
    line.number("attempts", record.attempts);
    line.text("retry", record.retry.map_or("none", Retry::outcome));
    if let Some(reason) = record.retry.and_then(Retry::reason) {
        line.text("retry_reason", reason);
    }
    line.number("bytes_in", record.bytes_in);
    line.number("bytes_out", record.bytes_out);
    if let Some(error) = record.error {
        line.text("error", error);
    }
    if let Some(id) = &record.request_id {
        line.text("request_id", id);
    }
    line.number("stands_for", record.stands_for);
    line.end()
}

/// By which these lines are told from others.
const TARGET: &str = "access";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::retry::Skip;

    fn record() -> Record {
        let mut record = Record::new(Entrance::Gateway, Peer::Tcp(([127, 0, 0, 1], 5).into()));
        record.method = Some(Method::GET);
        record.target = Some(PathAndQuery::from_static("/api/v1/users/42?fields=a&secret=b"));
        record.status = Some(StatusCode::OK);
        record.took = Duration::from_micros(12_345);
        record.end = End::Complete;
        record
    }

    #[test]
    fn p31_a_record_is_one_line_of_either_format() {
        let mut record = record();
        record.retry = Some(Retry::Skipped(Skip::BodyTooLarge));
        record.attempts = 1;
        let text = line(Box::new(record), Format::Text);
        let after_time = text.split_once("Z ").expect("a time").1;
        assert_eq!(
            after_time,
            " INFO access method=GET path=/api/v1/users/*?fields&secret status=200 end=complete \
             took_ms=12.345 listener=gateway caller=127.0.0.1:5 attempts=1 retry=skipped \
             retry_reason=body-too-large bytes_in=0 bytes_out=0 stands_for=1\n"
        );
        let mut record = self::record();
        record.method = Some(Method::from_bytes(b"A|'B").expect("a method"));
        record.first_byte = Some(Duration::from_millis(3));
        let json = line(Box::new(record), Format::Json);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&json["target"], &json["method"]), (&"access".into(), &"A|'B".into()));
        assert_eq!((&json["took_ms"], &json["first_byte_ms"]), (&12.345.into(), &3.0.into()));
        assert_eq!((&json["retry"], &json["stands_for"]), (&"none".into(), &1.into()));
    }

    #[test]
    fn p31_failures_retries_and_slow_ones_are_remarkable() {
        let slow = Duration::from_secs(1);
        assert!(!record().is_remarkable(slow));
        let changes: [fn(&mut Record); 4] = [
            |it| it.status = Some(StatusCode::BAD_GATEWAY),
            |it| it.retry = Some(Retry::Recovered),
            |it| it.end = End::VendorCut,
            |it| it.took = Duration::from_secs(1),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut record = record();
            change(&mut record);
            assert!(record.is_remarkable(slow), "{number}");
        }
    }
}
