//! Connections: accept, TLS if wanted, HTTP/1.1, and each request to its vendor.

use std::{pin::pin, sync::Arc, time::Duration};

use http::StatusCode;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn, upgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    select,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    Sandbox, Vendor,
    answer::{Answer, TEXT},
    answer_body::AnswerBody,
    control::control,
    exchange::{NoAnswer, exchange},
    websocket,
};

impl Sandbox {
    /// Serves both vendors and `/-/…` in plain HTTP until `shutdown`, and returns when the last
    /// connection has closed: idle ones at once, busy ones within a quarter of a second.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        self.accept(listener, None, shutdown).await;
    }

    /// The same over TLS.
    pub async fn serve_tls(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: CancellationToken,
        tls: Arc<rustls::ServerConfig>,
    ) {
        self.accept(listener, Some(TlsAcceptor::from(tls)), shutdown).await;
    }

    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        shutdown: CancellationToken,
    ) {
        let connections = TaskTracker::new();
        loop {
            let accepted = select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (sandbox, tls) = (Arc::clone(&self), tls.clone());
                    connections.spawn(sandbox.connection(stream, tls, shutdown.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: some will come back.
                    warn!(%error, "sandbox: cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        shutdown: CancellationToken,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "sandbox: no TCP_NODELAY");
        }
        let Some(tls) = tls else {
            return self.http(stream, shutdown).await;
        };
        let handshake = timeout(HANDSHAKE, tls.accept(stream));
        select! {
            () = shutdown.cancelled() => {}
            accepted = handshake => match accepted {
                Ok(Ok(stream)) => self.http(stream, shutdown.clone()).await,
                Ok(Err(error)) => debug!(%error, "sandbox: TLS handshake failed"),
                Err(_) => debug!("sandbox: TLS handshake took too long"),
            }
        }
    }

    async fn http<S>(self: Arc<Self>, stream: S, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let switched = TaskTracker::new();
        let service = service_fn(|mut request| {
            let (sandbox, switched) = (Arc::clone(&self), switched.clone());
            let shutdown = shutdown.clone();
            async move {
                let upgrade = upgrade::on(&mut request);
                let response = sandbox.respond(request).await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    switched.spawn(websocket::serve(upgrade, shutdown));
                }
                Ok::<_, NoAnswer>(response)
            }
        });
        let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(http.with_upgrades());
        let ended = select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(LINGER, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%error, "sandbox: connection ended early");
        }
        switched.close();
        switched.wait().await;
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response<AnswerBody>, NoAnswer> {
        let path = request.uri().path();
        if path.starts_with("/-/") {
            let query = request.uri().query().unwrap_or_default();
            return Ok(control(self, request.method(), path, query));
        }
        match Vendor::of_path(path) {
            Some(vendor) => exchange(self.desk(vendor), request).await,
            None => Ok(Answer::new(StatusCode::NOT_FOUND, TEXT, NOWHERE).into_response()),
        }
    }
}

const NOWHERE: &str = "\
No vendor has this path. There are:
  /v1/…                        jing
  /oauth2/token, /openapi/…    aiclk
  /-/                          the sandbox itself: faults and state
";

/// How long a busy connection may go on after the shutdown.
const LINGER: Duration = Duration::from_millis(250);
const HANDSHAKE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
