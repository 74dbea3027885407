//! The numbers of users and groups, from the system's own lists.

use std::io;
use std::path::Path;

/// The number that a name has in such a list; a number stands for itself.
///
/// # Errors
/// When the list cannot be read.
pub(super) fn number(list: &Path, name: &str) -> io::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        // The system takes the highest one for "leave it as it is".
        return Ok(Some(number).filter(|number| *number != u32::MAX));
    }
    let text = std::fs::read(list)?;
    Ok(String::from_utf8_lossy(&text).lines().find_map(|line| number_in(line, name)))
}

/// `name:password:number:…`
fn number_in(line: &str, name: &str) -> Option<u32> {
    let mut fields = line.split(':');
    let is_named = fields.next() == Some(name) && !name.is_empty();
    fields.nth(1).filter(|_| is_named)?.parse().ok()
}

pub(super) const USERS: &str = "/etc/passwd";
pub(super) const GROUPS: &str = "/etc/group";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_numbers_stand_for_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("passwd");
        let lines = b"root:x:0:0:root:/root:/bin/sh\n# app:x:1:\n\xff:x:7:\napp:x:1000:1000::/:\n\
                      broken\nnone:x::\n+::::::\n";
        std::fs::write(&list, lines).unwrap();
        for (name, found) in [
            ("root", Some(0)),
            ("app", Some(1000)),
            ("1234", Some(1234)),
            ("4294967295", None),
            ("ap", None),
            ("", None),
            ("x", None),
            ("broken", None),
            ("none", None),
        ] {
            assert_eq!(number(&list, name).unwrap(), found, "{name}");
        }
        assert!(number(Path::new("/no/such"), "app").is_err());
        assert_eq!(number(Path::new("/no/such"), "5").unwrap(), Some(5));
    }
}
