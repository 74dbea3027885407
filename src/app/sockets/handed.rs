//! Sockets that systemd has opened, and hands over with the start: whoever calls while there is no gateway
//! waits in their queue.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

use listenfd::ListenFd;
use socket2::SockRef;

use crate::proxy::listener::Socket;
use crate::units::Listen;

/// Those that nobody has taken yet. By default there are none.
#[derive(Debug, Default)]
pub struct Handed(Vec<Given>);

#[derive(Debug)]
struct Given {
    socket: Socket,
    address: Listen,
    named: String,
}

#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    #[error("LISTEN_FDS is no number")]
    Count,
    #[error("{named} is none for callers: TCP or a Unix stream that listens (`Accept=no`)")]
    Unfit {
        named: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{named} listens on {address}, which is no address of the config ({there}): name it there, or take \
         it out of the socket unit"
    )]
    Unwanted { named: String, address: String, there: String },
}

impl Handed {
    /// What the environment says is there for this process. `LISTEN_PID` and `LISTEN_FDS` go: no child
    /// may take them for its own. To be called once, before there is another thread.
    ///
    /// # Errors
    /// When something is handed over that is no socket for callers.
    pub fn from_env() -> Result<Self, HandedError> {
        let number = |name| {
            let text = std::env::var_os(name)?;
            Some(text.to_str().and_then(|text| text.parse::<u32>().ok()))
        };
        // Without it the variables may be of a parent that did not take them away.
        if number("LISTEN_PID") != Some(Some(std::process::id())) {
            return Ok(Self::default());
        }
        match number("LISTEN_FDS") {
            None => return Ok(Self::default()),
            Some(None) => return Err(HandedError::Count),
            Some(Some(_)) => {}
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut fds = ListenFd::from_env();
        let mut given = Vec::new();
        for index in 0..fds.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unnamed");
            let named = format!("the socket {name:?} that was handed over (LISTEN_FDS)");
            match adopt(&mut fds, index) {
                Ok((socket, address)) => given.push(Given { socket, address, named }),
                Err(source) => return Err(HandedError::Unfit { named, source }),
            }
        }
        Ok(Self(given))
    }

    /// The one of this address.
    pub(super) fn take(&mut self, address: &Listen) -> Option<Socket> {
        let at = self.0.iter().position(|given| is_same(&given.address, address))?;
        Some(self.0.swap_remove(at).socket)
    }

    /// Every one has been taken; `there` are those who could have, by their keys.
    ///
    /// # Errors
    /// When one is left: it would have callers wait for ever.
    pub(in crate::app) fn are_taken(&self, there: &[(String, Listen)]) -> Result<(), HandedError> {
        let Some(Given { address, named, .. }) = self.0.first() else { return Ok(()) };
        let there = there.iter().map(|(key, address)| format!("{key} = \"{address}\""));
        let there = there.collect::<Vec<_>>().join(", ");
        Err(HandedError::Unwanted { named: named.clone(), address: address.to_string(), there })
    }
}

fn adopt(fds: &mut ListenFd, index: usize) -> io::Result<(Socket, Listen)> {
    let taken = || io::Error::other("it was taken before");
    let (socket, address, listens) = match fds.take_unix_listener(index) {
        Ok(socket) => {
            let socket = socket.ok_or_else(taken)?;
            socket.set_nonblocking(true)?;
            let (address, listens) = (path_of(&socket)?, SockRef::from(&socket).is_listener()?);
            (Socket::Unix(socket), address, listens)
        }
        Err(_) => {
            let socket = fds.take_tcp_listener(index)?.ok_or_else(taken)?;
            socket.set_nonblocking(true)?;
            let address = Listen::Tcp(socket.local_addr()?);
            let listens = SockRef::from(&socket).is_listener()?;
            (Socket::Tcp(socket), address, listens)
        }
    };
    match listens {
        true => Ok((socket, address)),
        false => Err(io::Error::other("it does not listen")),
    }
}

fn path_of(socket: &UnixListener) -> io::Result<Listen> {
    let address = socket.local_addr()?;
    let path = address.as_pathname().ok_or_else(|| io::Error::other("it has no path"))?;
    Ok(Listen::Unix(path.to_owned()))
}

/// `/var/run` and `/run` are the same folder.
fn is_same(one: &Listen, other: &Listen) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    match (one, other) {
        (Listen::Unix(one), Listen::Unix(other)) if one != other => {
            real(one).is_some_and(|one| Some(one) == real(other))
        }
        (one, other) => one == other,
    }
}
