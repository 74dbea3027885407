//! Records that a thread of their own writes: whoever has one to write never waits for it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use prometheus::IntCounter;

use super::screen::{Gap, Source};
use super::{Format, format};

/// Takes records of one kind. Clones share the thread, which ends with the last of them.
#[derive(Debug)]
pub struct Apart<T> {
    records: SyncSender<T>,
    dropped: IntCounter,
}

/// The thread.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

impl<T: Send + 'static> Apart<T> {
    /// Starts the thread. `render` makes a line of a record; `dropped` counts those for which there was
    /// no room.
    ///
    /// # Errors
    /// When a thread cannot be had.
    pub fn start(
        target: &'static str,
        render: fn(T, Format) -> String,
        dropped: IntCounter,
    ) -> io::Result<(Self, Writer)> {
        let (records, taken) = sync_channel(MOST_WAITING);
        let write = move || {
            let line = |record, format| (render(record, format), target);
            write_all(&taken, line, format(), &mut io::stderr());
        };
        let thread = thread::Builder::new().name(target.to_owned()).spawn(write)?;
        Ok((Self { records, dropped }, Writer(thread)))
    }

    /// Hands a record over, if there is room. This never waits.
    pub fn write(&self, record: T) {
        if self.records.try_send(record).is_err() {
            self.dropped.inc();
        }
    }
}

impl<T> Clone for Apart<T> {
    fn clone(&self) -> Self {
        Self { records: self.records.clone(), dropped: self.dropped.clone() }
    }
}

impl Writer {
    /// Waits, in this thread, until all records are written that were handed over. All clones of their
    /// [`Apart`] must have gone.
    pub fn join(self) {
        let _ = self.0.join();
    }
}

/// Many at once, if many wait: a record in ten thousand a second shall not cost a call each.
fn write_all<T>(
    taken: &Receiver<T>,
    line: impl Fn(T, Format) -> (String, &'static str),
    format: Format,
    to: &mut impl Write,
) {
    let mut out = Vec::new();
    while let Ok(first) = taken.recv() {
        let more = std::iter::from_fn(|| taken.try_recv().ok());
        for record in std::iter::once(first).chain(more.take(MOST_AT_ONCE)) {
            let (line, target) = line(record, format);
            let mut screened = Gap::new(format, &mut out, Source::new(target, None, None));
            // A Vec takes everything.
            let _ = screened.write_all(line.as_bytes());
        }
        // Nobody is left to be told that stderr is closed.
        let _ = to.write_all(&out);
        out.clear();
    }
}

/// A second's worth of a busy gateway: about 4 MB.
const MOST_WAITING: usize = 8192;
const MOST_AT_ONCE: usize = 255;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::secret::Secret;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "of a test").expect("a name")
    }

    #[test]
    fn p31_records_wait_for_nobody_and_what_has_no_room_is_counted() {
        let (records, taken): (_, Receiver<usize>) = sync_channel(2);
        let apart = Apart { records, dropped: counter() };
        (0..5).for_each(|number| apart.write(number));
        assert_eq!(apart.dropped.get(), 3);
        let (done, written) = channel();
        thread::spawn(move || {
            let mut out = Vec::new();
            write_all(&taken, |it, _| (format!("{it}\n"), "test"), Format::Text, &mut out);
            done.send(out).expect("it is waited for");
        });
        drop(apart);
        assert_eq!(written.recv().expect("the thread ends"), b"0\n1\n");
    }

    #[test]
    fn p26_a_record_that_holds_a_secret_is_withheld() {
        let secret = Secret::new("what-no-record-may-hold");
        let (records, taken) = sync_channel(2);
        records.send(format!("a {} b\n", secret.expose())).expect("room");
        records.send("c\n".to_owned()).expect("room");
        drop(records);
        let mut out = Vec::new();
        write_all(&taken, |it, _| (it, "access"), Format::Text, &mut out);
        let out = String::from_utf8(out).expect("text");
        assert!(out.contains("withheld") && out.contains("record_target=access"), "{out}");
        assert!(!out.contains(secret.expose()) && out.ends_with("c\n"), "{out}");
    }
}
