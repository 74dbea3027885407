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
    /// One side is enough: memory that was let go is overwritten from either.
    pub fn is_of_the_wire(&self) -> bool {
        let before = BEFORE.iter().any(|text| self.before.ends_with(text));
        let head = HEAD.iter().any(|text| self.after.starts_with(text));
        before || head || memmem::find(&self.after, MEMBER).is_some()
    }
}

/// A body's first member, a member of the vendor's `data`, a pair in the URL of a token call.
const BEFORE: [&[u8]; 3] =
    [b"\r\n\r\n{\"access_token\":\"", b"\"data\":{\"access_token\":\"", b"&secret="];
/// Behind a field's value, and behind a target.
const HEAD: [&[u8]; 2] = [b"\r\n", b" HTTP/1.1\r\n"];
/// The vendors say how long tokens live. The store has another word for it, and elsewhere.
const MEMBER: &[u8] = b"\"expires_in\":";
const AROUND: usize = 120;
