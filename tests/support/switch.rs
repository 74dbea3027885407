//! A server whose port is two things: to a few paths it answers with pages of the test's, and
//! everything else it hands to a server behind it and writes down. So a page can be served under a
//! name and a port that lead to the gateway a moment later, as after DNS rebinding.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Caller;
use super::message::{Message, Side};

#[derive(Clone)]
pub struct Switch {
    pub port: u16,
    behind: Option<SocketAddr>,
    page: &'static str,
    state: Arc<Mutex<State>>,
}

/// What was handed on, and what came back.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Message,
    pub answer: Message,
}

#[derive(Default)]
struct State {
    exchanges: Vec<Exchange>,
    reports: Vec<Value>,
}

impl Switch {
    /// A server of pages alone.
    pub async fn of_pages(page: &'static str) -> Self {
        Self::start(None, page).await
    }

    pub async fn before(behind: SocketAddr, page: &'static str) -> Self {
        Self::start(Some(behind), page).await
    }

    pub fn exchanges(&self) -> Vec<Exchange> {
        self.state().exchanges.clone()
    }

    /// What the pages have told.
    pub fn reports(&self) -> Vec<Value> {
        self.state().reports.clone()
    }

    async fn start(behind: Option<SocketAddr>, page: &'static str) -> Self {
        // Browsers try `[::1]` for `localhost`, too.
        let (v4, v6) = loop {
            let v4 = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = v4.local_addr().expect("an address").port();
            match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
                Ok(v6) => break (v4, v6),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(error) => panic!("this test needs IPv6 on loopback: {error}"),
            }
        };
        let port = v4.local_addr().expect("an address").port();
        let switch = Self { port, behind, page, state: Arc::default() };
        for listener in [v4, v6] {
            let switch = switch.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(switch.clone().serve(stream));
                }
            });
        }
        switch
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        loop {
            let request = loop {
                match Message::read(&bytes, Side::Request, false) {
                    Some(request) if request.complete => break request,
                    _ if matches!(stream.read_buf(&mut bytes).await, Ok(read) if read > 0) => {}
                    _ => return,
                }
            };
            bytes.drain(..request.raw.len());
            let answer = match (self.own(&request), self.behind) {
                (Some(answer), _) => answer,
                (None, None) => response("404 Not Found", "text/plain", "", "no such page"),
                (None, Some(behind)) => self.hand_on(request, behind).await,
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    /// The answer to what is asked of the test's own server.
    fn own(&self, request: &Message) -> Option<Vec<u8>> {
        let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
        match path {
            "/page" => Some(response("200 OK", "text/html", "", self.page)),
            "/worker" => Some(response("200 OK", "text/javascript", "", WORKER)),
            "/redirect" => {
                let location = format!("Location: {query}\r\n");
                Some(response("302 Found", "text/plain", &location, ""))
            }
            "/report" => {
                self.state().reports.push(request.json());
                Some(response("200 OK", "text/plain", "", ""))
            }
            _ => None,
        }
    }

    async fn hand_on(&self, request: Message, behind: SocketAddr) -> Vec<u8> {
        let mut caller = Caller::tcp(behind).await;
        caller.send(&request.raw).await;
        let answer = caller.answer().await;
        let raw = answer.raw.clone();
        self.state().exchanges.push(Exchange { request, answer });
        raw
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }
}

fn response(status: &str, content_type: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\n{fields}\r\n{body}"
    )
    .into_bytes()
}

/// It asks for what its page tells it to.
const WORKER: &str = "
self.onmessage = event => event.waitUntil((async () => {
    const read = await fetch(event.data, {mode: 'no-cors'}).then(answer => answer.type, String);
    event.source.postMessage(read);
})());
";
