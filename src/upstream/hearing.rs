//! A stream whose peer is heard out.
//!
//! A server that refuses an upload may answer and close while it is still being sent. The next
//! write fails then, although the answer is here. Whoever writes does not get to see such a failure:
//! what can no longer be written is dropped, and what is there is read, to the end or the error that
//! is behind it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::turn;

#[derive(Debug)]
pub(super) struct Hearing<I> {
    inner: I,
    /// The peer takes nothing any more.
    is_deaf: bool,
    /// All that the peer had to say has been read.
    has_ended: bool,
    /// Bytes that the peer's side of the network has taken.
    sent: u64,
}

impl<I> Hearing<I> {
    pub(super) fn new(inner: I) -> Self {
        Self { inner, is_deaf: false, has_ended: false, sent: 0 }
    }

    pub(super) fn get_ref(&self) -> &I {
        &self.inner
    }

    /// The peer takes nothing any more, and this is how many bytes it has taken before; `None`: it
    /// takes more.
    pub(super) fn deaf_after(&self) -> Option<u64> {
        self.is_deaf.then_some(self.sent)
    }

    /// Bytes that have been sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    fn written(&mut self, written: io::Result<usize>, length: usize) -> io::Result<usize> {
        match written {
            Err(error) if !self.has_ended && has_gone(&error) => {
                self.is_deaf = true;
                Ok(length)
            }
            Ok(length) => {
                self.sent += length as u64;
                Ok(length)
            }
            other => other,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Hearing<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() == before && buf.remaining() > 0 {
            if self.is_deaf {
                // The write has taken the error away. An answer without a length must not seem
                // whole.
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            self.has_ended = true;
        }
        turn::spend(buf.filled().len() - before, cx);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Hearing<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        Poll::Ready(self.written(written, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = || slices.iter().map(|slice| slice.len()).sum();
        if self.is_deaf {
            return Poll::Ready(Ok(length()));
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, slices));
        Poll::Ready(self.written(written, length()))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        Poll::Ready(self.written(flushed.map(|()| 0), 0).map(|_| ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

fn has_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn p03_an_answer_is_read_though_its_sender_has_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (mut peer, _) = listener.accept().await.expect("a connection");
        let mut stream = Hearing::new(stream);
        stream.write_all(b"upload").await.expect("a write");
        peer.write_all(b"no").await.expect("a write");
        // With bytes unread this resets the connection.
        peer.readable().await.expect("bytes");
        drop(peer);
        while !stream.is_deaf {
            stream.write_all(b"more").await.expect("no error");
        }
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await.expect("the answer");
        assert_eq!(&answer, b"no");
        assert!(stream.read(&mut answer).await.is_err(), "and then the reset");
    }

    #[tokio::test]
    async fn p03_writes_fail_when_the_peer_has_said_all_and_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (peer, _) = listener.accept().await.expect("a connection");
        let mut stream = Hearing::new(stream);
        drop(peer);
        assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
        // Nothing is left to be heard: whoever writes on must learn of it.
        while stream.write_all(b"more").await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
