//! One worker's HTTP/2 connections to one upstream.
//!
//! - The connection with the fewest streams takes the next request. When none has room another is
//!   made, up to a bound; beyond that, requests wait for the next stream that ends.
//! - Requests that come while a connection is being made share it.
//! - A peer that chooses HTTP/1.1 gets HTTP/1.1, until it chooses otherwise.
//! - What the peer says it has not read may be sent again, on another connection; nothing else.

mod connection;
mod request;
mod upload;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response, Version};
use http_body::Body;
use prometheus::IntGauge;
use tokio::sync::oneshot;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Instant, timeout, timeout_at};

use crate::framing::encode;
use crate::upstream::connect::{self, ConnectError, Connector, Negotiated};
use crate::upstream::{AnswerBody, http1};

use super::{Config, SendError};
use connection::{Connection, MOST_STREAMS};
use request::Unread;
use upload::Watched;

pub(super) use connection::Stream;

/// How a connection is looked after.
#[derive(Clone, Debug)]
pub struct Http2 {
    /// Who is called, as `Host` would say it.
    pub authority: Authority,
    pub pings: Pings,
}

/// A silent connection is asked for a sign of life while it carries streams.
#[derive(Clone, Copy, Debug)]
pub struct Pings {
    pub interval: Duration,
    pub timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Pool<B: 'static> {
    connector: Connector,
    config: Config,
    /// How long a connection may lie unused.
    longest_idle: Cell<Duration>,
    http2: Http2,
    gauges: Gauges,
    state: RefCell<State<B>>,
    /// [`Pool::open_as_needed`], for those who know nothing of `B`: the end of a stream may be the
    /// moment to make a connection.
    open_as_needed: fn(&Rc<Self>),
}

#[derive(Debug)]
struct Gauges {
    active: IntGauge,
    idle: IntGauge,
}

#[derive(Debug)]
struct State<B: 'static> {
    /// Those that take new streams.
    connections: Vec<Rc<Connection<B>>>,
    /// Being made.
    opening: usize,
    /// The first to come is the first to go.
    waiting: VecDeque<oneshot::Sender<Turn<B>>>,
    /// What the peer chose last.
    speaks_http1: bool,
    /// How many streams the peer allowed last.
    usual: usize,
}

/// What somebody who has waited gets.
#[derive(Debug)]
enum Turn<B: 'static> {
    Stream(Stream<B>),
    /// The peer speaks HTTP/1.1; one of those who wait gets the connection that has shown it.
    Http1(Option<http1::Connection>),
    Failed(Arc<ConnectError>),
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Sent<B: 'static> {
    Answered(Response<AnswerBody>, Stream<B>),
    /// Untouched: the peer speaks HTTP/1.1.
    Http1(Box<(Request<B>, Option<http1::Connection>)>),
}

// === impl Pool ===

