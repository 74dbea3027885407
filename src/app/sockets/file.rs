//! A Unix socket as a file: who may connect to it from the first instant on, and that it goes with the
//! gateway.
//!
//! The system makes the file when the socket is bound, with a mode that only the umask narrows. Set
//! afterwards, a mode would leave an instant in which others could connect, and whoever has connected
//! stays. So the file is made for its owner alone; then it gets its owner and group, while still nobody
//! else can connect; and its mode at last, which may let the group in.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::process::{geteuid, umask};
use socket2::{Domain, SockAddr, Socket, Type};
use tracing::warn;

use crate::config::SocketConfig;
use crate::units::FileMode;

/// The file of a bound socket. It is removed when this is dropped, unless another stands in its place.
#[derive(Debug)]
pub(in crate::app) struct SocketFile {
    path: PathBuf,
    /// Device and number on it.
    inode: (u64, u64),
}

/// Why a socket does not get its owner.
#[derive(Debug, thiserror::Error)]
#[error(
    "its file cannot be given to user {owner}, group {group}: that takes root or CAP_CHOWN, or for a \
     group to be in it ({source})"
)]
struct NotGiven {
    owner: String,
    group: String,
    source: io::Error,
}

/// Binds a socket at this path. One that a killed process has left behind is replaced.
pub(super) fn bind(path: &Path, config: &SocketConfig) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = bind_privately(path)?;
    let file = handle(path)?;
    let metadata = file.metadata()?;
    // Whoever may write in the folder could have put something else there, and would have it given
    // away.
    if !metadata.file_type().is_socket() || metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "another file has taken its place"));
    }
    let inode = (metadata.dev(), metadata.ino());
    let socket_file = SocketFile { path: path.to_owned(), inode };
    let same = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let SocketConfig { mode, owner, group } = *config;
    if owner.is_some() || group.is_some() {
        let shown = |number: Option<u32>| number.map_or("as it is".to_owned(), |n| n.to_string());
        chown(&same, owner, group).map_err(|source| {
            let kind = source.kind();
            io::Error::new(kind, NotGiven { owner: shown(owner), group: shown(group), source })
        })?;
    }
    if mode != FileMode::PRIVATE {
        std::fs::set_permissions(&same, Permissions::from_mode(mode.bits()))?;
    }
    Ok((socket, socket_file))
}

/// For its owner alone. The umask is the whole process's: what other threads make meanwhile is more
/// private than it would be, and two that bind at one time must not restore each other's.
fn bind_privately(path: &Path) -> io::Result<UnixListener> {
    static UMASK: Mutex<()> = Mutex::new(());
    let _alone = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(Mode::from_raw_mode(0o777 & !FileMode::PRIVATE.bits()));
    let bound = UnixListener::bind(path);
    umask(before);
    bound.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            io::Error::new(error.kind(), "another process listens there, or it is no socket")
        }
        _ => error,
    })
}

/// The file itself, whatever takes its name later.
fn handle(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Removes a socket that nobody listens on. In any doubt it stays, and the binding fails.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose queue is full would be waited for.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Self { path, inode } = self;
        let found = std::fs::symlink_metadata(&*path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == *inode)
            && let Err(error) = std::fs::remove_file(&*path)
        {
            warn!(path = %path.display(), %error, "the file of a socket could not be removed");
        }
    }
}
