//! One line on a terminal that says what is waited for, and goes when the waiting is over.

use std::io::{self, IsTerminal, Write};

/// Writes nothing where nobody watches: a log or a script wants results alone.
#[derive(Debug)]
pub(super) struct Progress {
    is_watched: bool,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_watched: io::stderr().is_terminal(), is_shown: false }
    }

    pub(super) fn show(&mut self, what: &str) {
        if !self.is_watched {
            return;
        }
        // A longer line would break, and its first part would stay.
        let line: String = super::people::plain(what).chars().take(LONGEST).collect();
        let _ = write!(io::stderr(), "{CLEAR}{line}");
        let _ = io::stderr().flush();
        self.is_shown = true;
    }

    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// To the beginning of the line, and nothing stays of it.
const CLEAR: &str = "\r\x1b[K";
const LONGEST: usize = 76;