impl<B> Pool<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    pub(super) fn new(
        connector: Connector,
        config: Config,
        http2: Http2,
        (active, idle): (IntGauge, IntGauge),
    ) -> Rc<Self> {
        let state = RefCell::new(State {
            connections: Vec::new(),
            opening: 0,
            waiting: VecDeque::new(),
            speaks_http1: false,
            usual: MOST_STREAMS,
        });
        let (gauges, open_as_needed) = (Gauges { active, idle }, Self::open_as_needed);
        let longest_idle = Cell::new(config.idle);
        Rc::new(Self { connector, config, longest_idle, http2, gauges, state, open_as_needed })
    }

    pub(super) fn speaks_http1(&self) -> bool {
        self.state.borrow().speaks_http1
    }

    pub(super) async fn send(
        self: &Rc<Self>,
        mut request: Request<B>,
        moved_at: &impl Fn() -> Option<Instant>,
    ) -> Result<Sent<B>, SendError> {
        let mut unproven = 0;
        let mut is_shaped = false;
        loop {
            let stream = match self.turn().await? {
                Turn::Stream(stream) => stream,
                Turn::Http1(connection) if !is_shaped => {
                    return Ok(Sent::Http1(Box::new((request, connection))));
                }
                Turn::Http1(_) => return Err(SendError::Changed),
                Turn::Failed(error) => return Err(SendError::Connect(error)),
            };
            if stream.rested >= self.config.fresh {
                // As in HTTP/1.1: the peer's goodbye may lie in the socket.
                yield_now().await;
                yield_now().await;
                if !stream.connection.is_open() {
                    continue;
                }
            }
            if !is_shaped {
                request::shape(&mut request, &self.http2.authority);
                is_shaped = true;
            }
            let connection = stream.connection.clone();
            let announced = encode::announced_trailers(request.headers());
            let (upload, link) = (stream.upload.clone(), connection.link.clone());
            let watch = |body| Watched::new(body, announced, upload, link);
            let answer = connection.sender.borrow_mut().try_send_request(request.map(watch));
            let mut answer = pin!(answer);
            let answered = in_time(answer.as_mut(), self.config.first_byte, moved_at).await;
            if answered.is_err() && !connection.is_proven() {
                // Perhaps nobody is there at all.
                connection.retire();
            }
            let error = match answered? {
                Ok(mut response) => {
                    connection.answered();
                    request::say_length_once(response.headers_mut());
                    *response.version_mut() = Version::HTTP_11;
                    return Ok(Sent::Answered(response.map(AnswerBody::Http2), stream));
                }
                Err(error) => error,
            };
            unproven += usize::from(!connection.is_proven());
            match self.given_back(&connection, error) {
                Ok(unsent) if unproven <= MOST_UNPROVEN => request = unsent,
                Ok(_) => return Err(SendError::Changed),
                Err(error) => return Err(error),
            }
        }
    }

    /// The request, if not a byte of it has been sent.
    fn given_back(
        &self,
        connection: &Connection<B>,
        mut error: hyper::client::conn::TrySendError<Request<Watched<B>>>,
    ) -> Result<Request<B>, SendError> {
        if let Some(unsent) = error.take_message() {
            connection.retire();
            return Ok(unsent.map(Watched::into_inner));
        }
        let error = error.into_error();
        let turned_down = || self.connector.turned_down(&error).filter(|_| !connection.is_proven());
        Err(match request::unread(&error) {
            Some(Unread::Refused) => {
                connection.refused();
                SendError::Unread(error.into())
            }
            Some(Unread::GoneAway) => {
                connection.retire();
                SendError::Unread(error.into())
            }
            None => turned_down().map_or_else(|| SendError::Broken(error.into()), SendError::from),
        })
    }

    /// A stream as soon as there is room for one.
    async fn turn(self: &Rc<Self>) -> Result<Turn<B>, SendError> {
        let waiting = {
            let mut state = self.state.borrow_mut();
            // Nobody overtakes those who wait already.
            if state.waiting.is_empty()
                && let Some(connection) = state.least_loaded(self.longest_idle.get())
            {
                return Ok(Turn::Stream(Stream::new(&connection, self)));
            }
            let (turn, waiting) = oneshot::channel();
            state.waiting.push_back(turn);
            waiting
        };
        self.open_as_needed();
        match timeout(self.config.first_byte, waiting).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(SendError::Changed),
            Err(_) => Err(SendError::Silent(self.config.first_byte)),
        }
    }

    /// Makes as many connections as those who wait need.
    fn open_as_needed(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        state.waiting.retain(|turn| !turn.is_closed());
        let unsettled = state.connections.iter().filter(|it| !it.is_settled()).count();
        let wanted = state.waiting.len().div_ceil(state.usual);
        let missing = wanted.saturating_sub(state.opening + unsettled);
        let bound = MOST_CONNECTIONS.saturating_sub(state.connections.len() + state.opening);
        for _ in 0..missing.min(bound) {
            state.opening += 1;
            spawn_local(self.clone().open());
        }
    }

    async fn open(self: Rc<Self>) {
        let made = self.connector.negotiate().await;
        self.state.borrow_mut().opening -= 1;
        match made {
            Ok(Negotiated::Http2(io)) => self.adopt(io).await,
            Ok(Negotiated::Http1(connection)) => {
                let waiting = {
                    let mut state = self.state.borrow_mut();
                    state.speaks_http1 = true;
                    std::mem::take(&mut state.waiting)
                };
                let mut connection = Some(connection);
                for turn in waiting.into_iter().filter(|turn| !turn.is_closed()) {
                    let _ = turn.send(Turn::Http1(connection.take()));
                }
            }
            Err(error) => self.fail(Arc::new(error)),
        }
    }

    /// Takes a connection on which the peer has chosen HTTP/2.
    pub(super) async fn adopt(self: &Rc<Self>, io: Box<connect::Tls>) {
        let pool = Rc::downgrade(self);
        match Connection::start(io, self.http2.pings, &self.gauges, pool).await {
            Ok(connection) => {
                let mut state = self.state.borrow_mut();
                state.speaks_http1 = false;
                state.connections.push(connection);
                drop(state);
                self.hand_out();
            }
            Err(error) => self.fail(Arc::new(self.connector.unusable(error))),
        }
    }

    /// No connection is kept any more.
    pub(super) fn retire(&self) {
        self.longest_idle.set(Duration::ZERO);
    }

    /// Closes connections that have lain unused for too long, and looks whether the others have
    /// heard a GOAWAY.
    pub(super) fn sweep(&self) {
        let mut state = self.state.borrow_mut();
        state.tidy(self.longest_idle.get());
        state.connections.iter().for_each(|connection| connection.link.wake_driver());
    }
}

