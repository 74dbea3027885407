//! A body in chunks, walked byte by byte where it is not data.

use std::ops::Range;

use super::fault::Fault;

/// A place in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    Size { size: u64, digits: u8 },
    Padding { size: u64, bytes: u16 },
    Extension { size: u64, bytes: u16 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
}

/// What a walk met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// The end of what there is.
    All,
    /// These bytes of the body.
    Data(Range<usize>),
    /// The trailers, which begin after so many bytes.
    Trailers(usize),
    /// So many bytes are right, and the next is not.
    Fault(usize, Fault),
}

impl Chunks {
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Walks on from `at`, up to the first data or the end of it all. `padded`: there may be blanks
    /// after a size, and long extensions.
    pub(super) fn walk(&mut self, bytes: &[u8], mut at: usize, padded: bool) -> Walked {
        let longest = if padded { MAX_PADDED } else { MAX_EXTENSION };
        while let Some(&byte) = bytes.get(at) {
            *self = match *self {
                Self::Data { left } => {
                    let there = (bytes.len() - at) as u64;
                    // No more than there is, so it fits.
                    let data = at..at + left.min(there) as usize;
                    *self =
                        if left > there { Self::Data { left: left - there } } else { Self::DataCr };
                    return Walked::Data(data);
                }
                Self::Size { size, digits } => match (byte, hex(byte)) {
                    (_, Some(digit)) if digits < MAX_DIGITS => {
                        Self::Size { size: (size << 4) | u64::from(digit), digits: digits + 1 }
                    }
                    (b';', _) if digits > 0 => Self::Extension { size, bytes: 0 },
                    (b'\r', _) if digits > 0 => Self::SizeEnd { size },
                    (b' ' | b'\t', _) if digits > 0 && padded => Self::Padding { size, bytes: 0 },
                    _ => return Walked::Fault(at, Fault::ChunkSize),
                },
                Self::Padding { size, bytes } => match byte {
                    b' ' | b'\t' if bytes < longest => Self::Padding { size, bytes: bytes + 1 },
                    b';' => Self::Extension { size, bytes },
                    b'\r' => Self::SizeEnd { size },
                    _ => return Walked::Fault(at, Fault::ChunkSize),
                },
                Self::Extension { size, bytes } => match byte {
                    b'\r' => Self::SizeEnd { size },
                    b'\t' | b' '..=b'~' | 0x80.. if bytes < longest => {
                        Self::Extension { size, bytes: bytes + 1 }
                    }
                    _ => return Walked::Fault(at, Fault::ChunkSize),
                },
                Self::SizeEnd { size } => match (byte, size) {
                    (b'\n', 0) => return Walked::Trailers(at + 1),
                    (b'\n', left) => Self::Data { left },
                    _ => return Walked::Fault(at, Fault::ChunkSize),
                },
                Self::DataCr if byte == b'\r' => Self::DataLf,
                Self::DataLf if byte == b'\n' => Self::START,
                Self::DataCr | Self::DataLf => return Walked::Fault(at, Fault::ChunkEnd),
            };
            at += 1;
        }
        Walked::All
    }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// As many as 64 bits have.
const MAX_DIGITS: u8 = 16;
/// Nobody uses extensions, and most receivers drop them unread.
const MAX_EXTENSION: u16 = 256;
/// Where blanks are taken, so is this.
const MAX_PADDED: u16 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks over data, which it counts.
    fn walk_on(chunks: &mut Chunks, bytes: &[u8], padded: bool, data: &mut usize) -> Walked {
        let mut at = 0;
        loop {
            match chunks.walk(bytes, at, padded) {
                Walked::Data(range) => {
                    at = range.end;
                    *data += range.len();
                }
                other => return other,
            }
        }
    }

    /// Walks the same bytes split at every place; all must agree.
    fn walk(bytes: &[u8]) -> Walked {
        walk_with(bytes, false)
    }

    fn walk_with(bytes: &[u8], padded: bool) -> Walked {
        let mut data = 0;
        let whole = walk_on(&mut Chunks::START.clone(), bytes, padded, &mut data);
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            let (mut chunks, mut split_data) = (Chunks::START, 0);
            let walked = match walk_on(&mut chunks, first, padded, &mut split_data) {
                Walked::All => match walk_on(&mut chunks, second, padded, &mut split_data) {
                    Walked::Trailers(at) => Walked::Trailers(split + at),
                    Walked::Fault(at, fault) => Walked::Fault(split + at, fault),
                    other => other,
                },
                early => early,
            };
            assert_eq!(split_data, data, "{} split at {split}", bytes.escape_ascii());
            assert_eq!(walked, whole, "{} split at {split}", bytes.escape_ascii());
        }
        whole
    }

    #[test]
    fn p25_the_line_before_a_chunk_is_a_size() {
        for line in ["0", "0;a=b", "00000000;a=\"b c\"", "0000000000000000"] {
            let bytes = format!("{line}\r\n\r\n");
            assert_eq!(walk(bytes.as_bytes()), Walked::Trailers(line.len() + 2), "{line}");
        }
        for line in [
            "",
            ";a",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1 ;a",
            "0x1",
            "g",
            "1\t",
            "00000000000000001",
            "ffffffffffffffff0",
            "1;\u{1}",
            "1;a\n",
            "1\n",
            "1\r\r",
            "1;\u{7f}",
        ] {
            let bytes = format!("{line}\r\nx\r\n0\r\n\r\n");
            let walked = walk(bytes.as_bytes());
            assert!(matches!(walked, Walked::Fault(_, Fault::ChunkSize)), "{line:?}: {walked:?}");
        }
        let long = |bytes: usize| format!("0;{}\r\n\r\n", "a".repeat(bytes));
        assert_eq!(walk(long(256).as_bytes()), Walked::Trailers(260));
        assert_eq!(walk(long(257).as_bytes()), Walked::Fault(258, Fault::ChunkSize));
    }

    #[test]
    fn some_senders_fill_the_line_of_a_size_up_with_blanks() {
        for line in ["0 ", "0\t ;a", "00  "] {
            let bytes = format!("{line}\r\n\r\n");
            let walked = walk_with(bytes.as_bytes(), true);
            assert_eq!(walked, Walked::Trailers(line.len() + 2), "{line:?}");
        }
        for line in [" 0", "1 1", "1 a"] {
            let bytes = format!("{line}\r\nx\r\n0\r\n\r\n");
            let walked = walk_with(bytes.as_bytes(), true);
            assert!(matches!(walked, Walked::Fault(_, Fault::ChunkSize)), "{line:?}: {walked:?}");
        }
    }

    #[test]
    fn p25_a_chunk_ends_where_its_size_says() {
        assert_eq!(walk(b"2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\nGET"), Walked::Trailers(25));
        for (body, right) in
            [("1\r\nab\r\n", 4), ("3\r\nab\r\n0", 6), ("1\r\na\n", 4), ("1\r\na\r\r", 5)]
        {
            assert_eq!(walk(body.as_bytes()), Walked::Fault(right, Fault::ChunkEnd), "{body:?}");
        }
        let mut chunks = Chunks::START;
        let walked = chunks.walk(b"ffffffffffffffff\r\nabc", 0, false);
        assert_eq!(walked, Walked::Data(18..21));
        assert_eq!(chunks, Chunks::Data { left: u64::MAX - 3 });
    }
}
