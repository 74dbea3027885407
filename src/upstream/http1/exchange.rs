//! One request, and the head of its answer.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::causes::causes;
use crate::upstream::RequestHead;

use super::upload::Upload;
use super::wire::{Follows, Rest, Wire};
use super::{AnswerBody, Connection, Error};

/// A request that is to be answered over HTTP/1.
#[derive(Debug)]
pub(in crate::upstream) struct Outgoing<'a, B> {
    head: RequestHead<'a>,
    /// `None`: it has been sent, or is being sent without us.
    upload: Option<Upload<B>>,
}

/// There is no answer on this connection.
#[derive(Debug)]
pub(in crate::upstream) enum Failed {
    /// Not a byte has been sent: the request may be sent on another.
    Unsent,
    Broken(Error),
    /// Nothing has moved for too long.
    Silent,
}

impl<'a, B> Outgoing<'a, B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Unpin + 'static,
{
    pub(in crate::upstream) fn new(head: RequestHead<'a>, body: B) -> Self {
        Self { upload: Some(Upload::new(&head, body)), head }
    }

    /// Sends it and waits for the head of the answer, for `longest` from the last moment that it
    /// moved on. What is left of it then is sent on, by a task of its own.
    pub(in crate::upstream) async fn answered(
        &mut self,
        Connection(wire): &Connection,
        is_reused: bool,
        began: Instant,
        longest: Duration,
        moved_at: &impl Fn() -> Option<Instant>,
    ) -> Result<Response<AnswerBody>, Failed> {
        let RequestHead { method, on_continue, .. } = self.head;
        let upload = &mut self.upload;
        wire.borrow_mut().begin();
        if is_reused && let Some(upload) = upload {
            upload.may_go_elsewhere(&wire.borrow());
        }
        let on_interim = |status| {
            if status == StatusCode::CONTINUE
                && let Some(wanted) = on_continue
            {
                wanted.notify_one();
            }
        };
        let mut has_begun = false;
        let answered = poll_fn(|cx| {
            // First, so that an upload which never pauses does not hide its answer.
            if mem::replace(&mut has_begun, true)
                && let Poll::Ready(head) = wire.borrow_mut().poll_head(cx, method, on_interim)
            {
                return Poll::Ready(head.map_err(Failed::Broken));
            }
            if let Some(sending) = upload
                && let Poll::Ready(sent) = sending.poll(wire, cx)
            {
                sent?;
                *upload = None;
            }
            let wire = &mut *wire.borrow_mut();
            if let Poll::Ready(head) = wire.poll_head(cx, method, on_interim) {
                return Poll::Ready(head.map_err(Failed::Broken));
            }
            wire.clock.start_at(moved_at().map_or(began, |moved| moved.max(began)));
            wire.clock.poll(longest, cx).map(|()| Err(Failed::Silent))
        });
        let (response, follows) = answered.await?;
        if let Some(rest) = upload.take() {
            let sending = spawn_local(send_rest(rest, Rc::clone(wire)));
            wire.borrow_mut().is_sent_by(sending.abort_handle());
        }
        let body = match follows {
            Follows::Whole(bytes) => AnswerBody::whole(bytes),
            Follows::More => AnswerBody::on(Rc::clone(wire)),
        };
        Ok(response.map(|()| body))
    }
}

/// Writes what is left of a request whose answer has begun, and goes when nobody reads it any more.
async fn send_rest<B>(mut rest: Upload<B>, wire: Rc<RefCell<Wire>>)
where
    B: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Unpin,
{
    let sent = poll_fn(|cx| {
        // It may go on for long, for what a peer does not take is dropped.
        if wire.borrow_mut().poll_unwanted(cx).is_ready() {
            return Poll::Ready(Rest::Unwanted);
        }
        rest.poll(&wire, cx).map(|sent| match sent {
            Ok(()) => Rest::Sent,
            Err(Failed::Broken(error)) => {
                tracing::debug!(error = causes(&error), "the rest of a request was not sent");
                Rest::BrokeOff
            }
            Err(_) => Rest::BrokeOff,
        })
    });
    let sent = sent.await;
    // Before anybody hears of its end.
    drop(rest);
    wire.borrow_mut().sent(sent);
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}
