//! Why a connection could not be had; nothing was sent.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;

use crate::causes::network::{ADVICE, Peer, Unconnected};
use crate::causes::{causes, tls};

/// A connection could not be had. The texts name the peer, the failure and what helps.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the name {host} cannot be resolved; is `base_url` right, and does DNS work here?")]
    Resolve {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "the name {host} was not resolved within {}; does DNS answer here?",
        format_duration(*.after)
    )]
    ResolveTimeout { host: String, after: Duration },
    #[error("no connection to {peer}{}: {found}; {ADVICE}", within(*.after, .found))]
    Tcp { peer: Arc<Peer>, after: Duration, found: Box<Unconnected> },
    #[error("no TLS with {peer}: {reason}")]
    Tls { peer: Arc<Peer>, reason: String },
    #[error(
        "no TLS with {peer} within {}: it took the connection, but does not answer the handshake; \
         is TLS spoken on this port?",
        format_duration(*.after)
    )]
    TlsTimeout { peer: Arc<Peer>, after: Duration },
    #[error("the connection to {peer} ended before a request could be sent")]
    Handshake {
        peer: Arc<Peer>,
        #[source]
        source: hyper::Error,
    },
}

impl ConnectError {
    /// Whether the time for it was over.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::ResolveTimeout { .. } | Self::TlsTimeout { .. } => true,
            Self::Tcp { found, .. } => !found.silent.is_empty(),
            Self::Resolve { .. } | Self::Tls { .. } | Self::Handshake { .. } => false,
        }
    }

    /// A handshake failed.
    pub(super) fn tls(peer: &Arc<Peer>, error: &(dyn Error + 'static)) -> Self {
        let reason = tls::explain(error).unwrap_or_else(|| causes(error));
        Self::Tls { peer: peer.clone(), reason }
    }
}

/// The time is named where it was too short.
fn within(after: Duration, found: &Unconnected) -> String {
    if found.silent.is_empty() {
        String::new()
    } else {
        format!(" within {}", format_duration(after))
    }
}
