//! The operator's list of clients, a file of its own that may change while the gateway runs.

mod check;
pub(super) mod raw;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::document::{Document, Report};
use crate::proxy::clients;
use crate::units::is_read_by_others;
use crate::vendor::description::Description;

use check::Checker;
use raw::RawClients;

/// Where the list stands, and what it can speak of.
#[derive(Clone, Debug)]
pub struct ClientsFile {
    pub path: PathBuf,
    /// In their order.
    pub upstreams: Vec<KnownUpstream>,
}

/// An upstream as a list of clients knows it.
#[derive(Clone, Debug)]
pub struct KnownUpstream {
    pub name: String,
    /// Whose presets it has.
    pub vendor: Description,
    /// What stands before every path.
    pub base: String,
}

/// What one reading found.
#[derive(Debug)]
pub struct Listed {
    /// All of them, or every mistake.
    pub clients: Result<Vec<clients::Config>, Report>,
    /// The list itself and the files of keys that it names.
    pub files: Vec<PathBuf>,
    /// What is no mistake, but should be known.
    pub warnings: Vec<String>,
}

impl ClientsFile {
    /// Reads the list, and the files that it names.
    pub fn read(&self) -> Listed {
        let name = self.path.display().to_string();
        let mut listed = Listed {
            clients: Ok(Vec::new()),
            files: vec![self.path.clone()],
            warnings: Vec::new(),
        };
        let (text, is_open) = match open(&self.path) {
            Ok(read) => read,
            Err(problem) => {
                let (nothing, mut report) = Document::parse(name, "");
                report.push(nothing.mistake(&[], problem));
                listed.clients = Err(report);
                return listed;
            }
        };
        let (document, report) = Document::parse(name, text.as_str());
        let mut checker = Checker::new(self, &document, report);
        let raw: Option<RawClients> = document.read(&mut checker.report);
        let clients = checker.clients(raw.unwrap_or_default());
        if checker.holds_plain_keys && is_open {
            let file = self.path.display();
            let warning = format!("{file} holds keys and can be read by others: chmod 600 {file}");
            checker.warnings.push(warning);
        }
        if clients.is_empty() && checker.report.is_empty() {
            let file = self.path.display();
            checker.warnings.push(format!("{file} lists no client: nobody may call by TCP"));
        }
        listed.files.extend(checker.files);
        listed.warnings = checker.warnings;
        listed.clients = checker.report.into_result().map(|()| clients);
        listed
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

/// The text of the file and whether others may read it, or what is the matter with it.
fn open(path: &Path) -> Result<(Zeroizing<String>, bool), String> {
    let unreadable = |error: io::Error| format!("the file cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let is_open = is_read_by_others(&file.metadata().map_err(unreadable)?);
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("the file is larger than {LARGEST} bytes"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "the file is not text in UTF-8")?;
    Ok((Zeroizing::new(text.to_owned()), is_open))
}

/// A thousand clients with long rules.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests;
