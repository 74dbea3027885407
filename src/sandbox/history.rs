//! What one vendor has seen: counts, the mistakes in what it was sent, and the latest requests.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Serialize;

use super::received::Received;

/// How often what happened, since the sandbox began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that reached the mint endpoint, whatever became of them.
    pub mints: u64,
    /// Requests that reached the refresh endpoint, whatever became of them.
    pub refreshes: u64,
    /// Token requests that were granted, also when the answer was then dropped.
    pub granted: u64,
    /// Token requests refused for a spent refresh token or wrong credentials.
    pub refused: u64,
    /// Business calls, whatever became of them.
    pub calls: u64,
    /// Business calls whose token was good.
    pub accepted: u64,
    /// Business calls whose token was rejected.
    pub rejected: u64,
    /// Requests that broke a rule of the vendor's documentation or of HTTP.
    pub mistakes: u64,
    /// Requests that a fault answered, or left without an answer, before they were carried out.
    pub faulted: u64,
}

impl Counts {
    /// All that reached a token endpoint.
    pub fn token_calls(&self) -> u64 {
        self.mints + self.refreshes
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A token was handed out.
    Granted,
    /// The refresh token or the credentials were refused.
    Refused,
    /// The call's token was good.
    Accepted,
    /// The call's token was not.
    Rejected,
    /// The request broke a rule.
    Mistaken,
    /// A fault came between.
    Faulted,
}

/// One request as the vendor saw it.
#[derive(Clone)]
pub struct Seen {
    pub method: Method,
    /// Path and query, byte for byte.
    pub target: String,
    pub headers: HeaderMap,
    /// The first 2 MiB of the body.
    pub body: Bytes,
    /// Bytes of the whole body.
    pub body_length: u64,
    pub body_sha256: [u8; 32],
    pub trailers: Option<HeaderMap>,
    /// The body came to its end; otherwise the connection broke.
    pub complete: bool,
    /// Generation of the access token that the call carried, if it was one of ours.
    pub generation: Option<u64>,
    pub outcome: Outcome,
}

impl Seen {
    pub(super) fn new(received: Received, generation: Option<u64>, outcome: Outcome) -> Self {
        Self {
            target: received.target().to_owned(),
            method: received.method,
            headers: received.headers,
            body: received.body.kept,
            body_length: received.body.length,
            body_sha256: received.body.sha256,
            trailers: received.body.trailers,
            complete: received.body.complete,
            generation,
            outcome,
        }
    }
}

/// Counts, mistakes and the latest requests of one vendor.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) counts: Counts,
    mistakes: VecDeque<String>,
    seen: VecDeque<Seen>,
    seen_bytes: usize,
}

impl History {
    pub(super) fn mistake(&mut self, reason: String) {
        self.counts.mistakes += 1;
        if self.mistakes.len() == KEPT_MISTAKES {
            self.mistakes.pop_front();
        }
        self.mistakes.push_back(reason);
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        self.mistakes.iter().cloned().collect()
    }

    pub(super) fn saw(&mut self, seen: Seen) {
        match seen.outcome {
            Outcome::Granted => self.counts.granted += 1,
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Accepted => self.counts.accepted += 1,
            Outcome::Rejected => self.counts.rejected += 1,
            Outcome::Faulted => self.counts.faulted += 1,
            // Counted with its reason.
            Outcome::Mistaken => {}
        }
        self.seen_bytes += seen.body.len();
        self.seen.push_back(seen);
        while self.seen.len() > KEPT_REQUESTS || self.seen_bytes > KEPT_BYTES {
            let Some(oldest) = self.seen.pop_front() else {
                break;
            };
            self.seen_bytes -= oldest.body.len();
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.iter().cloned().collect()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("body_length", &self.body_length)
            .field("complete", &self.complete)
            .field("generation", &self.generation)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

const KEPT_MISTAKES: usize = 100;
const KEPT_REQUESTS: usize = 4096;
/// Bytes of all kept bodies together.
const KEPT_BYTES: usize = 64 * 1024 * 1024;
