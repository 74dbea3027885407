//! An amount of bytes: `"1MiB"`, `"64KiB"`, `"10MB"` or a plain number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{UnitError, Written};

/// Bytes. `KiB`, `MiB`, `GiB` count in 1024, `kB`, `MB`, `GB` in 1000; letter case does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size as a length in memory; what does not fit is cut to the longest possible.
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Size, UnitError> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = (&text[..digits], text[digits..].trim_start());
        if digits == 0 {
            return Err(not_a("not a size"));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))
        else {
            let help = "the units are B, KiB, MiB, GiB (by 1024) and kB, MB, GB (by 1000)";
            return Err(match unit.starts_with(['.', ',']) {
                true => not_a("a size is a whole number").help("\"1536KiB\" is 1.5 MiB"),
                false => not_a("unknown unit of size").help(help),
            });
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        bytes.map(Size).ok_or_else(|| not_a("a size beyond 16 EiB"))
    }
}

impl Written for Size {
    const EXPECTED: &'static str = "a size such as \"64KiB\" or \"1MiB\"";

    fn from_number(number: i64) -> Option<Result<Size, UnitError>> {
        Some(u64::try_from(number).map(Size).map_err(|_| not_a("a negative size")))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        super::deserialize(deserializer)
    }
}

/// In the largest unit that needs no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: u64| self.0 > 0 && self.0.is_multiple_of(factor);
        let (unit, factor) =
            DISPLAYED.into_iter().find(|(_, factor)| fits(*factor)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

fn not_a(problem: &'static str) -> UnitError {
    UnitError::new(problem, Size::EXPECTED)
}

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const DISPLAYED: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("1 mib", 1_048_576),
            ("10MB", 10_000_000),
            ("2GiB", 2_147_483_648),
            ("5kb", 5_000),
        ] {
            assert_eq!(text.parse::<Size>().map(Size::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_the_reason() {
        for (text, problem) in [
            ("", "not a size"),
            ("MiB", "not a size"),
            ("-1", "not a size"),
            ("1MX", "unknown unit of size"),
            ("1M", "unknown unit of size"),
            ("1.5MiB", "a size is a whole number"),
            ("99999999999GiB", "a size beyond 16 EiB"),
            ("99999999999999999999999", "a size beyond 16 EiB"),
        ] {
            assert_eq!(text.parse::<Size>().map_err(|e| e.problem), Err(problem), "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_as_it_would_be_written() {
        for text in ["0B", "1MiB", "64KiB", "1000B", "3GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
