//! The sandbox over a real socket, spoken to in raw HTTP so that nothing is tidied on the way.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

mod calls;
mod control;
mod faults;
mod granting;
mod tls;
mod websocket;

/// A served sandbox, and raw requests to it.
struct Bench {
    sandbox: Arc<Sandbox>,
    address: SocketAddr,
    served: JoinHandle<()>,
    shutdown: DropGuard,
}

impl Bench {
    async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sandbox = Sandbox::new(settings);
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(Arc::clone(&sandbox).serve(listener, shutdown.clone()));
        Self { sandbox, address, served, shutdown: shutdown.drop_guard() }
    }

    /// What comes back until the connection closes.
    async fn raw(&self, request: &str) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(DEADLINE, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn send(&self, request: &str) -> Answered {
        Answered::parse(&self.raw(request).await)
    }

    /// A call without a body, with a token that is handed out for it if none lives.
    async fn call(&self, vendor: Vendor, method: &str, target: &str) -> Answered {
        if self.sandbox.current(vendor).access_token.is_none() {
            self.sandbox.issue(vendor);
        }
        let head = match vendor {
            Vendor::Jing => self.jing_headers(),
            Vendor::Aiclk => format!("OGW_ACCESS_TOKEN: {}\r\n", self.access(vendor)),
        };
        self.send(&request(method, target, &head, "")).await
    }

    async fn expect_mistake(&self, vendor: Vendor, what: &str, request: &str) {
        let before = self.sandbox.counts(vendor);
        let answer = self.send(request).await;
        let after = self.sandbox.counts(vendor);
        assert_eq!(after.mistakes, before.mistakes + 1, "{what}");
        assert_eq!((after.granted, after.accepted), (before.granted, before.accepted), "{what}");
        let reason = self.sandbox.mistakes(vendor).pop().unwrap();
        assert!(answer.head.contains(&format!("sandbox-mistake: {reason}")), "{what}");
    }

    fn issue(&self, vendor: Vendor) -> String {
        self.sandbox.issue(vendor).access_token.unwrap()
    }

    fn access(&self, vendor: Vendor) -> String {
        self.sandbox.current(vendor).access_token.unwrap()
    }

    fn jing_headers(&self) -> String {
        jing_headers(&self.access(Vendor::Jing))
    }
}

/// An answer taken apart as it came over the wire.
struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    fn parse(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: format!("{head}\r\n"), body: answer[end + 4..].to_vec() }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn chunks(&self) -> Vec<&[u8]> {
        let mut chunks = Vec::new();
        let mut rest = &*self.body;
        loop {
            let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
            let size = std::str::from_utf8(&rest[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if size == 0 {
                return chunks;
            }
            chunks.push(&rest[line + 2..][..size]);
            rest = &rest[line + 2 + size + 2..];
        }
    }
}

fn request(method: &str, target: &str, head: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: vendor.test\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{head}\r\n{body}"
    )
}

fn jing_mint() -> String {
    let body = r#"{"app_id":"sandbox-app-id","app_secret":"sandbox-app-secret"}"#;
    request("POST", "/v1/oauth2/token", "Content-Type: application/json\r\n", body)
}

fn jing_refresh(token: &str) -> String {
    let body = format!(
        r#"{{"app_id":"sandbox-app-id","app_secret":"sandbox-app-secret","refresh_token":"{token}"}}"#
    );
    request("POST", "/v1/oauth2/token/refresh", "Content-Type: application/json\r\n", &body)
}

fn jing_headers(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\napp_id: sandbox-app-id\r\naccess_token: {token}\r\n")
}

fn aiclk_refresh(token: &str) -> String {
    multipart(&[("client_id", "sandbox-client-id"), ("refresh_token", token)])
}

fn aiclk_call(token: &str) -> String {
    request("GET", "/openapi/v1/x", &format!("OGW_ACCESS_TOKEN: {token}\r\n"), "")
}

fn multipart(fields: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        body += "--boundary\r\nContent-Disposition: form-data; name=\"";
        body += &format!("{name}\"\r\n\r\n{value}\r\n");
    }
    body += "--boundary--\r\n";
    let content_type = "Content-Type: multipart/form-data; boundary=boundary\r\n";
    request("POST", "/oauth2/token", content_type, &body)
}

const DEADLINE: Duration = Duration::from_secs(10);
