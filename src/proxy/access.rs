//! What a request was, as far as it may be told, and what came of it: a record of the access log, and spans
//! of a trace. Nothing is made of it where neither is wanted.

mod record;
mod shape;
mod spans;

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use tokio::time::Instant;

use crate::telemetry::log::Apart;
use crate::telemetry::traces;

use super::Answer;
use super::clients::Client;
use super::error::ProxyError;
use super::head::Head;
use super::peer::Peer;
use super::reply::{self, ReplyBody};
use super::retry::Retry;
use super::route::{Entrance, Settings};

pub use record::{End, Record, line};
use spans::Spans;

/// Of which requests there are records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Of those with which all went well, one of so many.
    pub one_of: NonZeroU32,
    /// What takes longer is told of in any case.
    pub slow: Duration,
}

/// Where records go. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Log {
    pub config: Config,
    pub records: Apart<Box<Record>>,
}

/// A request under way, in a log or a trace. Whoever carries it on holds a clone; with the last of them
/// its record is written, and its span ends.
#[derive(Clone, Debug)]
pub struct Entry(Rc<Open>);

#[derive(Debug)]
struct Open {
    log: Option<Rc<Log>>,
    began: Instant,
    record: RefCell<Box<Record>>,
    spans: RefCell<Spans>,
}

impl Entry {
    /// `None`: nobody wants to know.
    pub fn new<B>(
        log: Option<&Rc<Log>>,
        entrance: Entrance,
        peer: &Peer,
        request: Option<&Request<B>>,
    ) -> Option<Self> {
        if log.is_none() && !traces::is_on() {
            return None;
        }
        let mut record = Box::new(Record::new(entrance, peer.clone()));
        record.method = request.map(|request| request.method().clone());
        record.target = request.and_then(|request| request.uri().path_and_query().cloned());
        Some(Self(Rc::new(Open {
            log: log.cloned(),
            began: Instant::now(),
            record: RefCell::new(record),
            spans: RefCell::new(Spans::begin(request.map(Request::headers))),
        })))
    }

    /// Who asks, and whom.
    pub fn found(&self, client: Option<&Arc<Client>>, settings: Option<&Arc<Settings>>) {
        self.note(|record| {
            record.client = client.cloned();
            record.upstream = settings.cloned();
        });
    }

    /// An attempt with this head carries this token.
    pub(super) fn attempts(&self, settings: &Settings, head: &mut Head, generation: u64) {
        self.note(|record| {
            record.generation = Some(generation);
            self.0.spans.borrow_mut().attempt(settings, head, record);
            record.attempts += 1;
        });
    }

    /// What came of it.
    pub(super) fn attempted(&self, settings: &Settings, answer: Result<&Answer, &ProxyError>) {
        self.0.spans.borrow_mut().attempted(settings, answer);
    }

    /// What a renewal that it waits for is a part of.
    pub fn context(&self) -> Option<traces::Context> {
        self.0.spans.borrow().context()
    }

    /// The first byte of an answer has come, so long after it was asked for.
    pub fn heard(&self, after: Duration) {
        self.note(|record| record.first_byte = Some(after));
    }

    pub fn retried(&self, retry: Retry) {
        self.note(|record| record.retry = Some(retry));
    }

    /// There is an answer. One of ours has come to its end with that.
    pub fn answered(&self, status: StatusCode, body: &ReplyBody) {
        self.note(|record| {
            record.status = Some(status);
            if let ReplyBody::Own(bytes) = body {
                record.bytes_out = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                record.end = End::Complete;
            }
        });
    }

    /// Why the answer is ours, and by which id it says so.
    pub fn failed(&self, error: &ProxyError, request_id: &str) {
        self.note(|record| {
            record.error = Some(reply::kind(error));
            record.request_id = Some(request_id.to_owned());
        });
    }

    /// So much of the request's body has come.
    pub fn took(&self, bytes: u64) {
        self.note(|record| record.bytes_in += bytes);
    }

    /// So much of the answer's body has gone on; it `is_end`.
    pub fn passed(&self, bytes: usize, is_end: bool) {
        self.note(|record| {
            record.bytes_out += bytes as u64;
            if is_end {
                record.end = End::Complete;
            }
        });
    }

    /// The answer will not come to its end.
    pub fn cut(&self) {
        self.note(|record| record.end = End::VendorCut);
    }

    fn note(&self, note: impl FnOnce(&mut Record)) {
        note(&mut self.0.record.borrow_mut());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let nothing = Record::new(Entrance::Gone, Peer::Unix);
        let mut record = self.record.replace(Box::new(nothing));
        record.took = self.began.elapsed();
        self.spans.take().end(&record);
        let Some(log) = &self.log else { return };
        let Config { one_of, slow } = log.config;
        record.stands_for = match record.is_remarkable(slow) {
            true => 1,
            false => one_of.get(),
        };
        if record.stands_for == 1 || fastrand::u32(..one_of.get()) == 0 {
            log.records.write(record);
        }
    }
}
