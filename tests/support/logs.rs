//! Everything that is logged, down to the last detail, as the gateway's own screen lets it pass; kept
//! for a test to read, and searched for secrets.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

use tokenward::telemetry::log::{Format, Screen};
use tracing::Level;

use super::leaks;

/// Begins to keep what this process logs; workers have threads of their own, so it is the log of
/// all tests in it. Every stage begins with this.
pub fn capture() {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let lines = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
        let screen = Screen::new(Format::Text, (|| Kept) as fn() -> Kept);
        let lines = lines.with_writer(screen).finish();
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
        let mut kept = kept().lock().expect("whole lines");
        if kept.len() + bytes.len() > MOST_KEPT {
            leaks::look_into("the log", &kept);
            kept.clear();
        }
        kept.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn kept() -> &'static Mutex<Vec<u8>> {
    static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    &KEPT
}

/// Far more than any test reads.
const MOST_KEPT: usize = 16 << 20;
