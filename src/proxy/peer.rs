//! Who is at the other end of a connection, as far as the connection itself says.

use std::net::SocketAddr;
use std::sync::Arc;

/// One caller's end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// By a Unix socket, whose mode and owner say who may.
    Unix,
    /// By TCP.
    Tcp(SocketAddr),
    /// By TLS, with a certificate of the operator's authority that has these names.
    Certified(SocketAddr, Arc<[String]>),
}