impl<B> Pool<B> {
    /// Gives what room there is to those who wait.
    fn hand_out(self: &Rc<Self>) {
        while let Some((turn, stream)) = self.next_turn() {
            // What nobody takes any more comes back when it is dropped.
            let _ = turn.send(Turn::Stream(stream));
        }
        if !self.state.borrow().waiting.is_empty() {
            (self.open_as_needed)(self);
        }
    }

    fn next_turn(self: &Rc<Self>) -> Option<(oneshot::Sender<Turn<B>>, Stream<B>)> {
        let mut state = self.state.borrow_mut();
        while state.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            state.waiting.pop_front();
        }
        if state.waiting.is_empty() {
            return None;
        }
        let connection = state.least_loaded(self.longest_idle.get())?;
        let turn = state.waiting.pop_front()?;
        Some((turn, Stream::new(&connection, self)))
    }

    /// A connection takes no more streams.
    fn lost_one(self: &Rc<Self>) {
        self.state.borrow_mut().tidy(self.longest_idle.get());
        self.hand_out();
    }

    /// The peer has said how many streams it allows.
    fn learned(self: &Rc<Self>, most: usize) {
        self.state.borrow_mut().usual = most.max(1);
        self.hand_out();
    }

    /// Those who wait are told why, unless there is something left to wait for.
    fn fail(&self, error: Arc<ConnectError>) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            state.connections.retain(|connection| connection.is_open());
            if state.opening > 0 || !state.connections.is_empty() {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        for turn in waiting {
            let _ = turn.send(Turn::Failed(error.clone()));
        }
    }
}

// === impl State ===

impl<B> State<B> {
    fn least_loaded(&mut self, longest_unused: Duration) -> Option<Rc<Connection<B>>> {
        self.tidy(longest_unused);
        let with_room = self.connections.iter().filter(|connection| connection.has_room());
        with_room.min_by_key(|connection| connection.streams()).cloned()
    }

    fn tidy(&mut self, longest_unused: Duration) {
        let may_stay = |it: &Rc<Connection<B>>| it.is_open() && !it.is_unused_for(longest_unused);
        self.connections.retain(may_stay);
    }
}

/// Waits for an answer for `first_byte` from the last moment that the request moved on.
async fn in_time<F: Future>(
    mut answer: Pin<&mut F>,
    first_byte: Duration,
    moved_at: &impl Fn() -> Option<Instant>,
) -> Result<F::Output, SendError> {
    let mut deadline = Instant::now() + first_byte;
    loop {
        match (timeout_at(deadline, answer.as_mut()).await, moved_at()) {
            (Ok(answered), _) => return Ok(answered),
            (Err(_), Some(moved)) if moved + first_byte > deadline => {
                deadline = moved + first_byte;
            }
            (Err(_), _) => return Err(SendError::Silent(first_byte)),
        }
    }
}

/// In one worker: enough to outdo what one connection may carry, few enough to be welcome.
const MOST_CONNECTIONS: usize = 8;

/// How many connections may break under a request before they have carried any answer.
const MOST_UNPROVEN: usize = 2;

#[cfg(test)]
mod tests;
