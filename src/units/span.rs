//! A length of time: `"30s"`, `"5m"`, `"1h 30m"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{UnitError, Written};

/// A length of time, always written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Span, UnitError> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Err(lacks_unit(number));
        }
        humantime::parse_duration(text).map(Span).map_err(|error| match error {
            humantime::DurationError::UnknownUnit { .. } => {
                not_a("unknown unit of time").help("the units are ms, s, m, h and d")
            }
            humantime::DurationError::NumberOverflow => not_a("a time beyond all measure"),
            _ => not_a("not a time"),
        })
    }
}

impl Written for Span {
    const EXPECTED: &'static str = "a time such as \"30s\", \"5m\" or \"1h 30m\"";

    fn from_number(number: i64) -> Option<Result<Span, UnitError>> {
        Some(Err(lacks_unit(number)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        super::deserialize(deserializer)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

fn lacks_unit(number: i64) -> UnitError {
    let error = not_a("a number without a unit of time");
    if number < 0 { error } else { error.help(format!("\"{number}s\" if seconds are meant")) }
}

fn not_a(problem: &'static str) -> UnitError {
    UnitError::new(problem, Span::EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
        ] {
            let read = text.parse::<Span>().map(|span| Duration::from(span).as_millis());
            assert_eq!(read, Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused_with_the_reason() {
        for (text, problem) in [
            ("30", "a number without a unit of time"),
            ("0", "a number without a unit of time"),
            ("-5", "a number without a unit of time"),
            ("30x", "unknown unit of time"),
            ("", "not a time"),
            ("soon", "not a time"),
            ("99999999999999999999s", "a time beyond all measure"),
        ] {
            assert_eq!(text.parse::<Span>().map_err(|e| e.problem), Err(problem), "{text}");
        }
        assert_eq!(lacks_unit(30).help.as_deref(), Some("\"30s\" if seconds are meant"));
    }
}
