//! A disk that exists in memory alone, and ends at any operation.
//!
//! What is not flushed is lost or kept at random: of a file's content any beginning, or zeros; of a
//! name any of the files that it stood for since the folder was flushed, whatever became of others.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use zeroize::Zeroizing;

use super::super::disk::{Disk, Stamp};

/// A machine's disk, which outlives its processes.
#[derive(Clone, Debug)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: Vec<File>,
    names: BTreeMap<PathBuf, Name>,
    random: fastrand::Rng,
    /// Operations so far.
    done: usize,
    trouble: Option<Trouble>,
    /// Nothing goes any more.
    down: bool,
}

#[derive(Debug, Default)]
struct File {
    text: Vec<u8>,
    /// What was flushed last.
    flushed: Vec<u8>,
}

#[derive(Debug, Default)]
struct Name {
    /// What it stood for when the folder was flushed, and since; the last is what it stands for.
    stood_for: Vec<Option<usize>>,
}

/// What happens at one operation, counted from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// The process ends there, the operation half done.
    End(usize),
    /// That operation fails, half done, and the next ones go well.
    Fails(usize),
    /// From there on nothing can be written: the disk is full.
    Full(usize),
}

/// How it comes back after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The process was killed; the machine lives on.
    Process,
    /// The machine went down.
    Power,
}

impl SimDisk {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: Vec::new(),
            names: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
            done: 0,
            trouble: None,
            down: false,
        })))
    }

    pub(super) fn trouble(&self, trouble: Option<Trouble>) {
        let mut state = self.state();
        (state.trouble, state.done) = (trouble, 0);
    }

    /// Operations since trouble was set.
    pub(super) fn done(&self) -> usize {
        self.state().done
    }

    /// Starts anew with what is left.
    pub(super) fn come_back(&self, loss: Loss) {
        let mut state = self.state();
        (state.trouble, state.done, state.down) = (None, 0, false);
        if loss == Loss::Process {
            return;
        }
        let State { files, names, random, .. } = &mut *state;
        for file in files {
            if file.text != file.flushed {
                file.text = match random.u8(..4) {
                    0 => file.flushed.clone(),
                    1 => vec![0; file.text.len()],
                    _ => {
                        file.text.truncate(random.usize(..=file.text.len()));
                        std::mem::take(&mut file.text)
                    }
                };
                file.flushed = file.text.clone();
            }
        }
        for name in names.values_mut() {
            let left = name.stood_for[random.usize(..name.stood_for.len())];
            name.stood_for = vec![left];
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with it")
    }
}

impl State {
    /// Whether this operation goes well, goes half way (`Err` afterwards), or not at all.
    fn step(&mut self, writes: bool) -> io::Result<Option<io::Error>> {
        if self.down {
            return Err(io::Error::other("the process has ended"));
        }
        let number = self.done;
        self.done += 1;
        let half = |state: &mut Self, error: io::Error| {
            if state.random.bool() { Ok(Some(error)) } else { Err(error) }
        };
        match self.trouble {
            Some(Trouble::End(at)) if number == at => {
                self.down = true;
                half(self, io::Error::other("the process ends"))
            }
            Some(Trouble::Fails(at)) if number == at => {
                half(self, io::Error::other("an error of the disk"))
            }
            Some(Trouble::Full(at)) if number >= at && writes => {
                half(self, io::Error::from(ErrorKind::StorageFull))
            }
            _ => Ok(None),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let name = self.names.get(path).and_then(|name| *name.stood_for.last()?);
        name.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn name(&mut self, path: &Path, file: Option<usize>) {
        let name = self.names.entry(path.to_owned()).or_default();
        if name.stood_for.is_empty() {
            name.stood_for.push(None);
        }
        name.stood_for.push(file);
    }

    fn stamp(&self, number: usize) -> Stamp {
        let length = self.files[number].text.len() as u64;
        Stamp { device: 1, number: number as u64, length, changed: (0, 0) }
    }
}

fn after(half: Option<io::Error>) -> io::Result<()> {
    half.map_or(Ok(()), Err)
}

impl Disk for SimDisk {
    type File = usize;

    fn open(&self, path: &Path) -> io::Result<usize> {
        let mut state = self.state();
        after(state.step(false)?)?;
        state.find(path)
    }

    fn create(&self, path: &Path) -> io::Result<usize> {
        let mut state = self.state();
        let half = state.step(true)?;
        if state.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let number = state.files.len();
        state.files.push(File::default());
        state.name(path, Some(number));
        after(half).map(|()| number)
    }

    fn read(&self, file: &usize) -> io::Result<Zeroizing<String>> {
        let mut state = self.state();
        after(state.step(false)?)?;
        let text = String::from_utf8(state.files[*file].text.clone());
        text.map(Zeroizing::new).map_err(|_| ErrorKind::InvalidData.into())
    }

    fn write(&self, file: &usize, text: &str) -> io::Result<()> {
        let mut state = self.state();
        let half = state.step(true)?;
        let written = match half {
            Some(_) => state.random.usize(..=text.len()),
            None => text.len(),
        };
        state.files[*file].text = text.as_bytes()[..written].to_owned();
        after(half)
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        let mut state = self.state();
        let half = state.step(true)?;
        let file = &mut state.files[*file];
        file.flushed = file.text.clone();
        after(half)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let half = state.step(false)?;
        let file = state.find(from)?;
        state.name(to, Some(file));
        state.name(from, None);
        after(half)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let half = state.step(false)?;
        state.find(path)?;
        state.name(path, None);
        after(half)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        let half = state.step(false)?;
        for name in state.names.values_mut() {
            name.stood_for.drain(..name.stood_for.len() - 1);
        }
        after(half)
    }

    fn stamp(&self, file: &usize) -> io::Result<Stamp> {
        let mut state = self.state();
        after(state.step(false)?)?;
        Ok(state.stamp(*file))
    }

    fn stamp_at(&self, path: &Path) -> io::Result<Stamp> {
        let mut state = self.state();
        after(state.step(false)?)?;
        if path == Path::new(FOLDER) {
            return Ok(Stamp { device: 1, number: u64::MAX, length: 0, changed: (0, 0) });
        }
        state.find(path).map(|number| state.stamp(number))
    }
}

/// The only folder there is.
pub(super) const FOLDER: &str = "/store";
