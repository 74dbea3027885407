use std::cell::Cell;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::Full;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

use super::*;
use crate::upstream::RequestHead;
use upload::Upload;

/// Our end of a connection, and the peer's, with little room between them.
async fn pair() -> (Hearing<TcpStream>, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    SockRef::from(&listener).set_recv_buffer_size(4 << 10).expect("a socket option");
    let address = listener.local_addr().expect("an address");
    let ours = TcpStream::connect(address).await.expect("a connection");
    SockRef::from(&ours).set_send_buffer_size(4 << 10).expect("a socket option");
    let (theirs, _) = listener.accept().await.expect("a connection");
    (Hearing::new(ours), theirs)
}

/// The same over TLS, after the handshake. The peer's session tickets are on their way.
async fn tls_pair() -> (Tls, server::TlsStream<TcpStream>) {
    let made = rcgen::generate_simple_self_signed(["vendor.test".to_owned()]).expect("a key");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("an authority");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate], key).expect("a certificate");
    let name = ServerName::try_from("vendor.test").expect("a name");
    let (ours, theirs) = pair().await;
    let ours = TlsConnector::from(Arc::new(client)).connect(name, ours);
    let theirs = TlsAcceptor::from(Arc::new(server)).accept(theirs);
    let (ours, theirs) = tokio::join!(ours, theirs);
    (ours.expect("a handshake"), theirs.expect("a handshake"))
}

/// Waits until something lies in our socket.
async fn heard(connection: &Connection) {
    let heard = |cx: &mut Context<'_>| {
        let Io::Tls(tls) = &connection.0.borrow().io else { panic!("TLS") };
        tls.get_ref().0.get_ref().poll_read_ready(cx)
    };
    poll_fn(heard).await.expect("bytes");
}

#[tokio::test]
async fn p10_a_session_ticket_on_an_idle_connection_is_no_word_of_the_peers() {
    // What the pool asks of one that it would lend, and of one that it sweeps.
    for ask in [true, false] {
        let (ours, mut theirs) = tls_pair().await;
        let connection = Connection::tls(ours);
        heard(&connection).await;
        assert!(connection.is_reusable() && connection.is_quiet(ask), "a ticket");
        assert!(connection.is_reusable() && connection.is_quiet(ask), "it has been read");
        let write = |cx: &mut Context<'_>| connection.0.borrow_mut().io.poll_write(cx, b"hello");
        poll_fn(write).await.expect("a write");
        let mut got = [0; 5];
        theirs.read_exact(&mut got).await.expect("what was written");
        assert_eq!(&got, b"hello");

        // A word is one, and so is a goodbye.
        if ask {
            theirs.write_all(b"x").await.expect("written");
            theirs.flush().await.expect("written");
        } else {
            theirs.shutdown().await.expect("a goodbye");
        }
        heard(&connection).await;
        assert!(!connection.is_quiet(ask));
    }
}

/// Frames of one size, without end.
struct Frames<'a> {
    size: usize,
    taken: &'a Cell<usize>,
}

impl Body for Frames<'_> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.taken.set(self.taken.get() + 1);
        Poll::Ready(Some(Ok(Frame::data(vec![b'x'; self.size].into()))))
    }
}

/// A caller of HTTP/2 chooses the size of its frames, and each takes memory of its own here.
#[tokio::test]
async fn p27_small_frames_that_wait_for_a_vendor_weigh_more_than_their_bytes() {
    let (ours, _theirs) = pair().await;
    let wire = RefCell::new(Wire::new(Io::Plain(ours)));
    let full = [b'x'; 64 << 10];
    let mut cx = Context::from_waker(Waker::noop());
    while wire.borrow_mut().io.poll_write(&mut cx, &full).is_ready() {
        yield_now().await;
    }
    let (parts, ()) = Request::post("/").body(()).expect("a request").into_parts();
    let head = RequestHead::of(&parts).expect("a target");
    for (size, most) in [(1, 10_000), (1 << 10, 500), (32 << 10, 20)] {
        let taken = Cell::new(0);
        let mut upload = Upload::new(&head, Frames { size, taken: &taken });
        assert!(upload.poll(&wire, &mut cx).is_pending());
        assert!(taken.get() <= most, "{} frames of {size} bytes wait", taken.get());
    }
}

/// What TLS held back for want of room is as lost as what was never written.
#[tokio::test]
async fn p10_a_request_of_which_the_end_is_stuck_in_tls_has_not_been_sent() {
    let (ours, theirs) = tls_pair().await;
    let wire = RefCell::new(Wire::new(Io::Tls(Box::new(ours))));
    let (parts, ()) = Request::post("/").body(()).expect("a request").into_parts();
    let head = RequestHead::of(&parts).expect("a target");
    let mut cx = Context::from_waker(Waker::noop());
    let mut stuck = loop {
        yield_now().await;
        let mut upload = Upload::new(&head, Full::new(Bytes::from(vec![b'x'; 8 << 10])));
        if upload.poll(&wire, &mut cx).is_pending() {
            break upload;
        }
    };
    SockRef::from(theirs.get_ref().0).set_linger(Some(Duration::ZERO)).expect("a socket option");
    drop(theirs);
    while !wire.borrow().io.is_deaf() {
        yield_now().await;
        assert!(stuck.poll(&wire, &mut cx).is_pending(), "it is said to be written");
    }
}
