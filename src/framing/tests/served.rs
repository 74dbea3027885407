//! A caller, and a service that answers it.

use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::Instant;

use super::super::*;
use super::*;

/// A caller's end of a connection that is served at the other.
pub(super) struct Caller {
    pub(super) stream: DuplexStream,
    pub(super) served: JoinHandle<Result<Option<Box<Tunnel>>, Broken>>,
}

impl Caller {
    pub(super) fn new(limits: Limits) -> Self {
        Self::with_room(1024, limits)
    }

    /// So many bytes are on the way at the most.
    pub(super) fn with_room(bytes: usize, limits: Limits) -> Self {
        let (stream, ours) = duplex(bytes);
        Self::served(stream, Connection::new(CallerStream::other(ours), limits.into(), None))
    }

    fn undecided() -> Self {
        let (stream, ours) = duplex(1024);
        let connection = Connection::new(CallerStream::other(ours), LIMITS.into(), None);
        Self::served(stream, connection.undecided())
    }

    fn served(stream: DuplexStream, connection: Connection) -> Self {
        Self { stream, served: spawn_local(async { connection.serve(&Seeing).await }) }
    }

    fn refused(fault: Fault) -> Self {
        let (stream, ours) = duplex(1024);
        let ours = CallerStream::other(ours);
        let connection = Connection::new(ours, Limits::of_refusal().into(), None);
        let served = spawn_local(async move {
            connection.refuse(&Seeing, fault).await?;
            connection.end().await?;
            Ok(None)
        });
        Self { stream, served }
    }

    pub(super) async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads one answer: its body says what the service saw.
    pub(super) async fn answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).await.unwrap();
        if body.is_empty() { head } else { String::from_utf8(body).unwrap() }
    }

    /// Waits for the end of the connection; there must be nothing before it.
    pub(super) async fn end(mut self) -> Result<Option<Box<Tunnel>>, Broken> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.escape_ascii().to_string(), "");
        drop(self.stream);
        self.served.await.unwrap()
    }
}

impl Duplex for DuplexStream {}

/// Answers with what it has seen. `/slow` waits for a long time; `/tunnel` upgrades.
struct Seeing;

impl Service for Seeing {
    type Body = Full<Bytes>;
    type Busy = ();

    fn busy(&self) {}

    async fn answer(&self, request: Request<CallerBody>) -> Response<Full<Bytes>> {
        let mut text = format!("{} {}", request.method(), request.uri());
        match request.uri().path() {
            "/slow" => tokio::time::sleep(Duration::from_secs(1000)).await,
            "/large" => text = "x".repeat(100),
            "/tunnel" => {
                let tunnel = request.body().upgrade().unwrap();
                spawn_local(async move {
                    let (mut reader, mut writer) = tokio::io::split(tunnel.await.unwrap().stream);
                    tokio::io::copy(&mut reader, &mut writer).await
                });
                let answer = Response::builder().status(101).header(header::UPGRADE, "x");
                let answer = answer.header(header::CONNECTION, "upgrade");
                return answer.body(Full::default()).unwrap();
            }
            _ => {}
        }
        match request.into_body().collect().await.map(|body| body.to_bytes()) {
            Ok(body) if !body.is_empty() => text += " with a body",
            Ok(_) => {}
            Err(error) => text += Fault::find(&error).map_or("cut", Fault::name),
        }
        Response::new(text.into())
    }

    fn refuse(&self, fault: Fault) -> Response<Full<Bytes>> {
        Response::new(fault.name().into())
    }

    fn poll_leave(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

const UPGRADE: &str = "host: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";

#[tokio::test(flavor = "local")]
async fn p25_a_faulty_head_is_answered_in_its_turn() {
    let mut caller = Caller::new(LIMITS);
    caller.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\n").await;
    assert_eq!(caller.answer().await, "GET /1");
    caller.send("content-length: 1\r\n\r\nxGET /3 HTTP/1.1\r\nhost : a\r\n\r\nGET /4").await;
    assert_eq!(caller.answer().await, "POST /2 with a body");
    assert_eq!(caller.answer().await, "field");
    caller.end().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn p25_a_faulty_body_fails_with_its_fault() {
    let mut caller = Caller::new(LIMITS);
    caller
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n")
        .await;
    assert_eq!(caller.answer().await, "POST /chunk-end");
    let _ = caller.end().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p25_an_answer_is_not_lost_because_the_caller_goes_on_sending() {
    let mut caller = Caller::new(LIMITS);
    caller.send("GET / HTTP/3\r\n").await;
    assert_eq!(caller.answer().await, "version");
    caller.send(&"x".repeat(100_000)).await;
    let start = Instant::now();
    let mut rest = Vec::new();
    caller.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.len(), start.elapsed().as_secs()), (0, 0), "our side has ended");
    caller.served.await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);

    let mut caller = Caller::new(LIMITS);
    caller.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(caller.answer().await, "GET /");
    let start = Instant::now();
    caller.served.await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 0, "there is nothing to linger for");
}

