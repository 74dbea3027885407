//! Bodies too long to be held: poured into a socket, and read from it and compared as they come.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{STANDSTILL, soon};

/// A piece of the endless pattern. Its period is no power of two, so that a piece which is lost or
/// doubled shows.
pub fn pattern() -> Vec<u8> {
    (0..=250).cycle().take(251 * 512).collect()
}

/// Writes the first `count` bytes of the pattern.
pub async fn pour(stream: &mut (impl AsyncWrite + Unpin), count: usize) {
    let pattern = pattern();
    let mut left = count;
    while left > 0 {
        let piece = &pattern[..left.min(pattern.len())];
        soon("room for more", stream.write_all(piece)).await.expect("a write");
        left -= piece.len();
    }
}

/// Writes the pattern until nothing moves for a while or `most` bytes are gone, and returns how many
/// were taken.
pub async fn pour_until_blocked(stream: &mut (impl AsyncWrite + Unpin), most: usize) -> usize {
    let pattern = pattern();
    let mut sent = 0;
    while sent < most {
        match timeout(STANDSTILL, stream.write(&pattern[sent % pattern.len()..])).await {
            Ok(written) => sent += written.expect("the gateway keeps the connection"),
            Err(_) => break,
        }
    }
    sent
}

/// Reads the first `count` bytes of the pattern, the beginning of which is already in `read`.
pub async fn drink(stream: &mut (impl AsyncRead + Unpin), read: &[u8], count: usize) {
    let mut drunk = Drunk::default();
    drunk.swallow(read);
    let mut buffer = vec![0; 256 * 1024];
    while drunk.count < count {
        let read = soon("more of a body", stream.read(&mut buffer)).await.expect("a read");
        assert!(read > 0, "the body broke off after {} bytes", drunk.count);
        drunk.swallow(&buffer[..read]);
    }
    assert_eq!(drunk.count, count);
}

/// Holds the bytes against the pattern from its beginning.
#[track_caller]
pub fn assert_pattern(bytes: &[u8]) {
    Drunk::default().swallow(bytes);
}

#[derive(Default)]
struct Drunk {
    pattern: Vec<u8>,
    count: usize,
}

impl Drunk {
    #[track_caller]
    fn swallow(&mut self, mut bytes: &[u8]) {
        if self.pattern.is_empty() {
            self.pattern = pattern();
        }
        while !bytes.is_empty() {
            let expected = &self.pattern[self.count % self.pattern.len()..];
            let (part, rest) = bytes.split_at(bytes.len().min(expected.len()));
            assert!(part == &expected[..part.len()], "not what was sent, near {}", self.count);
            self.count += part.len();
            bytes = rest;
        }
    }
}
