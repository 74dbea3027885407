//! Serves a caller's connection: one request after the other, from its head to the end of its
//! answer.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;

use super::LiveLimits;
use super::answer::{Framing, Unfit, write_head};
use super::body::{CallerBody, Http1Body};
use super::fault::Fault;
use super::field::Length;
use super::link::{LINGER_BYTES, Link, Next};
use super::request::Asked;
use super::stream::{CallerStream, Tunnel};
use super::upload::Progress;
use crate::telemetry::metrics::Held;

/// Who answers the requests of a connection.
pub trait Service {
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin;
    /// Held while a request is under way, to the end of its answer's body.
    type Busy;

    fn busy(&self) -> Self::Busy;

    fn answer(&self, request: Request<CallerBody>) -> impl Future<Output = Response<Self::Body>>;

    /// Answers what could not be read as a request.
    fn refuse(&self, fault: Fault) -> Response<Self::Body>;

    /// Ready, again and again: the connection has to end as soon as its answers have.
    fn poll_leave(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready, again and again: the answer that is being made is the last.
    fn poll_last(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_leave(cx)
    }
}

/// How a connection ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the caller's connection broke")]
    Caller(#[from] io::Error),
    #[error("the answer broke off")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// A connection from its first request on.
#[derive(Debug)]
pub struct Connection {
    link: Rc<Link>,
}

/// What a connection does next.
enum Step<E> {
    /// In a box: a connection that waits does not carry the weight of a request.
    Exchange(Pin<Box<E>>),
    Fault(Fault),
    Http2,
    End,
}

/// What follows an answer.
enum After {
    Request,
    End,
    Tunnel,
}

impl Connection {
    /// `counted` lives as long as the connection, be it as a tunnel.
    pub fn new(stream: CallerStream, limits: LiveLimits, counted: Option<Held>) -> Self {
        Self { link: Link::new(stream, limits, counted) }
    }

    /// Its first bytes say which version of HTTP it speaks.
    #[must_use]
    pub fn undecided(self) -> Self {
        self.link.state.borrow_mut().is_undecided = true;
        self
    }

    /// Serves it to its end, or gives it back if HTTP/2 is spoken on it.
    ///
    /// # Errors
    /// When it broke, or an answer did.
    #[expect(clippy::manual_async_fn, reason = "it would have its arguments twice")]
    pub fn serve<S: Service>(
        self,
        service: &S,
    ) -> impl Future<Output = Result<Option<Box<Tunnel>>, Broken>> {
        async move {
            let link = &self.link;
            loop {
                // To the end of the request's body, which may come after that of its answer.
                let mut busy = None;
                let after = match poll_fn(|cx| self.poll_step(service, cx)).await? {
                    Step::End => After::End,
                    Step::Http2 => return Ok(Some(Box::new(link.state.borrow_mut().take()))),
                    Step::Fault(fault) => {
                        Box::pin(self.refuse(service, fault)).await?;
                        After::End
                    }
                    Step::Exchange(mut exchange) => {
                        busy = Some(service.busy());
                        poll_fn(|cx| poll_attended(link, service, exchange.as_mut(), cx)).await?
                    }
                };
                match after {
                    After::Tunnel => return Ok(None),
                    After::End => break,
                    After::Request => {
                        // As a rule its body was read long before.
                        let rest = poll_fn(|cx| poll_rest(link, service, cx)).await?;
                        drop(busy);
                        if rest == Progress::Lost || link.state.borrow_mut().has_answered() {
                            break;
                        }
                    }
                }
            }
            self.end().await.map(|()| None)
        }
    }

    fn poll_step<'a, S: Service>(
        &'a self,
        service: &'a S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Step<impl Future<Output = Result<After, Broken>> + use<'a, S>>, Broken>> {
        if service.poll_leave(cx).is_ready() {
            return Poll::Ready(Ok(Step::End));
        }
        let next = ready!(self.link.state.borrow_mut().poll_next(cx))?;
        Poll::Ready(Ok(match next {
            Next::End => Step::End,
            Next::Fault(fault) => Step::Fault(fault),
            Next::Http2 => Step::Http2,
            Next::Request(request, asked) => {
                let request = request.map(|()| self.body(&asked));
                Step::Exchange(Box::pin(exchange(&self.link, service, request, asked)))
            }
        }))
    }

    /// The connection without its HTTP/1.
    pub fn take(self) -> Tunnel {
        self.link.state.borrow_mut().take()
    }

    /// Answers whatever the caller sends, and if it is nothing, with this fault.
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn refuse<S: Service>(&self, service: &S, fault: Fault) -> Result<(), Broken> {
        self.link.state.borrow_mut().refuse(fault);
        let asked = Asked {
            is_head: false,
            is_1_1: true,
            keeps: false,
            trailers: false,
            expects: false,
            upgrade: false,
            length: Length::Known(0),
        };
        let _busy = service.busy();
        let answer = service.refuse(fault);
        let after = Box::pin(reply(&self.link, answer, &asked)).await;
        self.link.state.borrow_mut().is_unfinished = true;
        after.map(drop)
    }

    fn body(&self, asked: &Asked) -> CallerBody {
        if asked.length == Length::Known(0) && !asked.upgrade {
            return CallerBody::Empty;
        }
        let number = self.link.state.borrow().number;
        CallerBody::Http1(Http1Body::new(self.link.clone(), number))
    }

    /// Closes the connection in good order.
    pub async fn end(self) -> Result<(), Broken> {
        let link = &self.link;
        poll_fn(|cx| link.state.borrow_mut().poll_shutdown(cx)).await?;
        let mut left = LINGER_BYTES;
        if link.state.borrow_mut().must_linger() {
            poll_fn(|cx| link.state.borrow_mut().poll_linger(&mut left, cx)).await;
        }
        Ok(())
    }
}

/// The socket ends with its task, whoever still holds a body that was read from it.
impl Drop for Connection {
    fn drop(&mut self) {
        self.link.state.borrow_mut().close();
    }
}

/// Answers one request.
async fn exchange<S: Service>(
    link: &Link,
    service: &S,
    request: Request<CallerBody>,
    asked: Asked,
) -> Result<After, Broken> {
    let answer = service.answer(request).await;
    reply(link, answer, &asked).await
}

fn poll_attended<S: Service>(
    link: &Link,
    service: &S,
    exchange: Pin<&mut impl Future<Output = Result<After, Broken>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<After, Broken>> {
    let is_leaving = service.poll_last(cx).is_ready();
    let mut state = link.state.borrow_mut();
    state.is_leaving |= is_leaving;
    state.wake_with(cx);
    drop(state);
    link.is_attended.set(true);
    let polled = exchange.poll(cx);
    link.is_attended.set(false);
    if polled.is_ready() {
        return polled;
    }
    ready!(link.state.borrow_mut().poll_meanwhile(cx))?;
    Poll::Pending
}

/// Waits for the end of a body that is still being sent on when its request has been answered.
fn poll_rest<S: Service>(
    link: &Link,
    service: &S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Progress>> {
    let mut state = link.state.borrow_mut();
    match state.settle_upload(cx) {
        Progress::Wanted => {
            state.is_leaving |= service.poll_last(cx).is_ready();
            state.wake_with(cx);
            ready!(state.poll_meanwhile(cx))?;
            Poll::Pending
        }
        other => Poll::Ready(Ok(other)),
    }
}

async fn reply<B>(link: &Link, answer: Response<B>, asked: &Asked) -> Result<After, Broken>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    let switches = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    let mut framing = poll_fn(|cx| {
        let mut state = link.state.borrow_mut();
        // What waits, if anything, is the word that lets a body come.
        if state.output.is_full() {
            ready!(state.poll_write(cx))?;
        }
        state.is_answering = true;
        let is_lost = state.settle_upload(cx) == Progress::Lost;
        state.is_leaving |= is_lost;
        let keeps = !state.is_leaving;
        Poll::Ready(Ok::<_, Broken>(write_head(&mut state.output, &answer, asked, keeps)?))
    })
    .await?;
    write_body(link, &mut framing, answer.into_body()).await?;
    poll_fn(|cx| link.state.borrow_mut().poll_write(cx)).await?;
    let mut state = link.state.borrow_mut();
    state.is_leaving |= framing.is_last;
    Ok(match switches {
        true if state.give_away() => After::Tunnel,
        true => After::End,
        false => After::Request,
    })
}

async fn write_body<B>(link: &Link, framing: &mut Framing, mut body: B) -> Result<(), Broken>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    poll_fn(move |cx| {
        loop {
            if framing.is_ended() {
                return Poll::Ready(Ok(()));
            }
            if link.state.borrow().output.is_full() {
                ready!(link.state.borrow_mut().poll_write(cx))?;
            }
            // Not while its own connection is looked at: it may read the request's body.
            let frame = Pin::new(&mut body).poll_frame(cx);
            let mut state = link.state.borrow_mut();
            let ended = match frame {
                Poll::Pending => {
                    if !state.output.is_empty() {
                        let _ = state.poll_write(cx)?;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    framing.write(&mut state.output, frame, body.is_end_stream())
                }
                Poll::Ready(None) => framing.write_end(&mut state.output),
                Poll::Ready(Some(Err(error))) => {
                    let _ = state.poll_write(cx)?;
                    return Poll::Ready(Err(Broken::Answer(error.into())));
                }
            };
            if let Err(unfit) = ended {
                let _ = state.poll_write(cx)?;
                return Poll::Ready(Err(unfit.into()));
            }
        }
    })
    .await
}
