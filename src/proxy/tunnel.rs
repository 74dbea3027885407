//! Upgrades (RFC 9110, 7.8): after a `101` the connection is the caller's and the vendor's own, in
//! whatever protocol they have agreed on.

use std::cell::Cell;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use http_body::Body;
use prometheus::IntCounter;
use tokio::io::copy_bidirectional;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::io::InspectReader;
use tracing::debug;

use crate::body::replay::ReplayBody;
use crate::causes::causes;
use crate::drain::Drain;
use crate::framing::{CallerBody, Tunnel};
use crate::headers::connection_options;
use crate::upstream::pool::Lease;

use super::vendor_body::Flight;

/// What a caller wants to speak instead of HTTP.
#[derive(Debug)]
pub struct UpgradeRequest {
    protocols: HeaderValue,
    caller: oneshot::Receiver<Tunnel>,
}

impl UpgradeRequest {
    /// Takes it out of a request. HTTP/2 over plain TCP is not taken for one: whoever wants
    /// that speaks it from the first byte on.
    pub fn of(parts: &Parts, body: &CallerBody) -> Option<Self> {
        let protocols = parts.headers.get(UPGRADE)?;
        let may = parts.version == Version::HTTP_11
            && parts.method != Method::CONNECT
            && body.is_end_stream()
            && !protocols.as_bytes().eq_ignore_ascii_case(b"h2c")
            && connection_options(&parts.headers).any(|it| it.eq_ignore_ascii_case(b"upgrade"));
        let protocols = may.then(|| protocols.clone())?;
        Some(Self { protocols, caller: body.upgrade()? })
    }

    /// Both fields are of one hop, so they are said anew.
    pub fn set_fields(&self, headers: &mut HeaderMap) {
        set_fields(headers, Some(&self.protocols));
    }

    /// Joins the two connections as soon as each has said its last word of HTTP. They may be silent
    /// for as long as they like; when one side has ended, the other may be for `idle`.
    pub fn establish(
        self,
        lease: Option<Lease<ReplayBody<CallerBody>>>,
        flight: Flight,
        idle: Duration,
        drain: Drain,
    ) {
        let vendor = lease.as_ref().and_then(Lease::tunnel);
        let caller = self.caller;
        // Now, for the connection's own hold ends with its HTTP, perhaps before this task begins.
        let hold = drain.hold();
        tokio::task::spawn_local(async move {
            let (_hold, metrics) = (hold, flight.metrics());
            let last = Cell::new(Instant::now());
            let one_has_ended = Cell::new(false);
            let passed = |counter: &IntCounter, bytes: &[u8]| {
                counter.inc_by(bytes.len() as u64);
                last.set(Instant::now());
                // The end of a direction is read as nothing.
                one_has_ended.set(one_has_ended.get() || bytes.is_empty());
            };
            let joined = async {
                let Tunnel { stream, counted: _counted } =
                    caller.await.map_err(|_| Broken::Caller)?;
                let Some(vendor) = vendor else { return Ok((0, 0)) };
                let entry = flight.entry.as_ref();
                let up = |bytes: &[u8]| {
                    passed(&metrics.request_bytes, bytes);
                    entry.inspect(|it| it.took(bytes.len() as u64));
                };
                let down = |bytes: &[u8]| {
                    passed(&metrics.response_bytes, bytes);
                    entry.inspect(|it| it.passed(bytes.len(), false));
                };
                let mut caller = InspectReader::new(stream, up);
                let mut vendor = InspectReader::new(vendor, down);
                copy_bidirectional(&mut caller, &mut vendor).await.map_err(Broken::Copy)
            };
            let forgotten = async {
                while !one_has_ended.get() || last.get().elapsed() < idle {
                    sleep(idle).await;
                }
            };
            tokio::select! {
                joined = joined => if let Err(error) = joined {
                    debug!(error = causes(&error), "a tunnel ended badly");
                },
                () = forgotten => debug!("a tunnel that one side had left stood still"),
                () = drain.ended() => {}
            }
            drop(lease);
        });
    }
}

/// The two fields of a handshake.
pub fn set_fields(headers: &mut HeaderMap, protocols: Option<&HeaderValue>) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocols) = protocols {
        headers.insert(UPGRADE, protocols.clone());
    }
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the caller's connection could not be taken over")]
    Caller,
    #[error("a connection broke")]
    Copy(#[source] std::io::Error),
}
