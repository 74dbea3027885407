//! The signals that end the process, and the one that has it read its config again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT. Handlers are installed at once: as process 1 of a container there are no
/// default ones, and a signal before the first `recv` must not be lost.
#[derive(Debug)]
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

/// One that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    pub name: &'static str,
    pub number: u8,
}

/// SIGHUP: the config is to be read again.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// # Errors
    /// When the handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    pub async fn recv(&mut self) {
        self.0.recv().await;
    }
}

impl Shutdown {
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal.
    pub async fn recv(&mut self) -> Caught {
        tokio::select! {
            _ = self.terminate.recv() => Caught { name: "SIGTERM", number: 15 },
            _ = self.interrupt.recv() => Caught { name: "SIGINT", number: 2 },
        }
    }
}
