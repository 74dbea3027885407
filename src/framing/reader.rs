//! Walks through the messages of a connection, and says which bytes of them go on: no IO, no time.

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::Limits;
use super::chunks::{Chunks, Walked};
use super::fault::Fault;
use super::field::Length;
use super::head::{Head, HeadScan, TrailerScan};
use super::target;

/// Where a connection stands, and the bytes of it that wait.
#[derive(Debug)]
pub(super) struct Reader {
    limits: Limits,
    place: Place,
    /// As they came: the beginning of a head or of trailers, or what follows a request for an
    /// upgrade.
    held: Vec<u8>,
    /// What goes on before anything that is read later.
    ready: BytesMut,
    /// Requests that have gone on, with the one that stands for a faulty one.
    requests: u64,
    fault: Option<Fault>,
    /// Something of the last request's body has come.
    has_body: bool,
}

#[derive(Debug)]
enum Place {
    Head(HeadScan),
    Body(u64),
    Chunks(Chunks),
    Trailers(TrailerScan),
    /// After a request for an upgrade, until it is known what becomes of it.
    Upgrade,
    Tunnel,
    /// After a faulty head: whatever comes means nothing.
    Refused,
    /// After a faulty body.
    Broken(Fault),
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Request,
    Head,
    Body,
    Nothing,
}

