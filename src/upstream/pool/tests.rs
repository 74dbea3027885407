use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use tokio::runtime::{Builder, LocalOptions};

use http::Request;

use super::*;
use crate::upstream::connect;

mod scripts;

/// A server that answers one request on each connection and closes it, without a word, when told.
struct Server {
    port: u16,
    close: Sender<()>,
    closed: Receiver<()>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (close, told) = channel();
        let (done, closed) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                read_head(&mut stream);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                stream.write_all(answer).expect("written");
                if told.recv().is_err() {
                    return;
                }
                drop(stream);
                done.send(()).expect("the test is there");
            }
        });
        Self { port, close, closed }
    }

    /// The calling thread stands still meanwhile, so that its runtime cannot hear of it.
    fn close(&self) {
        self.close.send(()).expect("the server is there");
        self.closed.recv().expect("the server closes");
    }
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
}

fn upstream<B>(port: u16, fresh: Duration) -> Upstream<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    let second = Duration::from_secs(10);
    let host = "127.0.0.1".to_owned();
    let connector = connect::Config {
        name: host.clone(),
        host,
        port,
        tls: None,
        http2: false,
        timeout: second,
    };
    let connector = Connector::new(connector).expect("a plain connector");
    let config = Config { first_byte: second, idle: second, fresh, most_idle: 8, http2: None };
    let gauge = || IntGauge::new("connections", "Connections.").expect("a gauge");
    Upstream::new(connector, config, gauge(), gauge())
}

async fn send<B>(
    upstream: &Upstream<B>,
    request: Request<B>,
) -> Result<(Response<AnswerBody>, Lease<B>), SendError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    let (parts, body) = request.into_parts();
    upstream.send(RequestHead::of(&parts).expect("a target"), body, Instant::now(), || None).await
}

async fn call(upstream: &Upstream<Empty<Bytes>>) -> Result<Bytes, SendError> {
    let mut request = Request::new(Empty::new());
    request.headers_mut().insert("host", "localhost".parse().expect("a value"));
    let (response, lease) = send(upstream, request).await?;
    let body = response.into_body().collect().await.map_err(SendError::Broken)?.to_bytes();
    lease.done();
    Ok(body)
}

#[test]
fn p10_a_connection_that_was_closed_meanwhile_is_not_the_callers_problem() {
    let server = Server::start();
    let upstream = upstream(server.port, Duration::ZERO);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(async {
        for number in 0..50 {
            let body = call(&upstream).await;
            assert_eq!(body.unwrap_or_else(|error| panic!("call {number}: {error}")), "ok");
            while upstream.0.shelf.idle.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
            server.close();
        }
    });
}
