//! Log lines on stderr, as text for people or JSON for machines. None of them holds a live secret:
//! all pass one [screen](Screen).

mod apart;
mod level;
mod line;
mod panics;
mod screen;
mod sieve;
mod spelling;

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use apart::{Apart, Writer};
pub use level::{LevelNow, Origin, check_level, configured_level, level_now, set_level};
pub use line::Fields;
pub use panics::tell_panics;
pub use screen::{Gap, Screen, WITHHELD_MESSAGE, holds_secret, withheld_total};
pub use sieve::Sieve;

use level::Level;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Lets one record pass in a second: what befalls every request shall not fill the disk.
#[derive(Debug, Default)]
pub struct Sparse {
    last: Cell<Option<Instant>>,
    withheld: Cell<u64>,
}

impl Sparse {
    /// `Some`: write the record, and say how many were withheld since the one before.
    pub fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        if self.last.get().is_some_and(|last| now - last < INTERVAL) {
            self.withheld.set(self.withheld.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.withheld.take())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log level {level:?} is not one: give error, warn, info, debug or trace")]
    Level {
        level: String,
        #[source]
        source: Option<ParseError>,
    },
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
    #[error("this process does not log by itself")]
    NotOurs,
}

/// Sets up logging for the process. `level` is a level, or a filter such as
/// `info,tokenward::proxy=debug`.
///
/// # Errors
/// When the level is not one, or logging was set up before.
pub fn init(format: Format, level: &str, origin: Origin) -> Result<(), LogError> {
    let screen = Screen::new(format, io::stderr as fn() -> io::Stderr);
    // The filter alone says which lines there are.
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(screen);
    let level = Level::read(level, origin)?;
    match format {
        Format::Json => {
            let (filter, level) = level.filter();
            lines.json().flatten_event(true).finish().with(filter).try_init()?;
            level.keep();
        }
        Format::Text => {
            let (filter, level) = level.filter();
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_target(false);
            lines.finish().with(filter).try_init()?;
            level.keep();
        }
    }
    let _ = FORMAT.set(format);
    Ok(())
}

/// How this process logs; text before it was told.
fn format() -> Format {
    FORMAT.get().copied().unwrap_or_default()
}

static FORMAT: OnceLock<Format> = OnceLock::new();
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_record_passes_in_a_second_and_says_how_many_did_not() {
        let sparse = Sparse::default();
        assert_eq!(sparse.admit(), Some(0));
        assert_eq!((sparse.admit(), sparse.admit()), (None, None));
        tokio::time::advance(INTERVAL).await;
        assert_eq!((sparse.admit(), sparse.admit()), (Some(2), None));
    }
}
