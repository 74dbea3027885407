//! A caller that writes the bytes it is given and reads answers, one connection long.

use std::net::SocketAddr;

use tokenward::app::Address;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::message::{Message, Side};
use super::soon;

/// A connection to the gateway.
pub struct Caller {
    stream: Box<dyn Stream>,
    /// Read, but not yet taken for an answer.
    read: Vec<u8>,
    closed: bool,
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

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

    async fn read_until(&mut self, side: Side, enough: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = Message::read(&self.read, side, self.closed);
            match message {
                Some(message) if enough(&message) => {
                    self.read.drain(..message.raw.len());
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
