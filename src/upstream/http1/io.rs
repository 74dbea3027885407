//! What a connection is made of, below HTTP.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;

use crate::upstream::connect::Tls;
use crate::upstream::hearing::Hearing;

#[derive(Debug)]
pub(in crate::upstream) enum Io {
    Plain(Hearing<TcpStream>),
    Tls(Box<Tls>),
    /// Given up, whoever may still have a hold of it.
    Closed,
}

impl Io {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    /// Until all that was written is in the socket; without an end where the peer takes no more. Whoever
    /// hears it out wakes nobody who writes.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) if tls.get_ref().1.wants_write() => {
                ready!(Pin::new(tls).poll_flush(cx))?;
                if self.is_deaf() { Poll::Pending } else { Poll::Ready(Ok(())) }
            }
            Self::Plain(_) | Self::Tls(_) => Poll::Ready(Ok(())),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Bytes that have been sent so far; of TLS, those that the socket has taken.
    pub(super) fn sent(&self) -> u64 {
        self.hearing().map_or(0, Hearing::sent)
    }

    /// The peer takes nothing any more.
    pub(super) fn is_deaf(&self) -> bool {
        self.hearing().is_some_and(|hearing| hearing.deaf_after().is_some())
    }

    /// The peer takes nothing, and has taken nothing beyond this mark.
    pub(super) fn is_deaf_since(&self, mark: u64) -> bool {
        self.hearing().and_then(Hearing::deaf_after) == Some(mark)
    }

    fn hearing(&self) -> Option<&Hearing<TcpStream>> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.get_ref().0),
            Self::Closed => None,
        }
    }

    /// Whether the peer, which should be silent, is: it has sent neither bytes nor its end. `ask`:
    /// the socket itself is asked, and not only what is known of it.
    pub(super) fn is_quiet(&mut self, ask: bool) -> bool {
        let tcp = match self {
            Self::Plain(tcp) => tcp.get_ref(),
            // Something was read with the last answer.
            Self::Tls(tls) if !tls.get_ref().1.wants_read() => return false,
            Self::Tls(tls) => tls.get_ref().0.get_ref(),
            Self::Closed => return false,
        };
        let peek = || SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]);
        let peeked = if ask { peek() } else { tcp.try_io(Interest::READABLE, peek) };
        match peeked {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => false,
            Err(_) => !ask || !self.is_tls() || self.has_nothing_to_read(),
            Ok(0) => false,
            // A session ticket is nothing that was said to us.
            Ok(_) => self.is_tls() && self.has_nothing_to_read(),
        }
    }

    fn has_nothing_to_read(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut byte = [0];
        let silent = self.poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending();
        // Without a budget nothing was read, and nothing is known.
        silent && has_budget_remaining()
    }

    /// Ends an idle connection in good order, as far as that needs no waiting.
    pub(super) fn part(&mut self) {
        let _ = self.poll_shutdown(&mut Context::from_waker(Waker::noop()));
        *self = Self::Closed;
    }
}

/// As for a reader of a file: what is read after a connection was given up.
fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Reads what there is into memory that is not initialised before.
pub(super) fn poll_read_into(
    io: &mut Io,
    cx: &mut Context<'_>,
    buffer: &mut bytes::BytesMut,
) -> Poll<io::Result<usize>> {
    tokio_util::io::poll_read_buf(Pin::new(&mut Reading(io)), cx, buffer)
}

struct Reading<'io>(&'io mut Io);

impl AsyncRead for Reading<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}
