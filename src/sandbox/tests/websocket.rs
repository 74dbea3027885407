//! The WebSocket that echoes, in raw frames.

use super::*;

/// A WebSocket at aiclk, with a token that lives.
struct Socket(TcpStream);

impl Socket {
    async fn open(vendor: &Bench) -> Self {
        let token = format!("OGW_ACCESS_TOKEN: {}\r\n", vendor.issue(Vendor::Aiclk));
        let mut socket = TcpStream::connect(vendor.address).await.unwrap();
        let request = handshake("/openapi/-/websocket", &token);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(DEADLINE, socket.read_u8()).await.unwrap().unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        for line in ["connection: upgrade", "upgrade: websocket", ACCEPT] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        assert!(!head.contains("content-length"), "{head}");
        Self(socket)
    }

    async fn send(&mut self, frame: &[u8]) {
        self.0.write_all(frame).await.unwrap();
    }

    async fn expect(&mut self, frame: &[u8]) {
        let mut read = vec![0; frame.len()];
        timeout(DEADLINE, self.0.read_exact(&mut read)).await.unwrap().unwrap();
        assert!(read == frame, "{:02x?}", &read[..read.len().min(40)]);
    }

    async fn expect_end(&mut self) {
        let read = timeout(DEADLINE, self.0.read_u8()).await.unwrap();
        assert!(read.is_err(), "{read:?}");
    }
}

fn handshake(path: &str, head: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: vendor.test\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n{KEY}{head}\r\n"
    )
}

/// As a client sends it: masked.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = *b"mask";
    let mut frame = head(first, 0x80, payload.len());
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// As a server sends it.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    [&head(first, 0, payload.len()), payload].concat()
}

fn head(first: u8, masked: u8, length: usize) -> Vec<u8> {
    match length {
        0..126 => vec![first, masked | length as u8],
        126..65_536 => [&[first, masked | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, masked | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

#[tokio::test]
async fn frames_of_every_length_come_back_unmasked_until_the_close() {
    let vendor = Bench::start(Settings::default()).await;
    let mut socket = Socket::open(&vendor).await;
    for length in [0, 5, 125, 126, 65_535, 65_536, 1024 * 1024] {
        let payload = b"0123456".repeat(length / 7 + 1);
        socket.send(&masked(BINARY, &payload[..length])).await;
        socket.expect(&plain(BINARY, &payload[..length])).await;
    }
    // A message in two fragments, and a ping between them.
    socket.send(&masked(0x01, "张".as_bytes())).await;
    socket.send(&masked(PING, b"there?")).await;
    socket.send(&masked(0x80, "三".as_bytes())).await;
    socket.expect(&plain(0x01, "张".as_bytes())).await;
    socket.expect(&plain(PONG, b"there?")).await;
    socket.expect(&plain(0x80, "三".as_bytes())).await;
    socket.send(&masked(PONG, b"unasked")).await;
    socket.send(&masked(CLOSE, &[0x03, 0xe8])).await;
    socket.expect(&plain(CLOSE, &[0x03, 0xe8])).await;
    socket.expect_end().await;
    let counts = vendor.sandbox.counts(Vendor::Aiclk);
    assert_eq!((counts.calls, counts.accepted, counts.mistakes), (1, 1, 0));
}

#[tokio::test]
async fn a_broken_rule_closes_the_socket_with_its_code() {
    let vendor = Bench::start(Settings::default()).await;
    for (frame, code) in [
        (plain(BINARY, b""), 1002_u16),
        (masked(BINARY | 0x40, b"")[..2].to_vec(), 1002),
        (masked(0x83, b"")[..2].to_vec(), 1002),
        (head(BINARY, 0x80, 1024 * 1024 + 1), 1009),
    ] {
        let mut socket = Socket::open(&vendor).await;
        socket.send(&frame).await;
        socket.expect(&plain(CLOSE, &code.to_be_bytes())).await;
        socket.expect_end().await;
    }
}

#[tokio::test]
async fn a_handshake_needs_a_living_token_and_all_of_its_fields() {
    let vendor = Bench::start(Settings::default()).await;
    let close = |request: String| request.replace("keep-alive", "close");
    let dead = vendor.issue(Vendor::Jing);
    vendor.sandbox.expire(Vendor::Jing);
    let rejected = handshake("/v1/-/websocket", &jing_headers(&dead));
    let rejected = vendor.send(&close(rejected)).await;
    assert_eq!((rejected.status, vendor.sandbox.counts(Vendor::Jing).rejected), (200, 1));

    let token = format!("OGW_ACCESS_TOKEN: {}\r\n", vendor.issue(Vendor::Aiclk));
    let good = close(handshake("/openapi/-/websocket", &token));
    for (what, bad) in [
        ("not GET", good.replace("GET", "POST")),
        (
            "not asked for",
            good.replace(", Upgrade\r\n", "\r\n").replace("Upgrade: WebSocket\r\n", ""),
        ),
        ("something else", good.replace("WebSocket\r\n", "h2c\r\n")),
        ("another version", good.replace("Version: 13", "Version: 8")),
        ("no key", good.replace(KEY, "")),
        ("two keys", good.replace(KEY, &KEY.repeat(2))),
        ("a short key", good.replace("dGhl", "")),
    ] {
        vendor.expect_mistake(Vendor::Aiclk, what, &bad).await;
    }
}

#[tokio::test]
async fn the_end_of_the_sandbox_ends_a_websocket() {
    let vendor = Bench::start(Settings::default()).await;
    let mut socket = Socket::open(&vendor).await;
    drop(vendor.shutdown);
    timeout(DEADLINE, vendor.served).await.unwrap().unwrap();
    socket.expect_end().await;
}

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The example of RFC 6455, and its answer in lower case.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
