//! What the store does to a disk, each thing by itself: a test puts another disk here, and ends it
//! between any two.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// A disk. Errors are the operating system's.
pub(super) trait Disk {
    /// An open file. While it is open, no other file can have its number.
    type File;

    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// A new file for its owner alone.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    fn read(&self, file: &Self::File) -> io::Result<Zeroizing<String>>;

    /// Writes the whole content of a new file.
    fn write(&self, file: &Self::File, text: &str) -> io::Result<()>;

    /// What was written survives a loss of power.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// What was renamed in the folder survives a loss of power.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    fn stamp(&self, file: &Self::File) -> io::Result<Stamp>;

    /// Of what stands at the path now.
    fn stamp_at(&self, path: &Path) -> io::Result<Stamp>;
}

/// Tells a file from what stood at its path before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) number: u64,
    pub(super) length: u64,
    /// Seconds and nanoseconds since 1970: files are replaced, but a person's editor may not.
    pub(super) changed: (i64, i64),
}

/// The disk of this machine.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    fn read(&self, file: &File) -> io::Result<Zeroizing<String>> {
        let length = file.metadata()?.len();
        if length > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is far too long"));
        }
        // As long as it will be: what a text outgrows is not zeroed.
        let capacity = usize::try_from(length).unwrap_or_default() + 1;
        let mut text = Zeroizing::new(String::with_capacity(capacity));
        let mut rest = file;
        rest.read_to_string(&mut text)?;
        Ok(text)
    }

    fn write(&self, file: &File, text: &str) -> io::Result<()> {
        let mut file = file;
        file.write_all(text.as_bytes())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn stamp(&self, file: &File) -> io::Result<Stamp> {
        file.metadata().map(|metadata| Stamp::of(&metadata))
    }

    fn stamp_at(&self, path: &Path) -> io::Result<Stamp> {
        fs::metadata(path).map(|metadata| Stamp::of(&metadata))
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Thousands of accounts.
const LARGEST: u64 = 64 * 1024 * 1024;
