//! A vendor that records every byte it is sent and answers what the test has scripted.
//!
//! Token endpoints answer by themselves, with a new token each time, until the test scripts them
//! too.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::hand::{Awaited, Taker, taker};
use super::message::{Message, Side};
use super::{recording, soon, until};

#[derive(Clone)]
pub struct RawVendor {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    gone: CancellationToken,
}

/// By the name of its folder in `tests/vendors`.
pub type Vendor = &'static str;

/// What is sent for one request, and when.
#[derive(Clone)]
pub struct Answer {
    bytes: Vec<u8>,
    split: bool,
    /// Sent when the head of the request is there, without waiting for its body.
    at_head: bool,
    gate: Option<Gate>,
    then: Then,
    taker: Option<Taker>,
}

/// Holds an answer back until the test opens it.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The next request may come on this connection.
    KeepAlive,
    Close,
    /// A reset, as a crashed server or a firewall sends it.
    Reset,
    /// The connection stays open, and nothing more is sent or read.
    Silence,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    answers: VecDeque<Answer>,
    token_calls: Vec<(Vendor, Message)>,
    token_answers: Vec<(Vendor, Answer)>,
    /// Connections accepted.
    connections: usize,
}

/// A business call as it stands on the wire, perhaps not complete yet.
#[derive(Clone, Debug)]
pub struct Call {
    pub request: Message,
    /// Counted from 0; calls with the same number came one after the other on one connection.
    pub connection: usize,
}

impl RawVendor {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let vendor = Self { address, state: Arc::default(), gone: CancellationToken::new() };
        tokio::spawn(vendor.clone().accept(listener));
        vendor
    }

    /// Scripts the answer to the next business call that has none yet; later calls without one get
    /// an empty success.
    pub fn will(&self, answer: Answer) -> &Self {
        self.state().answers.push_back(answer);
        self
    }

    /// Puts the next business call that has no answer yet into the test's own hands, with its
    /// connection.
    pub fn by_hand(&self) -> Awaited {
        let (taker, awaited) = taker();
        self.will(Answer { taker: Some(taker), ..Answer::raw("") });
        awaited
    }

    /// Scripts the answer to the next call of a vendor's token endpoint.
    pub fn token_endpoint_will(&self, vendor: Vendor, answer: Answer) -> &Self {
        self.state().token_answers.push((vendor, answer));
        self
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// The only business call that there was.
    #[track_caller]
    pub fn only_call(&self) -> Message {
        let calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls[0].request.clone()
    }

    pub fn token_calls(&self, vendor: Vendor) -> Vec<Message> {
        self.state().token_calls_of(vendor).cloned().collect()
    }

    /// Waits until the calls are as expected.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Call]) -> bool) {
        until(what, || holds(&self.state().calls)).await;
    }

    /// The access token that the token endpoint hands out, counted from 1.
    pub fn token(&self, vendor: Vendor, number: usize) -> String {
        format!("{vendor}-access-{number}-of-{}", self.address.port())
    }

    /// Closes every connection; new ones are refused.
    pub async fn leave(&self) {
        self.gone.cancel();
        let refused = async { while TcpStream::connect(self.address).await.is_ok() {} };
        soon("the vendor has gone", refused).await;
    }

    async fn accept(self, listener: TcpListener) {
        let gone = self.gone.clone();
        while let Some(Ok((stream, _))) = gone.run_until_cancelled(listener.accept()).await {
            let number = {
                let mut state = self.state();
                state.connections += 1;
                state.connections - 1
            };
            let (vendor, gone) = (self.clone(), gone.clone());
            tokio::spawn(gone.run_until_cancelled_owned(vendor.serve(stream, number)));
        }
    }

    async fn serve(self, mut stream: TcpStream, connection: usize) {
        let _ = stream.set_nodelay(true);
        let mut bytes = Vec::new();
        loop {
            // The head.
            let head = loop {
                match Message::read(&bytes, Side::Request, false) {
                    Some(message) => break message,
                    None if !read_more(&mut stream, &mut bytes).await => return,
                    None => {}
                }
            };
            let token_of = token_endpoint_of(head.target());
            let (place, answer) = self.arrived(head, connection, token_of);
            if let Some(taker) = answer.taker {
                return taker.take(stream, bytes).await;
            }
            // The body, as far as the answer waits for it.
            let mut request = Message::read(&bytes, Side::Request, false).expect("a head");
            while !request.complete && !answer.at_head {
                if !read_more(&mut stream, &mut bytes).await {
                    return;
                }
                request = Message::read(&bytes, Side::Request, false).expect("a head");
                self.note(place, token_of, request.clone());
            }
            if let Some(Gate(gate)) = &answer.gate {
                gate.acquire().await.expect("an open gate").forget();
            }
            if !answer.send(&mut stream).await {
                return;
            }
            // The rest of the body, where the answer did not wait for it.
            while !request.complete {
                if !read_more(&mut stream, &mut bytes).await {
                    return;
                }
                request = Message::read(&bytes, Side::Request, false).expect("a head");
                self.note(place, token_of, request.clone());
            }
            bytes.drain(..request.raw.len());
        }
    }

    /// Notes a request whose head is there, and picks its answer.
    fn arrived(
        &self,
        request: Message,
        connection: usize,
        token_of: Option<Vendor>,
    ) -> (usize, Answer) {
        let mut state = self.state();
        let Some(vendor) = token_of else {
            state.calls.push(Call { request, connection });
            let answer = state.answers.pop_front();
            return (state.calls.len() - 1, answer.unwrap_or_else(Answer::success));
        };
        state.token_calls.push((vendor, request));
        let number = state.token_calls_of(vendor).count();
        let scripted = state.token_answers.iter().position(|(whose, _)| *whose == vendor);
        let answer = match scripted {
            Some(index) => state.token_answers.remove(index).1,
            None => self.grant(vendor, number),
        };
        (state.token_calls.len() - 1, answer)
    }

    fn note(&self, place: usize, token_of: Option<Vendor>, request: Message) {
        let mut state = self.state();
        match token_of {
            Some(_) => state.token_calls[place].1 = request,
            None => state.calls[place].request = request,
        }
    }

    /// What the token endpoint answers for this number.
    pub fn grant(&self, vendor: Vendor, number: usize) -> Answer {
        let token = self.token(vendor, number);
        let refresh = token.replace("access", "refresh");
        let values =
            [("access_token", &*token), ("refresh_token", &*refresh), ("expires_in", "7200")];
        Answer::json(200, &recording(&format!("{vendor}/token_success"), &values))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }
}

