//! The log of one test, kept for it to read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::{Dispatch, Subscriber};
use tracing_subscriber::fmt::MakeWriter;

/// The lines of whoever logs to it; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Keeps everything from `info` on. For one thread, by `with_default` or `set_default`.
    pub fn log(&self) -> impl Subscriber + Send + Sync + use<> {
        // With a single subscriber in the process, a line that another thread's test reaches first,
        // where there is none, would count as unwanted for all.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        let nowhere = || tracing_subscriber::fmt().with_writer(io::sink).finish();
        SECOND.get_or_init(|| Dispatch::new(nowhere()));
        tracing_subscriber::fmt().with_writer(self.clone()).with_ansi(false).finish()
    }

    pub fn all(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("whole lines").clone()).expect("text");
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("whole lines").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
