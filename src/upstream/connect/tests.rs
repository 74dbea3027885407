use tokio::net::{TcpListener, TcpSocket};

use super::*;

/// A listener that accepts nobody, and so many connections that its queue is full: what comes now
/// is not answered.
struct Swallower {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Swallower {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let listener = socket.listen(1).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut queued = Vec::new();
        while let Ok(Ok(one)) =
            tokio::time::timeout(Duration::from_millis(60), TcpStream::connect(address)).await
        {
            queued.push(one);
            assert!(queued.len() < 100, "the queue never fills");
        }
        Self { address, _listener: listener, _queued: queued }
    }
}

fn connector(host: &str, port: u16, timeout: Duration) -> Connector {
    let host = host.to_owned();
    Connector::new(Config { name: host.clone(), host, port, tls: None, http2: false, timeout })
        .expect("a name")
}

async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn p27_a_dead_address_does_not_use_up_the_time_of_a_living_one() {
    let swallower = Swallower::start().await;
    let living = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let living = living.local_addr().map(|address| (living, address)).expect("an address");
    let connector = connector("a.test", 1, Duration::from_secs(20));
    let began = Instant::now();
    let addresses = vec![nobody().await, swallower.address, living.1];
    let tcp = connector.tcp(addresses, soon()).await.expect("a connection");
    assert_eq!(tcp.peer_addr().expect("a peer"), living.1);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(240) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn p28_refused_silent_and_unknown_are_told_apart() {
    let refused = connector("a.test", 7, Duration::from_secs(5));
    let error = refused.tcp(vec![nobody().await], soon()).await.unwrap_err().to_string();
    assert!(error.starts_with("no connection to a.test:7: 127.0.0.1 refused"), "{error}");

    let swallower = Swallower::start().await;
    let short = Duration::from_millis(100);
    let silent = connector("a.test", 7, short);
    let deadline = Instant::now() + short;
    let error = silent.tcp(vec![swallower.address], deadline).await.unwrap_err().to_string();
    let expected = "no connection to a.test:7 within 100ms: 127.0.0.1 did not answer";
    assert!(error.starts_with(expected), "{error}");

    let unknown = connector("no.such.name.invalid", 7, Duration::from_secs(10));
    let error = unknown.resolve(soon()).await.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error:?}");
    assert!(told.starts_with("the name no.such.name.invalid cannot be resolved"), "{told}");
}
