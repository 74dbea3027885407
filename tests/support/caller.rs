//! A caller that writes the bytes it is given and reads answers, one connection long.

use std::net::SocketAddr;
use std::time::Duration;

use tokenward::app::Address;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::bulk::pour_until_blocked;
use super::leaks;
use super::message::{Message, Side};
use super::soon;

/// A connection to the gateway.
pub struct Caller {
    stream: Box<dyn Stream>,
    /// Read, but not yet taken for an answer.
    read: Vec<u8>,
    closed: bool,
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes of its close a reset.
    fn will_reset(&self) {}
}

impl Stream for UnixStream {}

impl Stream for TcpStream {
    fn will_reset(&self) {
        self.set_zero_linger().expect("a socket option");
    }
}

impl Stream for TlsStream<TcpStream> {}

impl Caller {
    pub async fn to(address: &Address) -> Self {
        match address {
            Address::Tcp(address) => Self::tcp(*address).await,
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.expect("the gateway accepts");
                Self { stream: Box::new(stream), read: Vec::new(), closed: false }
            }
        }
    }

    pub async fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gateway accepts");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream: Box::new(stream), read: Vec::new(), closed: false }
    }

    /// Over a connection that there is already, such as one of TLS.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), read: Vec::new(), closed: false }
    }

    /// When this is dropped the connection is reset, as when a program is killed.
    pub fn that_resets(self) -> Self {
        self.stream.will_reset();
        self
    }

    /// Writes these bytes and no others.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        soon("the gateway takes the bytes", self.stream.write_all(bytes)).await.expect("a write");
    }

    /// Writes as many of these bytes as the gateway takes before it closes.
    pub async fn send_if_taken(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon("an end of the writing", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Reads one answer to the end of its body.
    pub async fn answer(&mut self) -> Message {
        self.read_until(Side::Answer { to_head: false }, |answer| answer.complete).await
    }

    /// Reads the answer to a HEAD request.
    pub async fn answer_to_head(&mut self) -> Message {
        self.read_until(Side::Answer { to_head: true }, |answer| answer.complete).await
    }

    /// Reads of one answer until it satisfies `enough`, and leaves the rest of it unread.
    pub async fn answer_so_far(&mut self, enough: impl Fn(&Message) -> bool) -> Message {
        let to_head = false;
        let answer = self.read_until(Side::Answer { to_head }, enough).await;
        self.read.splice(..0, answer.raw.iter().copied());
        answer
    }

    /// Waits for the gateway to close, and returns what came before that.
    pub async fn rest(mut self) -> Vec<u8> {
        while !self.closed {
            soon("the gateway closes", self.read_more()).await;
        }
        self.read
    }

    /// Waits for the gateway to close, and fails when it resets the connection.
    pub async fn rest_without_reset(&mut self) -> Vec<u8> {
        loop {
            let read = self.stream.read_buf(&mut self.read);
            match soon("the gateway closes", read).await {
                Ok(0) => return std::mem::take(&mut self.read),
                Ok(_) => {}
                Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&self.read)),
            }
        }
    }

    /// Whether nothing has come that was not taken for an answer.
    pub async fn has_nothing(&mut self) -> bool {
        let _ = timeout(Duration::ZERO, self.read_more()).await;
        self.read.is_empty() && !self.closed
    }

    /// Writes the pattern until the gateway takes no more, and returns how many bytes it took.
    pub async fn send_until_blocked(&mut self, most: usize) -> usize {
        pour_until_blocked(&mut self.stream, most).await
    }

    /// The socket, and what has been read from it.
    pub fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.read)
    }

    async fn read_until(&mut self, side: Side, enough: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = Message::read(&self.read, side, self.closed);
            match message {
                Some(message) if enough(&message) => {
                    self.read.drain(..message.raw.len());
                    leaks::answered(&message);
                    return message;
                }
                so_far if self.closed => panic!("the gateway closed after {so_far:?}"),
                _ => soon("an answer", self.read_more()).await,
            }
        }
    }

    async fn read_more(&mut self) {
        // A reset is an end, too: what came before it counts.
        let read = self.stream.read_buf(&mut self.read).await.unwrap_or(0);
        self.closed = read == 0;
    }
}
