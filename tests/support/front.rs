//! TLS before a vendor that knows none, and much that can go wrong with it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[derive(Clone)]
pub struct Front {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// How new connections are met.
#[derive(Clone)]
pub enum Manner {
    /// TLS ends here, and what is in it goes to the vendor.
    Serve(Arc<ServerConfig>),
    /// These bytes are the answer to the first that come, and then the connection ends.
    Say(&'static [u8]),
    Silence,
}

struct State {
    manner: Manner,
    handshakes: Vec<Handshake>,
}

/// One that succeeded.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub server_name: Option<String>,
    pub version: Option<ProtocolVersion>,
    pub resumed: bool,
}

impl Front {
    pub async fn before(vendor: SocketAddr, tls: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = State { manner: Manner::Serve(Arc::new(tls)), handshakes: Vec::new() };
        let front = Self { address, state: Arc::new(Mutex::new(state)) };
        let this = front.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(this.clone().meet(stream, vendor));
            }
        });
        front
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn becomes(&self, manner: Manner) {
        self.state().manner = manner;
    }

    pub fn serves(&self, tls: ServerConfig) {
        self.becomes(Manner::Serve(Arc::new(tls)));
    }

    pub fn handshakes(&self) -> Vec<Handshake> {
        self.state().handshakes.clone()
    }

    async fn meet(self, mut stream: TcpStream, vendor: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let manner = self.state().manner.clone();
        match manner {
            Manner::Silence => drain(stream).await,
            Manner::Say(bytes) => {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
                drain(stream).await;
            }
            Manner::Serve(tls) => {
                match TlsAcceptor::from(tls).accept(stream).into_fallible().await {
                    Ok(mut stream) => {
                        self.note(stream.get_ref().1);
                        let mut inner = TcpStream::connect(vendor).await.expect("the vendor");
                        let _ = inner.set_nodelay(true);
                        let _ = copy_bidirectional(&mut stream, &mut inner).await;
                    }
                    // Closed with bytes unread it would be a reset, which can overtake the alert.
                    Err((_, mut stream)) => {
                        let _ = stream.shutdown().await;
                        drain(stream).await;
                    }
                }
            }
        }
    }

    fn note(&self, tls: &rustls::ServerConnection) {
        let handshake = Handshake {
            server_name: tls.server_name().map(str::to_owned),
            version: tls.protocol_version(),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        self.state().handshakes.push(handshake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }
}

async fn drain(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}
