//! A caller's stream, whatever carries it: one type, so that what serves it is built once.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::telemetry::metrics::Held;

use super::prefixed::Prefixed;

/// What can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {
    /// The socket beneath it, where there is one.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl Duplex for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Duplex for UnixStream {}

impl Duplex for TlsStream<Prefixed<TcpStream>> {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0.get_ref())
    }
}

pub enum CallerStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS.
    Other(Box<dyn Duplex>),
    /// It has been given away, or closed.
    Gone,
}

impl CallerStream {
    pub fn other(stream: impl Duplex + 'static) -> Self {
        Self::Other(Box::new(stream))
    }

    /// Waits for something to read, where that can be known without room for it.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
            Self::Other(_) | Self::Gone => Ok(()),
        }
    }

    /// Whether its peer has said its last word, as far as the system tells, be there ever so much
    /// before that to read.
    pub(super) fn has_ended(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = match (self, self.socket()) {
            (Self::Unix(stream), _) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
            (_, Some(socket)) => pin!(socket.ready(Interest::READABLE)).poll(&mut cx),
            (_, None) => return false,
        };
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Makes of its close a reset, so that its peer cannot take it for an end in good order. A Unix
    /// socket knows no such thing.
    pub(super) fn will_reset(&self) {
        if let Some(socket) = self.socket() {
            // It fails where the peer has gone already.
            let _ = socket.set_zero_linger();
        }
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => stream.socket(),
            Self::Other(stream) => stream.socket(),
            Self::Unix(_) | Self::Gone => None,
        }
    }

    fn duplex(&mut self) -> io::Result<Pin<&mut dyn Duplex>> {
        match self {
            Self::Tcp(stream) => Ok(Pin::new(stream)),
            Self::Unix(stream) => Ok(Pin::new(stream)),
            Self::Other(stream) => Ok(Pin::new(&mut **stream)),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl fmt::Debug for CallerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Unix(_) => "Unix",
            Self::Other(_) => "Other",
            Self::Gone => "Gone",
        })
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            other => other.duplex()?.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for CallerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            other => other.duplex()?.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.duplex()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Other(stream) => stream.is_write_vectored(),
            _ => true,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
            // The system holds what was written.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.duplex()?.poll_shutdown(cx)
    }
}

/// A caller's connection on which no HTTP is spoken any more.
#[derive(Debug)]
pub struct Tunnel {
    pub stream: Prefixed<CallerStream>,
    /// Counts the connection, as a tunnel too.
    pub counted: Option<Held>,
}
