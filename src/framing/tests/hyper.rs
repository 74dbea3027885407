//! The reader beneath hyper's server.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::*;
use super::LIMITS;

/// A caller's end of a connection that hyper serves at the other.
pub(super) struct Caller {
    pub(super) stream: DuplexStream,
    pub(super) watch: Arc<Watch>,
    served: JoinHandle<hyper::Result<()>>,
}

impl Caller {
    pub(super) fn new(limits: Limits) -> Self {
        Self::on(|stream| Framed::new(stream, Bytes::new(), limits))
    }

    fn on(frame: impl FnOnce(DuplexStream) -> (Framed<DuplexStream>, Arc<Watch>)) -> Self {
        let (stream, ours) = duplex(1024);
        let (framed, watch) = frame(ours);
        let seen = Arc::clone(&watch);
        let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
        let served = http1::Builder::new()
            .auto_date_header(false)
            .serve_connection(TokioIo::new(framed), service)
            .with_upgrades();
        Self { stream, watch, served: tokio::spawn(served) }
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
    pub(super) async fn end(mut self) -> hyper::Result<()> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.escape_ascii().to_string(), "");
        drop(self.stream);
        self.served.await.unwrap()
    }
}

/// Answers with what it has seen. `/slow` waits for its caller's next byte; `/tunnel` upgrades.
async fn answer(
    request: Request<Incoming>,
    watch: Arc<Watch>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (_open, fault) = watch.begin();
    let mut text = match fault {
        Some(fault) => fault.name().to_owned(),
        None => format!("{} {}", request.method(), request.uri()),
    };
    if request.uri().path() == "/slow" {
        tokio::time::sleep(Duration::from_secs(1000)).await;
    }
    if request.uri().path() == "/tunnel" {
        watch.tunnel();
        tokio::spawn(async move {
            let tunnel = hyper::upgrade::on(request).await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(tunnel));
            tokio::io::copy(&mut reader, &mut writer).await
        });
        let answer = Response::builder().status(101).header(header::UPGRADE, "x");
        return Ok(answer.header(header::CONNECTION, "upgrade").body(Full::default()).unwrap());
    }
    match request.into_body().collect().await.map(|body| body.to_bytes()) {
        Ok(body) if !body.is_empty() => text += " with a body",
        Ok(_) => {}
        Err(error) => text += Fault::find(&error).map_or("cut", Fault::name),
    }
    Ok(Response::new(text.into()))
}

const UPGRADE: &str = "host: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";

#[tokio::test]
async fn p25_a_faulty_head_is_answered_in_its_turn() {
    let mut caller = Caller::new(LIMITS);
    caller.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\n").await;
    assert_eq!(caller.answer().await, "GET /1");
    caller.send("content-length: 1\r\n\r\nxGET /3 HTTP/1.1\r\nhost : a\r\n\r\nGET /4").await;
    assert_eq!(caller.answer().await, "POST /2 with a body");
    assert_eq!(caller.answer().await, "field");
    caller.end().await.unwrap();
}

#[tokio::test]
async fn p25_a_faulty_body_fails_with_its_fault() {
    let mut caller = Caller::new(LIMITS);
    caller
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n")
        .await;
    assert_eq!(caller.answer().await, "POST /chunk-end");
    let _ = caller.end().await;
}

#[tokio::test(start_paused = true)]
async fn p25_an_answer_is_not_lost_because_the_caller_goes_on_sending() {
    let mut caller = Caller::new(LIMITS);
    caller.send("GET / HTTP/3\r\n").await;
    assert_eq!(caller.answer().await, "version");
    caller.send(&"x".repeat(100_000)).await;
    let start = Instant::now();
    let mut rest = Vec::new();
    caller.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.len(), start.elapsed().as_secs()), (0, 0), "our side has ended");
    let watch = Arc::downgrade(&caller.watch);
    drop(caller.watch);
    caller.served.await.unwrap().unwrap();
    assert_eq!((start.elapsed().as_secs(), watch.strong_count()), (2, 0));

    let mut caller = Caller::new(LIMITS);
    caller.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(caller.answer().await, "GET /");
    let start = Instant::now();
    caller.served.await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 0, "there is nothing to linger for");
}

#[tokio::test]
async fn p27_a_connection_too_many_is_answered_at_once() {
    let mut caller = Caller::on(|stream| Framed::refusing(stream, Fault::Connections));
    assert_eq!(caller.answer().await, "connections");
    caller.end().await.unwrap();
    let mut caller = Caller::on(|stream| Framed::refusing(stream, Fault::Connections));
    caller.send("POST / HTTP/1.1\r\n").await;
    assert_eq!(caller.answer().await, "connections");
    caller.end().await.unwrap();
}

#[tokio::test]
async fn what_was_read_before_comes_first() {
    let mut caller =
        Caller::on(|stream| Framed::new(stream, Bytes::from_static(b"GET /?\""), LIMITS));
    caller.send(" HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(caller.answer().await, "GET /?%22");
}

#[tokio::test]
async fn p04_after_an_upgrade_bytes_pass_as_they_are() {
    let mut caller = Caller::new(LIMITS);
    caller.send(&format!("GET /tunnel HTTP/1.1\r\n{UPGRADE}GET \0\r\n")).await;
    assert!(caller.answer().await.starts_with("HTTP/1.1 101"));
    caller.send("\n\x7f\r\r").await;
    let mut echo = [0; 11];
    caller.stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo.escape_ascii().to_string(), r"GET \x00\r\n\n\x7f\r\r");
}

#[tokio::test]
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

#[tokio::test]
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

#[test]
fn a_reader_travels_with_its_socket() {
    fn is_send(_: &impl Send) {}
    let (stream, _) = duplex(1);
    let (framed, _) = Framed::new(stream, Bytes::new(), LIMITS);
    is_send(&Mutex::new(framed));
}
