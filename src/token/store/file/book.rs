//! The file as one thing: read when it has changed, replaced as a whole.
//!
//! A save writes `<path>.new` (mode 0600), flushes it, renames it over the old file and flushes the
//! folder, so that a crash at any instant leaves the old pages or the new ones.

use std::io;
use std::path::{Path, PathBuf};

use super::super::{Revision, StoreError, Written, Wrote};
use super::disk::{Disk, Stamp};
use super::format::{self, Pages};

/// The file, and what stood in it when it was read last.
#[derive(Debug)]
pub(super) struct Book<D: Disk> {
    disk: D,
    path: PathBuf,
    copy: Copy<D::File>,
}

#[derive(Debug)]
struct Copy<F> {
    pages: Pages,
    /// Of the file that they were read from. `None`: there was none, or it is not known.
    stamp: Option<Stamp>,
    /// That file, kept open: its number cannot go to another, which would have its stamp.
    _file: Option<F>,
}

impl<D: Disk> Book<D> {
    pub(super) fn new(disk: D, path: PathBuf) -> Self {
        Self { disk, path, copy: Copy::none() }
    }

    /// Reads the file if it has changed since. Returns whether it has.
    ///
    /// # Errors
    /// When it cannot be read, or is no store.
    pub(super) fn look(&mut self) -> Result<bool, StoreError> {
        match self.disk.stamp_at(&self.path) {
            Ok(stamp) if self.copy.stamp == Some(stamp) => Ok(false),
            Ok(_) => self.read().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.none(),
            Err(error) => Err(io_error(&self.path, "reading")(error)),
        }
    }

    /// The pages as they were at the last look.
    pub(super) fn pages(&self) -> &Pages {
        &self.copy.pages
    }

    /// Replaces one page. Whoever calls this must be the only one who does, in any process.
    ///
    /// # Errors
    /// When the file cannot be read, or not be written. Only after a flush that failed has it
    /// changed all the same.
    pub(super) fn replace(
        &mut self,
        name: &str,
        seen: Revision,
        next: Written,
    ) -> Result<Wrote, StoreError> {
        self.look()?;
        let stored = self.copy.pages.get(name);
        if !next.may_replace(stored, seen) {
            return Ok(Wrote::Stale(stored.cloned()));
        }
        let mut pages = self.copy.pages.clone();
        pages.insert(name.to_owned(), next);
        self.save(pages)?;
        Ok(Wrote::Done)
    }

    /// There is no file, which is a store without pages; without a folder there is no store.
    fn none(&mut self) -> Result<bool, StoreError> {
        let folder = folder_of(&self.path);
        self.disk.stamp_at(folder).map_err(io_error(folder, "looking for the folder"))?;
        let had = self.copy.stamp.is_some();
        self.copy = Copy::none();
        Ok(had)
    }

    fn read(&mut self) -> Result<(), StoreError> {
        self.copy = Copy::none();
        let file = match self.disk.open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error(&self.path, "opening")(error)),
        };
        // Whoever put it here may have died before the folder was flushed. What is read is relied
        // on, so it must not be lost any more.
        let folder = folder_of(&self.path);
        match self.disk.sync_folder(folder) {
            Err(error) if !is_read_only(&error) => return Err(io_error(folder, "flushing")(error)),
            _ => {}
        }
        let stamp = self.disk.stamp(&file).map_err(io_error(&self.path, "reading"))?;
        let text = self.disk.read(&file).map_err(io_error(&self.path, "reading"))?;
        let damaged = |problem| StoreError::Damaged { path: self.path.clone(), problem };
        let pages = format::parse(&text).map_err(damaged)?;
        self.copy = Copy { pages, stamp: Some(stamp), _file: Some(file) };
        Ok(())
    }

    fn save(&mut self, pages: Pages) -> Result<(), StoreError> {
        let text = format::text(&pages).map_err(io_error(&self.path, "serializing"))?;
        self.copy = Copy::none();
        // Always the same name: what a killed process left half written gives way to the next save.
        let temporary = beside(&self.path, ".new");
        let file = self.put(&temporary, text.expose()).inspect_err(|_| {
            // A full disk has no room for it, and it holds secrets.
            let _ = self.disk.remove(&temporary);
        })?;
        self.disk.rename(&temporary, &self.path).map_err(io_error(&self.path, "renaming"))?;
        let folder = folder_of(&self.path);
        self.disk.sync_folder(folder).map_err(io_error(folder, "flushing"))?;
        let stamp = self.disk.stamp(&file).ok();
        if stamp.is_some() {
            self.copy = Copy { pages, stamp, _file: Some(file) };
        }
        Ok(())
    }

    /// Writes a new file, durably.
    fn put(&self, path: &Path, text: &str) -> Result<D::File, StoreError> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(path, "removing")(error));
            }
            _ => {}
        }
        let file = self.disk.create(path).map_err(io_error(path, "creating"))?;
        self.disk.write(&file, text).map_err(io_error(path, "writing"))?;
        self.disk.sync(&file).map_err(io_error(path, "flushing"))?;
        Ok(file)
    }
}

impl<F> Copy<F> {
    fn none() -> Self {
        Self { pages: Pages::new(), stamp: None, _file: None }
    }
}

/// Where nothing can be written, nothing waits to be flushed.
fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), ReadOnlyFilesystem | PermissionDenied | InvalidInput | Unsupported)
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(super) fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, doing, source }
}
