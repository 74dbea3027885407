//! Accepts callers' connections.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::yield_now;
use tracing::warn;

use crate::framing::CallerStream;

use super::caller::{self, Context};
use super::peer::Peer;

/// A bound socket, before a worker's runtime has taken it.
#[derive(Debug)]
pub enum Socket {
    Tcp(std::net::TcpListener),
    Unix(StdUnixListener),
}

impl Socket {
    /// The same socket once more, for another worker.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }
}

/// Serves one socket on this worker until it is closed or the drain begins; what was accepted before is
/// served until its answers have ended, or the drain has.
pub async fn serve(socket: Socket, context: Rc<Context>) {
    if let Err(error) = serve_or_fail(socket, context).await {
        tracing::error!(%error, "a socket cannot be served");
    }
}

async fn serve_or_fail(socket: Socket, context: Rc<Context>) -> io::Result<()> {
    match socket {
        Socket::Tcp(socket) => {
            SockRef::from(&socket).listen(BACKLOG)?;
            let listener = TcpListener::from_std(socket)?;
            let accept = async || {
                let (stream, address) = listener.accept().await?;
                // Small answers must not wait for acknowledgements.
                let _ = stream.set_nodelay(true);
                // A caller that reads slowly is seen to read: left to itself, the kernel holds
                // megabytes, and tells of room only when a third of them is gone.
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
                Ok((stream, address))
            };
            let serve = |(stream, address), context: Rc<Context>| match context.terminator() {
                None => {
                    let stream = CallerStream::Tcp(stream);
                    caller::serve(stream, Peer::Tcp(address), context);
                }
                Some(tls) => caller::serve_tls(stream, address, tls, context),
            };
            accept_all(accept, serve, context).await;
        }
        Socket::Unix(socket) => {
            SockRef::from(&socket).listen(BACKLOG)?;
            let listener = UnixListener::from_std(socket)?;
            let accept = async || listener.accept().await.map(|(stream, _)| stream);
            let serve = |stream, context| {
                caller::serve(CallerStream::Unix(stream), Peer::Unix, context);
            };
            accept_all(accept, serve, context).await;
        }
    }
    Ok(())
}

async fn accept_all<A>(
    accept: impl AsyncFn() -> io::Result<A>,
    serve: impl Fn(A, Rc<Context>),
    context: Rc<Context>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            () = context.drain.stopped() => return,
            () = context.closed.cancelled() => return,
        };
        match accepted {
            Ok(accepted) => {
                serve(accepted, context.clone());
                // Of many that come at once, the other workers take their part.
                yield_now().await;
            }
            Err(error) => {
                // Out of file descriptors, as a rule: closing connections will help, trying at
                // once will not.
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Connections that wait to be accepted; the system may permit fewer. A caller that finds no room there
/// tries again after a second, and then after three.
const BACKLOG: i32 = 4096;
/// What a connection's socket may hold beyond what its network takes.
const UNSENT: u32 = 128 << 10;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