#[tokio::test(flavor = "local")]
async fn p27_a_connection_too_many_is_answered_at_once() {
    let mut caller = Caller::refused(Fault::Connections);
    assert_eq!(caller.answer().await, "connections");
    caller.end().await.unwrap();
    let mut caller = Caller::refused(Fault::Connections);
    caller.send("POST / HTTP/1.1\r\n").await;
    assert_eq!(caller.answer().await, "connections");
    caller.end().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn p04_http2_shows_itself_however_its_bytes_come() {
    let said = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
    for split in 1..said.len() {
        let mut caller = Caller::undecided();
        caller.send(&said[..split]).await;
        yield_now().await;
        caller.send(&said[split..]).await;
        drop(caller.stream);
        let mut http2 = caller.served.await.unwrap().unwrap().expect("HTTP/2");
        let mut read = String::new();
        http2.stream.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, said, "split at {split}");
    }
}

#[tokio::test(flavor = "local")]
async fn p04_what_only_begins_like_http2_is_http1() {
    for split in 1..8 {
        let mut caller = Caller::undecided();
        let said = "PR / HTTP/1.1\r\nhost: a\r\n\r\n";
        caller.send(&said[..split]).await;
        yield_now().await;
        caller.send(&said[split..]).await;
        assert_eq!(caller.answer().await, "PR /", "split at {split}");
        // The version is settled by the first request.
        caller.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        assert_ne!(caller.answer().await, "", "an answer that refuses it");
        drop(caller.stream);
        assert!(caller.served.await.unwrap().unwrap().is_none());
    }
}

#[tokio::test(flavor = "local")]
async fn p27_a_connection_that_waits_is_light() {
    let (_stream, ours) = duplex(1024);
    let connection = Connection::new(CallerStream::other(ours), LIMITS.into(), None);
    assert!(size_of_val(&connection.serve(&Seeing)) <= 144);
    assert!(size_of::<super::super::link::Link>() <= 384);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_the_beginning_of_http2_has_the_time_of_a_head() {
    let mut caller = Caller::undecided();
    caller.send("PRI * HT").await;
    let since = Instant::now();
    assert_ne!(caller.answer().await, "", "an answer that refuses it");
    assert_eq!(since.elapsed(), LIMITS.head);
}

#[tokio::test(flavor = "local")]
async fn p04_after_an_upgrade_bytes_pass_as_they_are() {
    let mut caller = Caller::new(LIMITS);
    caller.send(&format!("GET /tunnel HTTP/1.1\r\n{UPGRADE}GET \0\r\n")).await;
    assert!(caller.answer().await.starts_with("HTTP/1.1 101"));
    caller.send("\n\x7f\r\r").await;
    let mut echo = [0; 11];
    caller.stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo.escape_ascii().to_string(), r"GET \x00\r\n\n\x7f\r\r");
}

#[tokio::test(flavor = "local")]
async fn p04_without_the_upgrade_http_goes_on() {
    let mut caller = Caller::new(LIMITS);
    // The second request is there already, so that no byte of it will wake anyone.
    for rest in ["GET /2?\" HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/3\r\n"] {
        caller
            .send(&format!("GET /1 HTTP/1.1\r\n{UPGRADE}GET /2 HTTP/1.1\r\n{UPGRADE}{rest}"))
            .await;
        assert_eq!(caller.answer().await, "GET /1");
        assert_eq!(caller.answer().await, "GET /2");
        let last = if rest.contains("/3") { "version" } else { "GET /2?%22" };
        assert_eq!(caller.answer().await, last);
    }
    caller.end().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn every_byte_may_come_alone() {
    let mut caller = Caller::new(LIMITS);
    let request =
        "POST /?\" HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    for byte in request.repeat(2).chars() {
        caller.send(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(caller.answer().await, "POST /?%22 with a body");
    assert_eq!(caller.answer().await, "POST /?%22 with a body");
}
