//! HTTP/1 with callers: what they say is read strictly, within limits of size and time, and with
//! targets that the URI type would refuse put into a form that it takes.
//!
//! A [`Connection`] reads a head, has a [`Service`] answer it, writes the answer, and goes on to the
//! next. What is faulty is answered like any other request, after those before it. Everything of a
//! connection happens in one task, but for the body of its request, which whoever takes it may read
//! from another.

mod answer;
mod body;
mod chunks;
pub mod clock;
mod connection;
pub mod decode;
pub mod encode;
mod fault;
mod field;
mod head;
mod line;
mod link;
mod output;
mod prefixed;
mod request;
pub mod scratch;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod upload;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub use body::{BodyError, CallerBody};
pub use connection::{Broken, Connection, Service};
pub use fault::Fault;
pub use field::number;
pub use prefixed::Prefixed;
pub use stream::{CallerStream, Duplex, Tunnel};

/// What a caller may ask for in size and time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of a target, as it was sent.
    pub target_bytes: usize,
    /// Of all header fields, or of all trailers.
    pub header_bytes: usize,
    /// Number of header fields, or of trailers.
    pub headers: usize,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Between two requests, and before the first.
    pub keep_alive: Duration,
    /// Without a byte of a body that is awaited, or of an answer taken.
    pub idle: Duration,
}

/// The limits of now, as all connections of one thread share them: another value holds from the next
/// look on, for connections too that are there already.
#[derive(Clone, Debug)]
pub struct LiveLimits(Rc<Cell<Limits>>);

impl LiveLimits {
    pub fn get(&self) -> Limits {
        self.0.get()
    }

    pub fn set(&self, limits: Limits) {
        self.0.set(limits);
    }
}

impl From<Limits> for LiveLimits {
    fn from(limits: Limits) -> Self {
        Self(Rc::new(Cell::new(limits)))
    }
}

impl Limits {
    /// Of one who is refused whatever it sends: an answer of a few hundred bytes, to a caller that
    /// had no chance to fill the socket's buffer.
    pub fn of_refusal() -> Self {
        Self {
            target_bytes: 0,
            header_bytes: 0,
            headers: 0,
            head: Duration::MAX,
            keep_alive: Duration::MAX,
            idle: WRITE_OF_REFUSAL,
        }
    }

    fn most(&self) -> decode::Most {
        decode::Most { bytes: self.header_bytes, fields: self.headers }
    }
}

const WRITE_OF_REFUSAL: Duration = Duration::from_secs(5);
