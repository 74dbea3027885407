//! What comes next on a caller's connection: a request, the beginning of HTTP/2, or the end.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Request;

use super::State;
use crate::framing::Limits;
use crate::framing::fault::Fault;
use crate::framing::head::HeadScan;
use crate::framing::request::{self, Asked};
use crate::framing::scratch::with_scratch;
use crate::framing::upload::Upload;

/// What comes next on a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly always it is a request")]
pub(in crate::framing) enum Next {
    Request(Request<()>, Asked),
    Fault(Fault),
    /// The connection speaks HTTP/2.
    Http2,
    End,
}

impl State {
    /// The next head.
    pub(in crate::framing) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        loop {
            if !self.ahead.is_empty()
                && let Some(next) = self.next_of_ahead()
            {
                return Poll::Ready(Ok(next));
            }
            let read: Poll<io::Result<_>> = with_scratch(|scratch| {
                let amount = ready!(self.poll_read(scratch, cx))?;
                let bytes = &scratch[..amount];
                if amount == 0 {
                    return Poll::Ready(Ok(Some(Next::End)));
                }
                if self.ahead.is_empty() && !self.is_undecided {
                    return Poll::Ready(Ok(self.next_of(bytes)));
                }
                self.ahead.extend_from_slice(bytes);
                Poll::Ready(Ok(None))
            });
            if let Poll::Ready(next) = read? {
                if !self.is_within_head {
                    self.reading.stop();
                }
                match next {
                    Some(next) => return Poll::Ready(Ok(next)),
                    None => continue,
                }
            }
            let is_within_head = !self.ahead.is_empty();
            if is_within_head != self.is_within_head {
                self.is_within_head = is_within_head;
                self.reading.stop();
            }
            let Limits { head, keep_alive, .. } = self.limits.get();
            let limit = if is_within_head { head } else { keep_alive };
            ready!(self.reading.poll(limit, cx));
            return Poll::Ready(Ok(match is_within_head {
                true => self.refuse(Fault::HeadTime),
                false => Next::End,
            }));
        }
    }

    /// The head that these bytes begin with, which are the first of it; what follows is kept.
    fn next_of(&mut self, bytes: &[u8]) -> Option<Next> {
        let mut scan = HeadScan::default();
        let next = match request::read(&mut scan, bytes, &self.limits.get()) {
            Ok(None) => {
                self.scan = Some(Box::new(scan));
                self.ahead.extend_from_slice(bytes);
                return None;
            }
            Ok(Some(head)) if head.end == bytes.len() => {
                request::build(&head, &Bytes::copy_from_slice(bytes))
            }
            Ok(Some(head)) => {
                self.ahead.extend_from_slice(bytes);
                request::build(&head, &self.ahead.split_to(head.end).freeze())
            }
            Err(fault) => Err(fault),
        };
        Some(self.begin(next))
    }

    fn next_of_ahead(&mut self) -> Option<Next> {
        if self.is_undecided {
            let known = self.ahead.len().min(PREFACE.len());
            let is_like_http2 = self.ahead[..known] == PREFACE[..known];
            if is_like_http2 && known < PREFACE.len() {
                return None;
            }
            self.is_undecided = false;
            if is_like_http2 {
                return Some(Next::Http2);
            }
        }
        let mut scan = self.scan.take().map_or_else(HeadScan::default, |scan| *scan);
        let next = match request::read(&mut scan, &self.ahead, &self.limits.get()) {
            Ok(None) => {
                self.scan = Some(Box::new(scan));
                return None;
            }
            Ok(Some(head)) => request::build(&head, &self.ahead.split_to(head.end).freeze()),
            Err(fault) => Err(fault),
        };
        if self.ahead.is_empty() {
            // Empty, it would keep its memory.
            self.ahead = BytesMut::new();
        }
        Some(self.begin(next))
    }

    fn begin(&mut self, next: Result<(Request<()>, Asked), Fault>) -> Next {
        self.reading.stop();
        self.stalled.stop();
        self.is_within_head = false;
        let (request, asked) = match next {
            Ok(next) => next,
            Err(fault) => return self.refuse(fault),
        };
        self.number += 1;
        self.is_answering = false;
        self.is_leaving |= !asked.keeps;
        self.upload = Upload::new(asked.length, asked.expects).map(Box::new);
        Next::Request(request, asked)
    }

    /// Whatever follows means nothing.
    pub(in crate::framing) fn refuse(&mut self, fault: Fault) -> Next {
        self.ahead = BytesMut::new();
        self.reading.stop();
        self.is_leaving = true;
        Next::Fault(fault)
    }
}

/// What HTTP/2 begins with where no TLS has agreed on it (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
