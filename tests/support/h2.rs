//! HTTP/2 by hand: frames as they stand on the wire, and a vendor that sends what the test wants.

mod frames;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use fluke_hpack::Decoder;
use tempfile::TempDir;
use tokenward::app::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::authority::Authority;
use super::bulk::pattern;
use super::front::Front;
use super::{RawVendor, STANDSTILL, Stage, soon};

pub use frames::*;

/// What has come in, put together from its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head, or trailers.
    Head {
        stream: u32,
        fields: Fields,
        end: bool,
    },
    Data {
        stream: u32,
        bytes: Vec<u8>,
        end: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    GoAway {
        code: u32,
    },
    /// The connection has ended.
    Closed,
}

/// A vendor behind TLS that chooses HTTP/2; each connection is the test's to serve. Whoever speaks
/// HTTP/1.1, as the token endpoint's client does, gets a [`RawVendor`].
pub struct Vendor {
    pub http1: RawVendor,
    pub front: Front,
    folder: TempDir,
    connections: mpsc::Receiver<TcpStream>,
}

/// The vendor's end of a connection, or a caller's.
pub struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
    decoder: Decoder<'static>,
    events: VecDeque<Event>,
    /// What the gateway takes of bodies: of every stream at its beginning, and now; stream 0 is the
    /// connection.
    first_window: i64,
    windows: HashMap<u32, i64>,
    /// Says at once that what has come has been read.
    pub gives_window: bool,
    /// Answers PING.
    pub is_awake: bool,
}

// === impl Vendor ===

impl Vendor {
    /// Chooses the first of these protocols that it is offered.
    pub async fn start(protocols: &[&str]) -> Self {
        let http1 = RawVendor::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, connections) = mpsc::channel(100);
        tokio::spawn(accept(listener, http1.address, sender));
        let authority = Authority::new("ours");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("written");
        let mut tls = authority.server("127.0.0.1", false);
        tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let front = Front::before(address, tls).await;
        Self { http1, front, folder, connections }
    }

    /// A gateway before it, with one worker and a token of the vendor's.
    pub async fn stage(&self, more: &str) -> Stage {
        let ca_file = self.folder.path().join("ca.pem");
        let config = format!(
            "[upstream.aiclk]\nhttp2 = true\nbase_url = 'https://127.0.0.1:{}'\n\
             tls.ca_file = '{}'\n{more}\n",
            self.front.port(),
            ca_file.display()
        );
        Stage::plan().before(self.http1.address).config(&config).start().await
    }

    /// The next connection, with what it begins with exchanged.
    pub async fn peer(&mut self, settings: &[(u16, u32)]) -> Peer {
        let stream = soon("a connection", self.connections.recv()).await.expect("a listener");
        let mut peer = Peer::new(stream);
        peer.settings(settings).await;
        peer
    }

    /// The same, if there is one already.
    pub fn waiting_peer(&mut self) -> Option<Peer> {
        self.connections.try_recv().ok().map(Peer::new)
    }
}

async fn accept(listener: TcpListener, http1: SocketAddr, connections: mpsc::Sender<TcpStream>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let connections = connections.clone();
        tokio::spawn(async move {
            let mut first = [0; 3];
            if !matches!(stream.peek(&mut first).await, Ok(3)) {
                return;
            }
            if first == PREFACE[..3] {
                let _ = stream.set_nodelay(true);
                let _ = connections.send(stream).await;
            } else if let Ok(mut inner) = TcpStream::connect(http1).await {
                let _ = copy_bidirectional(&mut stream, &mut inner).await;
            }
        });
    }
}

// === impl Peer ===

