//! One connection on the vendor's side in the test's own hands: for what a scripted answer cannot
//! do, such as reading while it writes, or not reading at all.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::bulk::pour_until_blocked;
use super::message::{Message, Side, find};
use super::soon;

/// A connection whose last bytes were the head of a request.
pub struct Hand {
    stream: TcpStream,
    /// Read, but not yet taken for a request.
    read: Vec<u8>,
    closed: bool,
}

/// A connection that is still to come.
pub struct Awaited(mpsc::Receiver<Hand>);

/// Takes connections over.
#[derive(Clone)]
pub struct Taker(mpsc::Sender<Hand>);

pub fn taker() -> (Taker, Awaited) {
    let (sender, receiver) = mpsc::channel(1);
    (Taker(sender), Awaited(receiver))
}

// === impl Taker ===

impl Taker {
    pub async fn take(&self, stream: TcpStream, read: Vec<u8>) {
        let _ = self.0.send(Hand { stream, read, closed: false }).await;
    }
}

// === impl Awaited ===

impl Awaited {
    pub async fn arrives(mut self) -> Hand {
        soon("a request at the vendor's", self.0.recv()).await.expect("a vendor that listens")
    }
}

// === impl Hand ===

impl Hand {
    /// Reads one request to its end.
    pub async fn request(&mut self) -> Message {
        let request = self.request_so_far(|request| request.complete).await;
        self.read.drain(..request.raw.len());
        request
    }

    /// Reads of one request until it satisfies `enough`, and leaves it where it is.
    pub async fn request_so_far(&mut self, enough: impl Fn(&Message) -> bool) -> Message {
        loop {
            match Message::read(&self.read, Side::Request, self.closed) {
                Some(request) if enough(&request) => return request,
                so_far if self.closed => panic!("the gateway closed after {so_far:?}"),
                _ => soon("more of a request", self.read_more()).await,
            }
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = soon("the gateway takes it", self.stream.write_all(bytes.as_ref())).await;
        sent.expect("a write");
    }

    /// Writes the pattern until the gateway takes no more, and returns how many bytes it took.
    pub async fn send_until_blocked(&mut self, most: usize) -> usize {
        pour_until_blocked(&mut self.stream, most).await
    }

    /// The socket, and what has been read from it.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.read)
    }

    /// Waits for the gateway to close, and returns what it sent before that.
    pub async fn rest(&mut self) -> &[u8] {
        while !self.closed {
            soon("the gateway closes the vendor's connection", self.read_more()).await;
        }
        &self.read
    }

    /// Reads so many bytes of a long body, without parsing it anew each time.
    pub async fn long_body(&mut self, count: usize, chunked: bool) -> Vec<u8> {
        self.request_so_far(|_| true).await;
        let head = find(&self.read, b"\r\n\r\n").expect("a head") + 4;
        self.read.drain(..head);
        let mut body = Vec::new();
        let mut left = if chunked { 0 } else { usize::MAX };
        loop {
            while !self.read.is_empty() {
                if left == 0 {
                    // The end of the last chunk comes before the size of the next.
                    let start = if body.is_empty() { 0 } else { 2 };
                    let size = self.read.get(start..).and_then(|rest| find(rest, b"\r\n"));
                    let Some(end) = size.map(|length| start + length) else { break };
                    let size = String::from_utf8_lossy(&self.read[start..end]).into_owned();
                    left = usize::from_str_radix(&size, 16).expect("the size of a chunk");
                    self.read.drain(..end + 2);
                }
                let taken = left.min(self.read.len());
                body.extend(self.read.drain(..taken));
                left -= taken;
            }
            if body.len() >= count {
                body.truncate(count);
                return body;
            }
            soon("more of a body", self.read_more()).await;
            assert!(!self.closed, "the gateway closed after {} bytes", body.len());
        }
    }

    /// Writes until the gateway closes.
    pub async fn trickle_until_closed(mut self, piece: &str) {
        while self.stream.write_all(piece.as_bytes()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Reads until the gateway closes, however long that takes, and keeps nothing.
    pub async fn drain(&mut self) {
        while !self.closed {
            self.read_more().await;
            self.read.clear();
        }
    }

    /// A close while there is something to read is a reset on the wire.
    pub fn close(self) {}

    async fn read_more(&mut self) {
        self.read.reserve(64 * 1024);
        let read = self.stream.read_buf(&mut self.read).await.unwrap_or(0);
        self.closed = read == 0;
    }
}
