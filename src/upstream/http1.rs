//! HTTP/1 with a vendor. A connection has no task of its own: whoever awaits an answer writes the
//! request meanwhile, and whoever wants an answer's body reads it.

mod body;
mod error;
mod exchange;
mod head;
mod io;
mod request;
mod tunnel;
mod upload;
mod wire;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::connect::Tls;
use super::hearing::Hearing;
use io::Io;
use wire::Wire;

pub use body::AnswerBody;
pub use error::Error;
pub(super) use exchange::{Failed, Outgoing};
pub use tunnel::Tunnel;

/// One connection. It is closed when this is dropped; what was lent of it is worth nothing then.
#[derive(Debug)]
pub struct Connection(Rc<RefCell<Wire>>);

impl Connection {
    pub(super) fn plain(tcp: Hearing<TcpStream>) -> Self {
        Self::over(Io::Plain(tcp))
    }

    pub(super) fn tls(tls: Tls) -> Self {
        Self::over(Io::Tls(Box::new(tls)))
    }

    fn over(io: Io) -> Self {
        Self(Rc::new(RefCell::new(Wire::new(io))))
    }

    /// Whether it may lie until there is another request for it.
    pub(super) fn is_reusable(&self) -> bool {
        self.0.borrow().is_reusable()
    }

    /// The end of the request is still being sent.
    pub(super) fn is_sending(&self) -> bool {
        self.0.borrow().is_sending()
    }

    /// Waits until nothing of the request is being sent any more.
    pub(super) async fn has_sent(&self) {
        poll_fn(|cx| self.0.borrow_mut().poll_sent(cx)).await;
    }

    /// Whether the peer has said nothing while the connection lay unused. `ask`: its socket is asked
    /// as well.
    pub(super) fn is_quiet(&self, ask: bool) -> bool {
        self.0.borrow_mut().is_quiet(ask)
    }

    /// What it is now that it speaks another protocol.
    pub(super) fn tunnel(&self) -> Tunnel {
        Tunnel::new(self.0.clone())
    }

    /// Ends it in good order: nothing is under way.
    pub(super) fn part(self) {
        self.0.borrow_mut().part();
    }
}

/// At once, whatever is under way: a peer that has stopped reading shall not hold it open.
impl Drop for Connection {
    fn drop(&mut self) {
        self.0.borrow_mut().close();
    }
}

#[cfg(test)]
mod tests;
