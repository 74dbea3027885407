//! What is on its way to a caller: small pieces are written together, large ones as they are.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::scratch::{give_back, take_spare};
use super::stream::CallerStream;

/// Bytes that have not been written.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Written first; so many bytes of it have been.
    small: Vec<u8>,
    written: usize,
    /// Written after that, and what follows it.
    large: Bytes,
    after: &'static [u8],
    /// Not all that was written has left the stream, which may hold it back.
    unflushed: bool,
    /// Something was written at the last try.
    has_moved: bool,
    /// The end of the connection says that an answer is whole. It must not come by accident.
    pub(super) ends_with_close: bool,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        !self.is_unwritten() && !self.unflushed
    }

    fn is_unwritten(&self) -> bool {
        self.written < self.small.len() || !self.large.is_empty() || !self.after.is_empty()
    }

    pub(super) fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// There is enough for a write of its own.
    pub(super) fn is_full(&self) -> bool {
        !self.large.is_empty() || !self.after.is_empty() || self.small.len() >= ENOUGH
    }

    /// For small pieces. Not while it is full.
    pub(super) fn small(&mut self) -> &mut Vec<u8> {
        if self.small.capacity() == 0 {
            self.small = take_spare();
        }
        &mut self.small
    }

    /// Data, and what must follow it. Not while it is full.
    pub(super) fn data(&mut self, data: Bytes, after: &'static [u8]) {
        if data.len() < LARGE {
            let small = self.small();
            small.extend_from_slice(&data);
            small.extend_from_slice(after);
        } else {
            self.large = data;
            self.after = after;
        }
    }

    pub(super) fn poll_write(
        &mut self,
        stream: &mut CallerStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.has_moved = false;
        while self.is_unwritten() {
            let small = &self.small[self.written..];
            let written = if self.large.is_empty() && self.after.is_empty() {
                Pin::new(&mut *stream).poll_write(cx, small)
            } else {
                let slices = [small, &self.large, self.after];
                let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
                if stream.is_write_vectored() {
                    let slices = slices.map(IoSlice::new);
                    Pin::new(&mut *stream).poll_write_vectored(cx, &slices[first..])
                } else {
                    Pin::new(&mut *stream).poll_write(cx, slices[first])
                }
            };
            let Poll::Ready(amount) = written? else {
                self.keep();
                return Poll::Pending;
            };
            if amount == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.has_moved = true;
            self.advance(amount);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut amount: usize) {
        let small = amount.min(self.small.len() - self.written);
        self.written += small;
        amount -= small;
        let large = amount.min(self.large.len());
        if large > 0 {
            self.large.advance(large);
        }
        self.after = &self.after[amount - large..];
        if self.large.is_empty() {
            self.large = Bytes::new();
        }
        if self.written == self.small.len() {
            self.small.clear();
            self.written = 0;
        }
    }

    /// Gives the buffer back, but for what is left in it: a caller that does not read may be one of
    /// thousands.
    fn keep(&mut self) {
        if self.small.capacity() > 2 * (self.small.len() - self.written) + SLACK {
            let rest = self.small[self.written..].to_vec();
            give_back(mem::replace(&mut self.small, rest));
            self.written = 0;
        }
    }

    fn release(&mut self) {
        if self.small.capacity() > 0 {
            self.written = 0;
            give_back(mem::take(&mut self.small));
        }
    }
}

/// Larger pieces are not copied.
const LARGE: usize = 8 << 10;
/// Small pieces that are gathered for one write.
const ENOUGH: usize = 32 << 10;
/// What a buffer may be too large.
const SLACK: usize = 512;
