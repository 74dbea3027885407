//! Everything that is logged, down to the last detail, kept for a test to read.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

use tracing::Level;

/// Begins to keep what this process logs; workers have threads of their own, so it is the log of
/// all tests in it.
pub fn capture() {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let lines = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
        let lines = lines.with_writer(|| Kept).finish();
        tracing::subscriber::set_global_default(lines).expect("nobody else keeps the log");
        tracing::trace!("the log is kept from here on");
    });
}

pub fn captured() -> String {
    String::from_utf8_lossy(&kept().lock().expect("whole lines")).into_owned()
}

struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        kept().lock().expect("whole lines").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn kept() -> &'static Mutex<Vec<u8>> {
    static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    &KEPT
}
