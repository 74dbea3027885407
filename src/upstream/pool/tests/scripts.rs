//! A vendor that leaves at each awkward moment.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use socket2::SockRef;
use tokio::time::sleep;

use super::*;

/// What a vendor does on one connection. It closes after the last.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Reads a request with this body.
    Read(&'static str),
    Say(&'static str),
    /// Waits until the test says so.
    Wait,
    /// Closes so that the other side is reset.
    Reset,
}

use Step::{Read, Reset, Say, Wait};

struct Vendor {
    port: u16,
    go_on: Sender<()>,
    /// How many requests each connection has brought.
    requests: Arc<Mutex<Vec<usize>>>,
    closed: Receiver<()>,
}

impl Vendor {
    fn start(connections: &[&[Step]]) -> Self {
        let mut scripts: VecDeque<Vec<Step>> =
            connections.iter().map(|steps| steps.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let ((go_on, told), (done, closed)) = (channel(), channel());
        thread::spawn(move || {
            while let Some(script) = scripts.pop_front() {
                let (stream, _) = listener.accept().expect("a connection");
                seen.lock().expect("no panic").push(0);
                play(stream, &script, &told, &seen);
                if done.send(()).is_err() {
                    return;
                }
            }
        });
        Self { port, go_on, requests, closed }
    }

    /// The vendor's side goes on and closes, while the runtime stands still.
    fn leaves(&self) {
        self.go_on.send(()).expect("it waits");
        self.closed.recv().expect("it closes");
    }

    fn requests(&self) -> Vec<usize> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn play(mut stream: TcpStream, script: &[Step], told: &Receiver<()>, seen: &Mutex<Vec<usize>>) {
    for step in script {
        match step {
            Read(body) => {
                read_head(&mut stream);
                let mut got = vec![0; body.len()];
                stream.read_exact(&mut got).expect("a body");
                assert_eq!(got, body.as_bytes());
                *seen.lock().expect("no panic").last_mut().expect("a connection") += 1;
            }
            Say(bytes) => stream.write_all(bytes.as_bytes()).expect("written"),
            Wait => told.recv().expect("the test is there"),
            Reset => {
                let socket = SockRef::from(&stream);
                socket.set_linger(Some(Duration::ZERO)).expect("a socket");
            }
        }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(test)
}

fn request() -> Request<Full<Bytes>> {
    let request = Request::post("/x").header("host", "localhost");
    request.body(Full::new(Bytes::from_static(b"hello"))).expect("a request")
}

/// An upload of a few bytes, and the answer's body.
async fn post(upstream: &Upstream<Full<Bytes>>) -> Result<Result<Bytes, BrokenOff>, SendError> {
    let (response, lease) = upstream.send(request(), || None).await?;
    let body = response.into_body().collect().await;
    if body.is_ok() {
        lease.done();
    }
    Ok(body.map(|body| body.to_bytes()))
}

async fn assert_ok(upstream: &Upstream<Full<Bytes>>) {
    assert_eq!(post(upstream).await.expect("an answer").expect("a body"), "ok");
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LONG: Duration = Duration::from_secs(10);

#[test]
fn p10_a_request_of_which_no_byte_can_be_sent_goes_to_another_connection() {
    let answered = [Read("hello"), Say(OK)];
    let vendor = Vendor::start(&[&[Read("hello"), Say(OK), Wait, Reset], &answered]);
    // Nobody looks at the socket: the first write is what finds the reset.
    let upstream = upstream(vendor.port, LONG);
    run(async {
        assert_ok(&upstream).await;
        vendor.leaves();
        assert_ok(&upstream).await;
    });
    assert_eq!(vendor.requests(), [1, 1]);
}

#[test]
fn p10_a_request_of_which_a_byte_may_have_been_read_is_not_sent_again() {
    let answered = [Read("hello"), Say(OK)];
    let moments: [&[Step]; 5] = [
        // In the very moment of the request: the end is in the socket, and nobody has looked.
        &[Wait],
        &[Read("hello")],
        &[Read("hello"), Reset],
        &[Read("hello"), Say("HTTP/1.1 200 OK\r\ncontent-le")],
        &[Read("hello"), Say("HTTP/1.1 100 Continue\r\n\r\n")],
    ];
    for moment in moments {
        let script = [&answered, moment].concat();
        let vendor = Vendor::start(&[&script, &answered]);
        let upstream = upstream(vendor.port, LONG);
        run(async {
            assert_ok(&upstream).await;
            if matches!(moment, [Wait]) {
                vendor.leaves();
            }
            let failed = post(&upstream).await;
            assert!(matches!(failed, Err(SendError::Broken(_))), "{moment:?}: {failed:?}");
            assert_eq!(vendor.requests().len(), 1, "{moment:?}");
            assert_ok(&upstream).await;
        });
        assert_eq!(vendor.requests().len(), 2, "{moment:?}");
    }
}

#[test]
fn p06_a_body_that_ends_with_its_connection_is_whole_only_where_it_says_nothing_else() {
    let bodies = [
        ("content-length: 9\r\n\r\nhalf", None),
        ("transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", None),
        ("transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", None),
        ("transfer-encoding: chunked\r\n\r\n9\r\nhalf", None),
        ("transfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", Some("whole")),
        ("connection: close\r\ncontent-length: 5\r\n\r\nwhole", Some("whole")),
        ("\r\nwhole", Some("whole")),
    ];
    for (text, whole) in bodies {
        let vendor = Vendor::start(&[&[Read("hello"), Say("HTTP/1.1 200 OK\r\n"), Say(text)]]);
        let upstream = upstream(vendor.port, LONG);
        let body = run(async { post(&upstream).await }).expect("an answer");
        assert_eq!(body.ok().as_deref(), whole.map(str::as_bytes), "{text}");
    }
}

#[test]
fn p06_what_nobody_has_asked_for_is_nobodys_answer() {
    for stray in ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray", "x"] {
        for is_late in [true, false] {
            let late = [Read("hello"), Say(OK), Wait, Say(stray), Wait];
            let at_once = [Read("hello"), Say(OK), Say(stray), Wait, Wait];
            let first = if is_late { late } else { at_once };
            let vendor = Vendor::start(&[&first, &[Read("hello"), Say(OK)]]);
            let upstream = upstream(vendor.port, Duration::ZERO);
            run(async {
                assert_ok(&upstream).await;
                vendor.go_on.send(()).expect("it waits");
                sleep(Duration::from_millis(50)).await;
                vendor.go_on.send(()).expect("it waits");
                assert_ok(&upstream).await;
            });
            assert_eq!(vendor.requests(), [1, 1], "{stray}");
        }
    }
}

#[test]
fn p27_a_connection_is_counted_and_lent_again() {
    let vendor = Vendor::start(&[&[Read("hello"), Say(OK)].repeat(3)]);
    let upstream = upstream(vendor.port, Duration::ZERO);
    run(async {
        for _ in 0..3 {
            assert_ok(&upstream).await;
            let shelf = &upstream.0.shelf;
            assert_eq!((shelf.active_gauge.get(), shelf.idle_gauge.get()), (0, 1));
        }
    });
    assert_eq!(vendor.requests(), [3]);
}

#[test]
fn p27_a_dropped_lease_ends_its_connection_at_once() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let vendor = Vendor::start(&[&[Read("hello"), Say(begun), Wait]]);
    let upstream = upstream(vendor.port, LONG);
    run(async {
        let (response, lease) = upstream.send(request(), || None).await.expect("an answer");
        assert_eq!(upstream.0.shelf.active_gauge.get(), 1);
        drop(lease);
        assert_eq!(upstream.0.shelf.active_gauge.get(), 0);
        let body = response.into_body().collect().await;
        assert!(body.is_err(), "{body:?}");
    });
}