impl Peer {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
            decoder: Decoder::new(),
            events: VecDeque::new(),
            first_window: 65_535,
            windows: HashMap::from([(0, 65_535)]),
            gives_window: true,
            is_awake: true,
        }
    }

    /// A caller that knows beforehand that HTTP/2 is spoken here.
    pub async fn caller(stage: &Stage, settings: &[(u16, u32)]) -> Self {
        let Address::Tcp(address) = stage.address("aiclk") else { panic!("a TCP listener") };
        let mut peer = Self::new(TcpStream::connect(address).await.expect("the gateway accepts"));
        peer.stream.write_all(PREFACE).await.expect("a write");
        peer.settings(settings).await;
        peer
    }

    /// A caller over this connection, which begins with these bytes.
    pub async fn over(mut stream: TcpStream, first: &[u8]) -> Self {
        stream.write_all(first).await.expect("a write");
        Self::new(stream)
    }

    /// Writes frames until they are gone or the gateway closes; what it says meanwhile is read.
    pub async fn send_bytes_if_taken(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            tokio::select! {
                written = self.stream.writable() => {
                    written?;
                    match self.stream.try_write(bytes) {
                        Ok(count) => bytes = &bytes[count..],
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                readable = self.stream.readable() => {
                    readable?;
                    self.read_more().await;
                    if self.events.back() == Some(&Event::Closed) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    pub async fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.send(SETTINGS, 0, 0, &payload).await;
    }

    /// Whatever comes next.
    pub async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            soon("something from the gateway", self.read_more()).await;
        }
    }

    /// The next head; what else comes meanwhile may be asked for later.
    pub async fn head(&mut self) -> (u32, Fields, bool) {
        let mut others = Vec::new();
        loop {
            match self.event().await {
                Event::Head { stream, fields, end } => {
                    others.into_iter().rev().for_each(|event| self.events.push_front(event));
                    return (stream, fields, end);
                }
                Event::Closed => panic!("the gateway closed, after {others:?}"),
                event => others.push(event),
            }
        }
    }

    /// The rest of a body, with the trailers after it.
    pub async fn body(&mut self, wanted: u32) -> (Vec<u8>, Fields) {
        let mut body = Vec::new();
        loop {
            match self.event().await {
                Event::Data { stream, bytes, end } if stream == wanted => {
                    body.extend(bytes);
                    if end {
                        return (body, Vec::new());
                    }
                }
                Event::Head { stream, fields, end: true } if stream == wanted => {
                    return (body, fields);
                }
                event => panic!("{event:?} within the body of {wanted}"),
            }
        }
    }

    /// A whole request without a body: its stream and its fields.
    pub async fn request(&mut self) -> (u32, Fields) {
        let (stream, fields, end) = self.head().await;
        assert!(end, "a body follows {fields:?}");
        (stream, fields)
    }

    /// Waits for the end of the connection.
    pub async fn closed(&mut self) {
        while self.event().await != Event::Closed {}
    }

    /// A head or trailers.
    pub async fn fields(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, &block(fields)).await;
    }

    pub async fn data(&mut self, stream: u32, bytes: &[u8], end: bool) {
        let first = self.first_window;
        *self.windows.entry(0).or_default() -= bytes.len() as i64;
        *self.windows.entry(stream).or_insert(first) -= bytes.len() as i64;
        self.send(DATA, if end { END_STREAM } else { 0 }, stream, bytes).await;
    }

    /// A whole answer of JSON.
    pub async fn answer(&mut self, stream: u32, status: &str, body: &str) {
        let fields = [(":status", status), ("content-type", "application/json")];
        self.fields(stream, &fields, false).await;
        self.data(stream, body.as_bytes(), true).await;
    }

    pub async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    pub async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    /// Sends the first `count` bytes of the pattern as a whole body.
    pub async fn pour(&mut self, stream: u32, count: usize) {
        let pattern = pattern();
        let mut sent = 0;
        while sent < count {
            let from = sent % pattern.len();
            let piece = &pattern[from..pattern.len().min(from + FRAME).min(from + count - sent)];
            while !self.has_window(stream, piece.len()) {
                soon("room for more", self.read_more()).await;
            }
            sent += piece.len();
            self.data(stream, piece, sent == count).await;
        }
    }

    /// Sends of a body until the gateway takes no more for a while, or `most` bytes are gone, and
    /// returns how many it took.
    pub async fn pour_until_blocked(&mut self, stream: u32, most: usize) -> usize {
        let piece = vec![b'x'; FRAME];
        let mut sent = 0;
        while sent < most {
            while !self.has_window(stream, FRAME) {
                if timeout(STANDSTILL, self.read_more()).await.is_err() {
                    return sent;
                }
            }
            self.data(stream, &piece, false).await;
            sent += FRAME;
        }
        sent
    }

    fn has_window(&self, stream: u32, bytes: usize) -> bool {
        let own = self.windows.get(&stream).unwrap_or(&self.first_window);
        self.windows[&0].min(*own) >= bytes as i64
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send_if_taken(kind, flags, stream, payload).await.expect("the gateway is there");
    }

    pub async fn send_if_taken(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> std::io::Result<()> {
        let bytes = frame(kind, flags, stream, payload);
        soon("the gateway takes a frame", self.stream.write_all(&bytes)).await
    }

    async fn read_more(&mut self) {
        self.read.reserve(64 * 1024);
        if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
            self.events.push_back(Event::Closed);
            return;
        }
        if self.read.starts_with(PREFACE) {
            self.read.drain(..PREFACE.len());
        }
        while let Some(frame) = next_frame(&mut self.read) {
            self.take(frame).await;
        }
    }

    async fn take(&mut self, frame: Frame) {
        let Frame { kind, flags, stream, payload } = frame;
        match kind {
            HEADERS => {
                assert!(flags & END_HEADERS != 0, "a head in one frame");
                let fields = self.decoder.decode(&payload).expect("fields");
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let fields = fields.into_iter().map(|(name, value)| (text(name), text(value)));
                let (fields, end) = (fields.collect(), flags & END_STREAM != 0);
                self.events.push_back(Event::Head { stream, fields, end });
            }
            DATA => {
                let more = u32::try_from(payload.len()).expect("a small frame");
                if self.gives_window && more > 0 {
                    let _ = self.send_if_taken(WINDOW_UPDATE, 0, 0, &more.to_be_bytes()).await;
                    let _ = self.send_if_taken(WINDOW_UPDATE, 0, stream, &more.to_be_bytes()).await;
                }
                let end = flags & END_STREAM != 0;
                self.events.push_back(Event::Data { stream, bytes: payload, end });
            }
            RST_STREAM => {
                self.events.push_back(Event::Reset { stream, code: number(&payload) });
            }
            GOAWAY => self.events.push_back(Event::GoAway { code: number(&payload[4..]) }),
            WINDOW_UPDATE => {
                let first = if stream == 0 { 0 } else { self.first_window };
                *self.windows.entry(stream).or_insert(first) += i64::from(number(&payload));
            }
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks(6) {
                    if setting[..2] == INITIAL_WINDOW_SIZE.to_be_bytes() {
                        self.first_window = i64::from(number(&setting[2..]));
                    }
                }
                let _ = self.send_if_taken(SETTINGS, ACK, 0, &[]).await;
            }
            PING if flags & ACK == 0 && self.is_awake => {
                let _ = self.send_if_taken(PING, ACK, 0, &payload).await;
            }
            CONTINUATION => panic!("a head in one frame"),
            _ => {}
        }
    }
}

/// The longest frame that nobody has to announce.
const FRAME: usize = 16 << 10;
