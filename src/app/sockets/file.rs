//! A Unix socket as a file: who may connect to it from the first instant on, and that it goes with the
//! gateway.
//!
//! The system makes the file when the socket is bound, with a mode that only the umask narrows. Set
//! afterwards, a mode would leave an instant in which others could connect, and whoever has connected
//! stays. So the file is made for its owner alone; then it gets its owner and group, while still nobody
//! else can connect; and its mode at last, which may let the group in.

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::fs::File;
use std::fs::{Metadata, Permissions, set_permissions};
use std::io::{self, ErrorKind};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Mode;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::OFlags;
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

/// Why a socket is not what the config wants.
#[derive(Debug, thiserror::Error)]
enum NotSet {
    #[error(
        "its file cannot be given to user {owner}, group {group}: that takes root or CAP_CHOWN, \
         unless it is a group of our own"
    )]
    Owner {
        owner: String,
        group: String,
        #[source]
        source: io::Error,
    },
    #[error("its file cannot get the mode {mode}: after it was given away that takes CAP_FOWNER")]
    Mode {
        mode: FileMode,
        #[source]
        source: io::Error,
    },
}

/// Binds a socket at this path. One that a killed process has left behind is replaced.
pub(super) fn bind(path: &Path, config: &SocketConfig) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = bind_privately(path)?;
    let (metadata, same) = pin(path)?;
    // Whoever may write in the folder could have put something else there, and would have it given
    // away.
    if !metadata.file_type().is_socket() || metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "another file has taken its place"));
    }
    let file = SocketFile { path: path.to_owned(), inode: (metadata.dev(), metadata.ino()) };
    let SocketConfig { mode, owner, group } = *config;
    if owner.is_some() || group.is_some() {
        chown(&same, owner, group).map_err(|source| NotSet::owner(owner, group, source))?;
    }
    if mode != FileMode::PRIVATE {
        set_permissions(&same, Permissions::from_mode(mode.bits()))
            .map_err(|source| io::Error::new(source.kind(), NotSet::Mode { mode, source }))?;
    }
    Ok((socket, file))
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

/// A path to the file itself, whatever takes its name later; good for as long as it lives.
struct Pinned {
    path: PathBuf,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    _file: File,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn pin(path: &Path) -> io::Result<(Metadata, Pinned)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok((file.metadata()?, Pinned { path, _file: file }))
}

/// Elsewhere there is no such handle: its folder must be one where nobody else may write.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn pin(path: &Path) -> io::Result<(Metadata, Pinned)> {
    Ok((std::fs::symlink_metadata(path)?, Pinned { path: path.to_owned() }))
}

impl AsRef<Path> for Pinned {
    fn as_ref(&self) -> &Path {
        &self.path
    }
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

impl NotSet {
    fn owner(owner: Option<u32>, group: Option<u32>, source: io::Error) -> io::Error {
        let shown = |number: Option<u32>| number.map_or("as it is".to_owned(), |n| n.to_string());
        let kind = source.kind();
        io::Error::new(kind, Self::Owner { owner: shown(owner), group: shown(group), source })
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
