//! HTTP/1.0 and 1.1 with a caller.

use std::task::{Context as TaskContext, Poll};

use bytes::BytesMut;
use http::{Request, Response};

use crate::framing::{Broken, CallerBody, CallerStream, Connection, Fault, Limits, Service};
use crate::proxy::peer::Peer;
use crate::proxy::reply::ReplyBody;

use super::Context;
use super::seats::{Busy, Seat};

/// Who answers one caller.
#[derive(Debug)]
struct Caller<'a> {
    peer: &'a Peer,
    seat: &'a Seat,
    context: &'a Context,
}

pub(super) async fn serve(
    connection: Connection,
    peer: &Peer,
    seat: &Seat,
    context: &Context,
) -> Result<(), Broken> {
    connection.serve(&Caller { peer, seat, context }).await
}

/// Answers whatever comes with this fault.
pub(super) async fn refuse(
    stream: CallerStream,
    fault: Fault,
    peer: &Peer,
    seat: &Seat,
    context: &Context,
) -> Result<(), Broken> {
    let connection = Connection::new(stream, BytesMut::new(), Limits::of_refusal(), None);
    connection.refuse(&Caller { peer, seat, context }, fault).await?;
    connection.end().await
}

impl Service for Caller<'_> {
    type Body = ReplyBody;
    type Busy = Busy;

    fn busy(&self) -> Busy {
        self.seat.busy()
    }

    fn answer(&self, request: Request<CallerBody>) -> impl Future<Output = Response<ReplyBody>> {
        let Context { entrance, proxy, .. } = self.context;
        proxy.handle(*entrance, self.peer, request)
    }

    fn refuse(&self, fault: Fault) -> Response<ReplyBody> {
        let Context { entrance, proxy, .. } = self.context;
        proxy.refuse(*entrance, fault)
    }

    fn poll_leave(&self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.seat.poll_leave(cx)
    }
}
