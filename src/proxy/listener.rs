//! Accepts callers' connections and speaks HTTP/1 with them.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tracing::{debug, warn};

use crate::drain::Drain;

use super::Proxy;
use super::route::Entrance;

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

/// Serves one socket on this worker until the drain begins; what was accepted before is served
/// until its answers have ended, or the drain has.
pub async fn serve(socket: Socket, entrance: Entrance, proxy: Proxy, drain: Drain) {
    if let Err(error) = serve_or_fail(socket, entrance, proxy, drain).await {
        tracing::error!(%error, "a socket cannot be served");
    }
}

async fn serve_or_fail(
    socket: Socket,
    entrance: Entrance,
    proxy: Proxy,
    drain: Drain,
) -> io::Result<()> {
    match socket {
        Socket::Tcp(socket) => {
            let listener = TcpListener::from_std(socket)?;
            let accept = async || {
                let (stream, _) = listener.accept().await?;
                // Small answers must not wait for acknowledgements.
                let _ = stream.set_nodelay(true);
                Ok(stream)
            };
            accept_all(accept, entrance, proxy, drain).await;
        }
        Socket::Unix(socket) => {
            let listener = UnixListener::from_std(socket)?;
            let accept = async || listener.accept().await.map(|(stream, _)| stream);
            accept_all(accept, entrance, proxy, drain).await;
        }
    }
    Ok(())
}

async fn accept_all<I>(
    accept: impl AsyncFn() -> io::Result<I>,
    entrance: Entrance,
    proxy: Proxy,
    drain: Drain,
) where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            () = drain.stopped() => return,
        };
        match accepted {
            Ok(stream) => {
                let connection = connection(stream, entrance, proxy.clone(), drain.clone());
                tokio::task::spawn_local(connection);
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

async fn connection<I>(stream: I, entrance: Entrance, proxy: Proxy, drain: Drain)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let _hold = drain.hold();
    let service = service_fn(|request| {
        let proxy = &proxy;
        async move { Ok::<_, Infallible>(proxy.handle(entrance, request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_TIME)
            // The vendor's answer is handed on with the fields that it has, and no others.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.stopped() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = drain.ended() => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(error = crate::causes::causes(&error), "a caller's connection ended badly");
    }
}

/// For the head of a request, and for the pause before it.
const HEADER_READ_TIME: Duration = Duration::from_secs(75);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
