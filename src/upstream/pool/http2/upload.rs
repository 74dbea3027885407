//! A request's body on its way through hyper, so that it can be stopped: hyper sends a body as a
//! task of its own, which waits for the peer's window without end.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::headers::retain;

use super::connection::Link;

/// What is known of a body that is being sent.
#[derive(Debug, Default)]
pub(super) struct Upload {
    task: RefCell<Option<AbortHandle>>,
    is_over: Cell<bool>,
    over: Notify,
}

/// A body whose sending can be watched and stopped.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    /// The trailers that may go on.
    announced: Vec<HeaderName>,
    watch: Watch,
}

/// Says, when it is dropped, that hyper is done with the body.
#[derive(Debug)]
struct Watch {
    upload: Rc<Upload>,
    link: Rc<Link>,
}

// === impl Upload ===

impl Upload {
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Waits until hyper is done with the body.
    pub(super) async fn over(&self) {
        if !self.is_over() {
            self.over.notified().await;
        }
    }

    pub(super) fn is_sent_by(&self, task: AbortHandle) {
        self.task.replace(Some(task));
    }

    /// Nobody wants more of it. The peer is told with a `RST_STREAM`.
    pub(super) fn stop(&self) {
        if let Some(task) = self.task.take()
            && !self.is_over()
        {
            task.abort();
        }
    }
}

// === impl Watched ===

impl<B> Watched<B> {
    pub(super) fn new(
        body: B,
        announced: Vec<HeaderName>,
        upload: Rc<Upload>,
        link: Rc<Link>,
    ) -> Self {
        Self { body, announced, watch: Watch { upload, link } }
    }

    pub(super) fn into_inner(self) -> B {
        self.body
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.watch.look_for_task();
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        Poll::Ready(match frame.into_trailers() {
            Ok(mut trailers) => {
                retain(&mut trailers, |name| self.announced.contains(name));
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            Err(data) => Some(Ok(data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Watch {
    /// hyper polls a body once, and then makes a task of what is left: that task is this body's.
    fn look_for_task(&self) {
        if self.upload.task.borrow().is_none() {
            self.link.begun.replace(Some(self.upload.clone()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.upload.is_over.set(true);
        self.upload.over.notify_one();
        let is_own = |begun: &Rc<Upload>| Rc::ptr_eq(begun, &self.upload);
        if self.link.begun.borrow().as_ref().is_some_and(is_own) {
            self.link.begun.take();
        }
    }
}
