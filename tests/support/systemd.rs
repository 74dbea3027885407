//! What systemd is to a service: it hears what the service tells, and hands sockets over.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::process::{Process, after, gateway};
use super::soon;

/// One who listens at an address for `NOTIFY_SOCKET`.
pub struct Systemd {
    socket: UnixDatagram,
    _folder: TempDir,
    pub address: String,
    /// All lines that were said so far.
    pub heard: Vec<String>,
}

impl Systemd {
    pub fn at_a_path() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let address = path.to_str().expect("a text").to_owned();
        Self { socket, _folder: folder, address, heard: Vec::new() }
    }

    /// As in a container, where no path leads to it.
    pub fn in_abstract() -> Self {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram as Std};

        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().join("notify").to_str().expect("a text").to_owned();
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = Std::bind_addr(&address).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let socket = UnixDatagram::from_std(socket).expect("a runtime");
        Self { socket, _folder: folder, address: format!("@{name}"), heard: Vec::new() }
    }

    /// The next thing that is said, in lines.
    pub async fn next(&mut self) -> Vec<String> {
        let mut bytes = vec![0; 4096];
        let length = soon("systemd is told", self.socket.recv(&mut bytes)).await.expect("read");
        let text = std::str::from_utf8(&bytes[..length]).expect("a text");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        self.heard.extend(lines.iter().cloned());
        lines
    }

    /// Waits for a line that begins so, and returns the rest of it.
    pub async fn hears(&mut self, start: &str) -> String {
        loop {
            let lines = self.next().await;
            if let Some(rest) = lines.iter().find_map(|line| line.strip_prefix(start)) {
                return rest.to_owned();
            }
        }
    }

    /// The same of a status that holds this.
    pub async fn hears_status(&mut self, part: &str) {
        while !self.hears("STATUS=").await.contains(part) {}
    }

    /// Everything, with what has been said meanwhile.
    pub fn all(&mut self) -> &[String] {
        let mut bytes = vec![0; 4096];
        while let Ok(length) = self.socket.try_recv(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            self.heard.extend(text.lines().map(str::to_owned));
        }
        &self.heard
    }
}

/// `tokenward run` with these sockets, at most two, in its hands.
pub fn with_sockets(config: &Path, sockets: Vec<OwnedFd>) -> Process {
    let count = sockets.len();
    let shell = format!(
        "exec 3<&0 4<&1 0</dev/null 1>&2; \
         export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=one:two;"
    );
    let mut sockets = sockets.into_iter().map(Stdio::from);
    let mut next = || sockets.next().unwrap_or_else(Stdio::null);
    let (first, second) = (next(), next());
    Process::start_with(after(&shell, &gateway(config)), first, second)
}