impl State {
    fn token_calls_of(&self, vendor: Vendor) -> impl Iterator<Item = &Message> {
        self.token_calls.iter().filter(move |(whose, _)| *whose == vendor).map(|(_, call)| call)
    }
}

impl Answer {
    /// These bytes, head and all.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let then = Then::KeepAlive;
        let bytes = bytes.into();
        Self { bytes, split: false, at_head: false, gate: None, then, taker: None }
    }

    /// A body with its length, and fields before it.
    pub fn new(status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self::raw([head.as_bytes(), b"\r\n", body].concat())
    }

    pub fn json(status: u16, body: &str) -> Self {
        Self::new(status, &[("Content-Type", "application/json;charset=UTF-8")], body)
    }

    /// As aiclk says that all is well.
    pub fn success() -> Self {
        Self::json(200, &recording("aiclk/account_info", &[]))
    }

    /// As aiclk says that a token is dead.
    pub fn rejection() -> Self {
        Self::json(200, &recording("aiclk/rejected_expired", &[]))
    }

    /// Nothing: the connection closes.
    pub fn close() -> Self {
        Self { then: Then::Close, ..Self::raw("") }
    }

    /// Nothing: the connection is reset.
    pub fn reset() -> Self {
        Self { then: Then::Reset, ..Self::raw("") }
    }

    /// Nothing, ever.
    pub fn silence() -> Self {
        Self { then: Then::Silence, ..Self::raw("") }
    }

    /// Every byte in a packet of its own.
    pub fn split(self) -> Self {
        Self { split: true, ..self }
    }

    pub fn at_head(self) -> Self {
        Self { at_head: true, ..self }
    }

    pub fn behind(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    pub fn then_close(self) -> Self {
        Self { then: Then::Close, ..self }
    }

    pub fn then_reset(self) -> Self {
        Self { then: Then::Reset, ..self }
    }

    pub fn then_silence(self) -> Self {
        Self { then: Then::Silence, ..self }
    }

    /// Whether the connection goes on.
    async fn send(&self, stream: &mut TcpStream) -> bool {
        let step = if self.split { 1 } else { self.bytes.len().max(1) };
        for piece in self.bytes.chunks(step) {
            if stream.write_all(piece).await.is_err() {
                return false;
            }
            if self.split {
                tokio::task::yield_now().await;
            }
        }
        match self.then {
            Then::KeepAlive => true,
            Then::Close => false,
            Then::Reset => {
                let _ = stream.set_zero_linger();
                false
            }
            Then::Silence => {
                std::future::pending::<()>().await;
                false
            }
        }
    }
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets so many answers through.
    pub fn open(&self, count: usize) {
        self.0.add_permits(count);
    }
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    bytes.reserve(64 * 1024);
    matches!(stream.read_buf(bytes).await, Ok(read) if read > 0)
}

/// Whose token endpoint a target is.
fn token_endpoint_of(target: &str) -> Option<Vendor> {
    let path = target.split('?').next().unwrap_or_default();
    match path {
        _ if path.contains("/v1/oauth2/token") => Some("jing"),
        _ if path.ends_with("/oauth2/token") => Some("aiclk"),
        _ if path.ends_with("/cgi-bin/token") => Some("wechat"),
        _ => None,
    }
}
