//! Who has the file: for a gateway's life, and for the time of one write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::super::StoreError;
use super::book::{beside, io_error};

/// `<path>.lock`, held for as long as a gateway lives: alone, or together with others. It ends with
/// the process, however that ends. The file names who holds it.
#[derive(Debug)]
pub(super) struct Claim {
    file: File,
    share: bool,
    is_first: bool,
}

/// `<path>.write`, held from the reading of the file to its replacement.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "closing it gives the lock back")] File);

// === impl Claim ===

impl Claim {
    /// # Errors
    /// When others have the file, and one of them or this one would have it alone.
    pub(super) fn take(path: &Path, share: bool) -> Result<Self, StoreError> {
        let lock_path = beside(path, ".lock");
        let file = open(&lock_path).map_err(io_error(&lock_path, "opening"))?;
        let failed = |error| io_error(&lock_path, "locking")(error);
        for again in 0..=TRIES {
            if got(file.try_lock()).map_err(failed)? {
                let claim = Self { file, share, is_first: true };
                claim.sign();
                return Ok(claim);
            }
            if share && got(file.try_lock_shared()).map_err(failed)? {
                let claim = Self { file, share, is_first: false };
                claim.sign();
                return Ok(claim);
            }
            if again < TRIES {
                pause();
            }
        }
        Err(held(path, &file, share))
    }

    /// Whether nobody else has the file now: leases in it are those of the dead. It holds until
    /// this one [settles](Self::settle).
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Lets others in, if the file is shared.
    ///
    /// # Errors
    /// When somebody was faster who would have the file alone.
    pub(super) fn settle(&self, path: &Path) -> Result<(), StoreError> {
        if !self.share || !self.is_first {
            return Ok(());
        }
        // From one kind of lock to the other there is an instant without any.
        for again in 0..=TRIES {
            if got(self.file.try_lock_shared()).map_err(io_error(path, "locking"))? {
                return Ok(());
            }
            if again < TRIES {
                pause();
            }
        }
        Err(held(path, &self.file, true))
    }

    /// Adds this process to those that the lock file names. That is a courtesy to people, and a full
    /// disk must not keep a gateway from serving with what it has.
    fn sign(&self) {
        let mut living = String::new();
        if !self.is_first {
            for (mode, pid) in holders(&self.file) {
                living.push_str(&format!("{mode} {pid}\n"));
            }
        }
        let mode = if self.share { SHARED } else { ALONE };
        living.push_str(&format!("{mode} {}\n", std::process::id()));
        let mut file = &self.file;
        let _ = file.set_len(0);
        let _ = file.seek(io::SeekFrom::Start(0));
        let _ = file.write_all(living.as_bytes());
    }
}

// === impl Turn ===

impl Turn {
    /// `None`: it is somebody else's turn.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub(super) fn take(path: &Path) -> Result<Option<Self>, StoreError> {
        let lock_path = beside(path, ".write");
        let file = open(&lock_path).map_err(io_error(&lock_path, "opening"))?;
        let got = got(file.try_lock()).map_err(io_error(&lock_path, "locking"))?;
        Ok(got.then_some(Self(file)))
    }
}

/// Opens a lock file, which need not be there. One that may only be read can be locked, too.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).or_else(|error| File::open(path).map_err(|_| error))
}

fn got(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn held(path: &Path, lock: &File, share: bool) -> StoreError {
    let holders = holders(lock);
    let shared = holders.last().is_some_and(|(mode, _)| mode == SHARED);
    let advice = match (share, shared) {
        (false, false) => {
            "stop it, or give this one another `store.path`, or set `store.share = true` for both"
        }
        (false, true) => {
            "the file is shared, and this one would have it alone: set `store.share = true` here, too"
        }
        (true, _) => {
            "that one has the file alone: set `store.share = true` for it, too, and start it again"
        }
    };
    let pids: Vec<_> = holders.iter().map(|(_, pid)| format!("pid {pid}")).collect();
    let holder = if pids.is_empty() { "pid unknown".to_owned() } else { pids.join(", ") };
    StoreError::Held { path: path.to_owned(), holder, advice }
}

/// Mode and pid of everybody whom the lock file names, without the dead where that can be told.
fn holders(lock: &File) -> Vec<(String, u32)> {
    let mut text = String::new();
    let mut file = lock;
    let _ = file.seek(io::SeekFrom::Start(0));
    let _ = file.take(LONGEST_LIST).read_to_string(&mut text);
    let named = text.lines().filter_map(|line| {
        let (mode, pid) = line.split_once(' ')?;
        Some((mode.to_owned(), pid.parse().ok()?))
    });
    named.filter(|(_, pid)| lives(*pid)).collect()
}

fn lives(pid: u32) -> bool {
    !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{pid}")).exists()
}

/// Before anything is served, and for an instant that another process needs to settle.
#[expect(clippy::disallowed_methods, reason = "no worker runs yet")]
fn pause() {
    std::thread::sleep(PAUSE);
}

const ALONE: &str = "alone";
const SHARED: &str = "shared";
/// Somebody who shares the file has it alone for an instant, at its start.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_LIST: u64 = 64 * 1024;
