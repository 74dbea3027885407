//! The one way out for what this process says: nothing that holds a live secret passes.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use prometheus::IntCounter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::secret::live;

use super::Format;
use super::line::Line;
use super::sieve::Sieve;

/// Hands records on to what it stands before, each as it is or not at all.
#[derive(Clone, Debug)]
pub struct Screen<M> {
    format: Format,
    behind: M,
}

/// One record's way through a [`Screen`].
#[derive(Debug)]
pub struct Gap<W> {
    format: Format,
    behind: W,
    source: Source,
}

/// Where a record was made: in the program's text, where no secret stands.
#[derive(Debug)]
pub(super) struct Source {
    target: String,
    file: Option<String>,
    line: Option<u32>,
}

/// What was compiled, and from which version of the list of secrets.
struct Compiled {
    version: Option<u64>,
    sieve: Sieve,
}

// === impl Screen ===

impl<M> Screen<M> {
    pub fn new(format: Format, behind: M) -> Self {
        Self { format, behind }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Screen<M> {
    type Writer = Gap<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        let source = Source::new("unknown", None, None);
        Gap { format: self.format, behind: self.behind.make_writer(), source }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        let source = Source::new(meta.target(), meta.file(), meta.line());
        Gap { format: self.format, behind: self.behind.make_writer_for(meta), source }
    }
}

// === impl Gap ===

impl<W: Write> Gap<W> {
    pub(super) fn new(format: Format, behind: W, source: Source) -> Self {
        Self { format, behind, source }
    }
}

/// What is written is one whole record, as the library hands it over.
impl<W: Write> Write for Gap<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        if holds_secret(record) {
            WITHHELD.inc();
            self.behind.write_all(self.source.withheld(self.format).as_bytes())?;
        } else {
            self.behind.write_all(record)?;
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.behind.flush()
    }
}

/// Whether a live secret stands in it, in any form that is known; see [`Sieve::finds_in`].
pub fn holds_secret(text: &[u8]) -> bool {
    let compiled = COMPILED.load();
    if compiled.version == Some(live::version()) {
        return compiled.sieve.finds_in(text);
    }
    drop(compiled);
    let (version, secrets) = live::all();
    let compiled = Arc::new(Compiled { version: Some(version), sieve: Sieve::of(&secrets) });
    drop(secrets);
    COMPILED.store(compiled.clone());
    compiled.sieve.finds_in(text)
}

/// How many records were withheld.
pub fn withheld_total() -> &'static IntCounter {
    &WITHHELD
}

// === impl Source ===

impl Source {
    pub(super) fn new(target: &str, file: Option<&str>, line: Option<u32>) -> Self {
        Self { target: target.to_owned(), file: file.map(str::to_owned), line }
    }

    /// What is said instead of a record.
    fn withheld(&self, format: Format) -> String {
        let number = self.line.map(|line| line.to_string());
        let mut fields = vec![("record_target", self.target.as_str())];
        fields.extend(self.file.as_deref().map(|file| ("record_file", file)));
        fields.extend(number.as_deref().map(|line| ("record_line", line)));
        Line { level: Level::WARN, message: WITHHELD_MESSAGE, fields: &fields }.render(format)
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What a record that holds a secret is replaced by.
pub const WITHHELD_MESSAGE: &str = "a record was withheld: it holds a secret";

static COMPILED: LazyLock<ArcSwap<Compiled>> =
    LazyLock::new(|| ArcSwap::from_pointee(Compiled { version: None, sieve: Sieve::of([]) }));

/// Of the process, whichever gateway in it counts.
static WITHHELD: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Log records that were not written because a live secret stood in them.";
    let made = IntCounter::new("tokenward_log_records_withheld_total", help);
    made.expect("the name is a proper one")
});

#[cfg(test)]
mod tests;
