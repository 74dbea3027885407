//! Log lines on stderr, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log level {level:?} is not one: give error, warn, info, debug or trace")]
    Level {
        level: String,
        #[source]
        source: ParseError,
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
    let filter = EnvFilter::try_new(level)
        .map_err(|source| LogError::Level { level: level.to_owned(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Json => lines.json().flatten_event(true).finish().try_init()?,
        Format::Text => {
            let colours = std::io::stderr().is_terminal();
            lines.with_ansi(colours).with_target(false).finish().try_init()?;
        }
    }
    Ok(())
}
