//! The memory of a child process, searched.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use memchr::memmem;

/// Where a text stands in a process' memory, with what is around it.
#[derive(Debug)]
pub struct Copy {
    /// `[heap]`, `[stack]`, or nothing for memory that was asked for in pieces.
    pub region: String,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

/// Every copy of a text in what the process can write to. Other processes' memory may only be read by
/// root, or if core dumps are permitted.
pub fn copies(pid: u32, text: &str) -> Vec<Copy> {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("its memory can be read");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its map can be read");
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, modes) = (words.next().expect("a range"), words.next().expect("modes"));
        if !modes.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("two addresses");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (address(start), address(end));
        let mut bytes = vec![0; usize::try_from(end - start).expect("an address space")];
        // Some regions belong to the kernel.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        let region = words.nth(3).unwrap_or_default();
        found.extend(memmem::find_iter(&bytes, text).map(|at| {
            let end = at + text.len();
            Copy {
                region: region.to_owned(),
                before: bytes[at.saturating_sub(AROUND)..at].to_vec(),
                after: bytes[end..(end + AROUND).min(bytes.len())].to_vec(),
            }
        }));
    }
    found
}

impl Copy {
    /// Whether it is a piece of a message as it stands on the wire, in a buffer of the HTTP library:
    /// a field's value or a target with what follows in a head, a value of the vendor's JSON, or the
    /// query of a token call, which the library keeps as a URL.
    pub fn is_of_the_wire(&self) -> bool {
        let field = self.after.starts_with(b"\r\n") || self.after.starts_with(b" HTTP/1.1\r\n");
        let member = self.before.ends_with(b"_token\":\"") && !self.is_of_a_page();
        field || member || self.before.ends_with(b"&secret=")
    }

    /// As the store writes tokens: nothing stands before the first, and nothing but tokens between.
    fn is_of_a_page(&self) -> bool {
        let first = self.before.ends_with(b"{\"access_token\":\"") && !self.before.ends_with(DATA);
        let text = [self.before.as_slice(), &self.after].concat();
        first || memmem::find(&text, b"\"spares\"").is_some()
    }
}

/// What the vendor's JSON has before the tokens.
const DATA: &[u8] = b"\"data\":{\"access_token\":\"";
const AROUND: usize = 48;