impl Reader {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Head(HeadScan::default()),
            held: Vec::new(),
            ready: BytesMut::new(),
            requests: 0,
            fault: None,
            has_body: false,
        }
    }

    /// Takes in the next bytes of the connection. Returns how many of them, from the first, go on
    /// as they are; where those are not all, the rest is cared for, and what of it goes on comes
    /// out of [`Self::give`].
    ///
    /// Nothing may be ready from before.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        debug_assert!(self.ready.is_empty(), "bytes would overtake others");
        if self.held.is_empty() {
            let (passed, taken) = self.walk(bytes, false);
            if let Some(rest @ [_, ..]) = bytes.get(taken..) {
                self.held.extend_from_slice(rest);
            }
            return passed;
        }
        self.held.extend_from_slice(bytes);
        self.walk_held();
        0
    }

    /// Moves bytes that are ready into `buf`; `false`: there are none.
    pub(super) fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        let amount = self.ready.len().min(buf.remaining());
        buf.put_slice(&self.ready[..amount]);
        self.ready.advance(amount);
        if self.ready.is_empty() {
            // Most connections never need it again.
            self.ready = BytesMut::new();
        }
        true
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// The fault of the last request.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The fault of a body: nothing can be read after what is ready.
    pub(super) fn failure(&self) -> Option<Fault> {
        match self.place {
            Place::Broken(fault) => Some(fault),
            _ => None,
        }
    }

    pub(super) fn waits_for(&self) -> Wait {
        match self.place {
            Place::Head(_) if self.held.is_empty() => Wait::Request,
            Place::Head(_) => Wait::Head,
            Place::Body(_) | Place::Chunks(_) | Place::Trailers(_) => Wait::Body,
            Place::Upgrade | Place::Tunnel | Place::Refused | Place::Broken(_) => Wait::Nothing,
        }
    }

    /// In the middle of a body: whoever takes it will read on.
    pub(super) fn is_within_body(&self) -> bool {
        self.has_body && self.waits_for() == Wait::Body
    }

    /// A message has begun and not ended, or was none.
    pub(super) fn is_unfinished(&self) -> bool {
        match self.place {
            Place::Head(_) | Place::Upgrade => !self.held.is_empty(),
            Place::Tunnel => false,
            _ => true,
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.place, Place::Refused)
    }

    pub(super) fn awaits_upgrade(&self) -> bool {
        matches!(self.place, Place::Upgrade)
    }

    pub(super) fn is_tunnel(&self) -> bool {
        matches!(self.place, Place::Tunnel)
    }

    /// No more can be held while it is unknown what becomes of an upgrade.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= MAX_HELD
    }

    /// Everything from here on goes on as it comes.
    pub(super) fn tunnel(&mut self) {
        self.place = Place::Tunnel;
        self.walk_held();
    }

    /// There was no upgrade: what was held is HTTP.
    pub(super) fn resume(&mut self) {
        self.place = Place::Head(HeadScan::default());
        self.walk_held();
    }

    /// Puts a request into the place of what cannot be read, and reads no more.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.ready.extend_from_slice(STAND_IN);
        self.requests += 1;
        self.fault = Some(fault);
        self.held = Vec::new();
        self.place = Place::Refused;
    }

    fn walk_held(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        let (_, taken) = self.walk(&held, true);
        held.drain(..taken);
        if !held.is_empty() {
            self.held = held;
        }
    }

    /// Walks over `bytes`, with which the held ones begin. Returns how many of them go on as they
    /// are, if not `copying`, and how many are done with. What goes on in another way is ready.
    fn walk(&mut self, bytes: &[u8], mut copying: bool) -> (usize, usize) {
        let mut passed = 0;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let mut pass = |ready: &mut BytesMut, copying: bool, amount: usize| {
                if copying {
                    ready.extend_from_slice(&rest[..amount]);
                } else {
                    passed = at + amount;
                }
                at += amount;
            };
            self.has_body |= matches!(self.place, Place::Body(_) | Place::Chunks(_));
            match &mut self.place {
                Place::Head(scan) => match scan.scan(rest, &self.limits) {
                    Ok(Some(head)) => {
                        if let Some(range) = head.encode.clone() {
                            copying = true;
                            self.ready.extend_from_slice(&rest[..range.start]);
                            self.ready.extend_from_slice(&target::encoded(&rest[range.clone()]));
                            self.ready.extend_from_slice(&rest[range.end..head.end]);
                            at += head.end;
                        } else {
                            pass(&mut self.ready, copying, head.end);
                        }
                        self.begin_body(&head);
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        self.refuse(fault);
                        at = bytes.len();
                    }
                },
                Place::Body(left) => {
                    let amount = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= amount as u64;
                    let ended = *left == 0;
                    pass(&mut self.ready, copying, amount);
                    if ended {
                        self.place = Place::Head(HeadScan::default());
                    }
                }
                Place::Chunks(chunks) => match chunks.walk(rest, 0, false) {
                    Walked::Data(range) => pass(&mut self.ready, copying, range.end),
                    Walked::All => pass(&mut self.ready, copying, rest.len()),
                    Walked::Trailers(amount) => {
                        pass(&mut self.ready, copying, amount);
                        self.place = Place::Trailers(TrailerScan::default());
                    }
                    Walked::Fault(amount, fault) => {
                        pass(&mut self.ready, copying, amount);
                        self.place = Place::Broken(fault);
                    }
                },
                Place::Trailers(scan) => match scan.scan(rest, self.limits.most(), false) {
                    Ok(Some(end)) => {
                        pass(&mut self.ready, copying, end);
                        self.place = Place::Head(HeadScan::default());
                    }
                    Ok(None) => break,
                    Err(fault) => self.place = Place::Broken(fault),
                },
                Place::Upgrade => break,
                Place::Tunnel => pass(&mut self.ready, copying, rest.len()),
                Place::Refused | Place::Broken(_) => at = bytes.len(),
            }
        }
        (passed, at)
    }

    fn begin_body(&mut self, head: &Head) {
        self.requests += 1;
        self.has_body = false;
        self.place = match head.length {
            Length::Known(0) if head.upgrade => Place::Upgrade,
            Length::Known(0) => Place::Head(HeadScan::default()),
            Length::Known(length) => Place::Body(length),
            Length::Chunked => Place::Chunks(Chunks::START),
        };
    }
}

/// Answered instead of a request that cannot be read.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Who asks for an upgrade waits for the answer, as a rule, before it sends more.
const MAX_HELD: usize = 16 * 1024;
