//! HTTP/1.0 and 1.1 with a caller.

use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};

use crate::framing::{CallerBody, Fault, Service};
use crate::proxy::reply::ReplyBody;

use super::seats::Busy;
use super::{Caller, Context};

impl Service for Caller {
    type Body = ReplyBody;
    type Busy = Busy;

    fn busy(&self) -> Busy {
        self.seat.busy()
    }

    fn answer(&self, request: Request<CallerBody>) -> impl Future<Output = Response<ReplyBody>> {
        let Context { entrance, proxy, .. } = &*self.context;
        proxy.handle(entrance.get(), &self.peer, request)
    }

    fn refuse(&self, fault: Fault) -> Response<ReplyBody> {
        let Context { entrance, proxy, .. } = &*self.context;
        proxy.refuse(entrance.get(), &self.peer, fault)
    }

    fn poll_leave(&self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.seat.poll_leave(cx)
    }

    fn poll_last(&self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.seat.poll_last(cx)
    }
}
