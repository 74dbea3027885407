//! Log lines on stderr, as text for people or JSON for machines. None of them holds a live secret:
//! all pass one [screen](Screen).

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
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use panics::tell_panics;
pub use screen::{Gap, Screen, WITHHELD_MESSAGE, holds_secret, withheld_total};
pub use sieve::Sieve;

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
}

/// Sets up logging for the process. `level` is a level, or a filter such as
/// `info,tokenward::proxy=debug`.
///
/// # Errors
/// When the level is not one, or logging was set up before.
pub fn init(format: Format, level: &str) -> Result<(), LogError> {
    let filter = filter(level)?;
    let screen = Screen::new(format, io::stderr as fn() -> io::Stderr);
    // The filter alone says which lines there are.
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(screen);
    match format {
        Format::Json => lines.json().flatten_event(true).finish().with(filter).try_init()?,
        Format::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_target(false);
            lines.finish().with(filter).try_init()?;
        }
    }
    let _ = FORMAT.set(format);
    Ok(())
}

/// How this process logs; text before it was told.
fn format() -> Format {
    FORMAT.get().copied().unwrap_or_default()
}

/// Whether `level` is a level or a filter.
///
/// # Errors
/// When it is not.
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<Targets, LogError> {
    let bad = |source| LogError::Level { level: level.to_owned(), source };
    // The library takes a word that is no level for a module: `inof` would silence everything.
    let is_word = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut words = level.split(',').map(str::trim).filter(is_word);
    if words.any(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(bad(None));
    }
    level.parse::<Targets>().map_err(|source| bad(Some(source)))
}

static FORMAT: OnceLock<Format> = OnceLock::new();
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_or_a_filter_and_no_misspelt_word() {
        for good in ["info", "WARN", "off", "info,tokenward::proxy=debug", "tokenward=trace,warn"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        for bad in ["inof", "verbose", "info,tokenward", "a=b=c", "tokenward=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_record_passes_in_a_second_and_says_how_many_did_not() {
        let sparse = Sparse::default();
        assert_eq!(sparse.admit(), Some(0));
        assert_eq!((sparse.admit(), sparse.admit()), (None, None));
        tokio::time::advance(INTERVAL).await;
        assert_eq!((sparse.admit(), sparse.admit()), (Some(2), None));
    }
}
