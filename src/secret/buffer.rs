//! Memory in which a secret is put together.

use std::fmt;
use std::io;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::Secret;

/// Bytes that grow without leaving copies behind, and are zeroed in the end.
#[derive(Default)]
pub struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    pub fn push(&mut self, more: &[u8]) {
        let needed = self.0.len() + more.len();
        if needed > self.0.capacity() {
            // `Vec` would move to a larger place and leave the smaller one as it is.
            let larger = needed.max(2 * self.0.capacity()).max(LEAST);
            let mut roomy = Zeroizing::new(Vec::with_capacity(larger));
            roomy.extend_from_slice(&self.0);
            self.0 = roomy;
        }
        self.0.extend_from_slice(more);
    }

    pub fn clear(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.0);
    }

    /// The memory itself, to be let go by a library.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// A secret of what is in it, with its parts; see [`Secret::compound`]. `None`: it is no text.
    pub fn into_compound(mut self, parts: Vec<Secret>) -> Option<Secret> {
        String::from_utf8(std::mem::take(&mut *self.0)).map_or_else(
            |error| {
                drop(Zeroizing::new(error.into_bytes()));
                None
            },
            |text| Some(Secret::compound(text, parts)),
        )
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffer(***)")
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

const LEAST: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_grows_stays_whole() {
        let mut buffer = Buffer::default();
        for number in 0..1000 {
            write!(buffer, "{number},").expect("memory");
        }
        let expected: String = (0..1000).map(|number| format!("{number},")).collect();
        assert_eq!(&buffer[..], expected.as_bytes());
        let secret = buffer.into_compound(Vec::new()).expect("text");
        assert_eq!(secret.expose(), expected);
        let mut no_text = Buffer::default();
        no_text.push(b"\xff");
        assert!(no_text.into_compound(Vec::new()).is_none());
    }
}
