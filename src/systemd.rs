//! Tells systemd, or whoever speaks as it does, how the process is: one datagram for each thing said, as in
//! `sd_notify(3)`.
//!
//! The crates for this know no abstract addresses (`@…`), or block when nobody reads.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;
use tokio::time::timeout;
use tracing::warn;

/// Whoever has started the process and wants to be told. By default nobody, and nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Systemd(Option<Arc<Told>>);

#[derive(Debug)]
struct Told {
    address: SocketAddr,
    watchdog: Option<Duration>,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say<'a> {
    /// The start has ended, or a reload has.
    Ready,
    Reloading,
    Stopping,
    /// A sign of life.
    Watchdog,
    /// For people, in one line.
    Status(&'a str),
}

impl Systemd {
    /// As the environment has it.
    pub fn from_env() -> Self {
        Self::of(|name| std::env::var_os(name)).unwrap_or_else(|error| {
            warn!(%error, "NOTIFY_SOCKET is no path and no `@name`: systemd is told nothing");
            Self::default()
        })
    }

    fn of(var: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let Some(socket) = var("NOTIFY_SOCKET").filter(|it| !it.is_empty()) else {
            return Ok(Self::default());
        };
        let number = |name| var(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
        // Else it is of another process, from which this one has the variables.
        let is_ours = match var("WATCHDOG_PID") {
            None => true,
            Some(_) => number("WATCHDOG_PID") == Some(std::process::id().into()),
        };
        let within = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0);
        let watchdog = within.map(Duration::from_micros);
        Ok(Self(Some(Arc::new(Told { address: address(&socket)?, watchdog }))))
    }

    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// It kills the process when it gets no sign of life within this time.
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// Says all of it at once. That it cannot be said is in the log, and harms nothing else.
    pub async fn tell(&self, said: &[Say<'_>]) {
        let Some(told) = &self.0 else { return };
        let mut text = String::new();
        for say in said {
            // Into a text nothing can fail.
            let _ = writeln!(text, "{say}");
        }
        let sent = timeout(PATIENCE, send(&told.address, text.as_bytes())).await;
        let late = io::Error::new(io::ErrorKind::TimedOut, "nobody reads there");
        if let Err(error) = sent.unwrap_or(Err(late)) {
            warn!(%error, "systemd could not be told (NOTIFY_SOCKET)");
        }
    }
}

/// By a socket of its own: whoever listens there may have been started anew since.
async fn send(address: &SocketAddr, text: &[u8]) -> io::Result<()> {
    let socket = StdUnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(address)?;
    UnixDatagram::from_std(socket)?.send(text).await.map(drop)
}

fn address(text: &OsStr) -> io::Result<SocketAddr> {
    match text.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(text),
        [b'@', name @ ..] => in_abstract(name),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(target_os = "linux")]
fn in_abstract(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn in_abstract(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

impl fmt::Display for Say<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("READY=1"),
            Self::Reloading => {
                let now = clock_gettime(ClockId::Monotonic);
                let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
                write!(f, "RELOADING=1\nMONOTONIC_USEC={micros}")
            }
            Self::Stopping => f.write_str("STOPPING=1"),
            Self::Watchdog => f.write_str("WATCHDOG=1"),
            Self::Status(text) => {
                f.write_str("STATUS=")?;
                // A line more would be another thing said.
                let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
                line.take(LONGEST_STATUS).try_for_each(|c| f.write_char(c))
            }
        }
    }
}

/// What is waited for when its queue is full: it may be reading its own units anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// In characters, of at most 4 bytes: systemd takes 4,096 bytes at once.
const LONGEST_STATUS: usize = 800;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vars: &[(&str, &str)]) -> io::Result<Systemd> {
        let found = |name: &str| vars.iter().find(|(known, _)| *known == name);
        Systemd::of(|name| found(name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn p29_without_an_address_nobody_is_told() {
        for vars in [&[][..], &[("NOTIFY_SOCKET", "")], &[("WATCHDOG_USEC", "1000")]] {
            let nobody = of(vars).expect("no mistake");
            assert!(!nobody.is_there() && nobody.watchdog().is_none(), "{vars:?}");
        }
        for address in ["run/notify", "vsock:2:1234", "/run/with\0nul"] {
            assert!(of(&[("NOTIFY_SOCKET", address)]).is_err(), "{address}");
        }
    }

    #[test]
    fn p29_the_watchdog_is_for_the_process_that_it_names() {
        let own = std::process::id().to_string();
        let cases = [
            (vec![("WATCHDOG_USEC", "30000000")], Some(30)),
            (vec![("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", &*own)], Some(30)),
            (vec![("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")], None),
            (vec![("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "")], None),
            (vec![("WATCHDOG_USEC", "0")], None),
            (vec![("WATCHDOG_USEC", "often")], None),
            (vec![], None),
        ];
        for (mut vars, seconds) in cases {
            vars.push(("NOTIFY_SOCKET", "/run/name"));
            let told = of(&vars).expect("no mistake");
            assert_eq!(told.watchdog(), seconds.map(Duration::from_secs), "{vars:?}");
        }
    }

    #[test]
    fn p29_a_status_is_one_line_and_not_too_long() {
        assert_eq!(Say::Status("no\ntoken\r").to_string(), "STATUS=no token ");
        let long = "ü".repeat(5_000);
        assert!(Say::Status(&long).to_string().len() < 4_000);
    }
}
