//! The mode of a file: `"0660"`.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{UnitError, Written};

/// Who may read, write and execute a file, as `chmod` takes it: octal, and written as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// For its owner alone.
    pub const PRIVATE: Self = Self(0o600);

    /// The nine bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether everybody may write.
    pub fn is_open(self) -> bool {
        self.0 & 0o002 != 0
    }
}

/// Whether others than this process may read a file that holds a secret. The group of a file of root's
/// is how it is given to a process of another user, as Kubernetes does with a mounted Secret.
pub fn is_read_by_others(file: &Metadata) -> bool {
    read_by_others(file.mode(), file.uid(), rustix::process::geteuid().as_raw())
}

fn read_by_others(mode: u32, owner: u32, own: u32) -> bool {
    let is_given = owner == 0 && own != 0;
    mode & if is_given { 0o004 } else { 0o044 } != 0
}

impl FromStr for FileMode {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<FileMode, UnitError> {
        let is_octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        if !is_octal || !matches!(text.len(), 3 | 4) {
            return Err(not_a("not a mode"));
        }
        match u32::from_str_radix(text, 8) {
            Ok(bits) if bits & !0o777 != 0 => {
                Err(not_a("the set-user, set-group and sticky bits mean nothing here"))
            }
            Ok(bits) if bits & 0o222 == 0 => {
                Err(not_a("with this mode nobody could connect: that takes the right to write"))
            }
            Ok(bits) => Ok(FileMode(bits)),
            Err(_) => Err(not_a("not a mode")),
        }
    }
}

impl Written for FileMode {
    const EXPECTED: &'static str = "a mode such as \"0600\" or \"0660\", in octal digits";

    fn from_number(_: i64) -> Option<Result<FileMode, UnitError>> {
        let help = "write it as a text: a number in TOML is decimal";
        Some(Err(not_a("a number, and not the text of a mode").help(help)))
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FileMode, D::Error> {
        super::deserialize(deserializer)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

fn not_a(problem: &'static str) -> UnitError {
    UnitError::new(problem, FileMode::EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, bits, open) in [
            ("0600", 0o600, false),
            ("600", 0o600, false),
            ("0660", 0o660, false),
            ("0666", 0o666, true),
            ("0602", 0o602, true),
            ("0755", 0o755, false),
        ] {
            let mode: FileMode = text.parse().unwrap();
            assert_eq!((mode.bits(), mode.is_open()), (bits, open), "{text}");
        }
        assert_eq!(FileMode::PRIVATE.to_string(), "0600");
    }

    #[test]
    fn what_is_not_a_mode_is_refused_with_the_reason() {
        for (text, problem) in [
            ("", "not a mode"),
            ("0o660", "not a mode"),
            ("0680", "not a mode"),
            ("66", "not a mode"),
            ("00660", "not a mode"),
            ("rw-rw----", "not a mode"),
            ("+660", "not a mode"),
            ("2660", "the set-user, set-group and sticky bits mean nothing here"),
            ("0440", "with this mode nobody could connect: that takes the right to write"),
        ] {
            assert_eq!(text.parse::<FileMode>().map_err(|e| e.problem), Err(problem), "{text}");
        }
    }

    #[test]
    fn p26_the_group_may_read_what_root_gives_to_another_user() {
        for (mode, owner, own, told) in [
            (0o600, 1000, 1000, false),
            (0o640, 1000, 1000, true),
            (0o640, 1001, 1000, true),
            (0o640, 0, 0, true),
            (0o440, 0, 65532, false),
            (0o444, 0, 65532, true),
        ] {
            assert_eq!(read_by_others(mode, owner, own), told, "{mode:o} {owner} {own}");
        }
    }
}
