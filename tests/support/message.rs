//! One HTTP/1 message as it stood on the wire, and just enough reading of it.

use std::fmt;

/// A request or an answer, complete or as far as it has come.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Every byte, framing included.
    pub raw: Vec<u8>,
    /// The request line or the status line.
    pub line: String,
    /// In the order of the wire, with names as they were written.
    pub fields: Vec<(String, String)>,
    /// Without the framing of chunks.
    pub body: Vec<u8>,
    pub complete: bool,
}

/// How the end of a body is known, where its head does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    /// An answer; to HEAD it has no body.
    Answer {
        to_head: bool,
    },
}

impl Message {
    /// Reads the message at the beginning of `bytes`; `None` while its head is not complete.
    /// `closed`: nothing more will come.
    pub fn read(bytes: &[u8], side: Side, closed: bool) -> Option<Self> {
        let head_end = find(bytes, b"\r\n\r\n")? + 4;
        let head = bytes[..head_end - 4].iter().map(|byte| char::from(*byte)).collect::<String>();
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields: Vec<_> = lines
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut message = Self { line, fields, ..Self::default() };
        let rest = &bytes[head_end..];
        let length = message.read_body(rest, side, closed);
        message.raw = bytes[..head_end + length].to_vec();
        Some(message)
    }

    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status line")
    }

    /// The request's target, byte for byte.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).expect("a request line")
    }

    /// All values of a field, in their order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a field that may be there once.
    #[track_caller]
    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is there more than once: {self:?}");
        all.first().copied()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The names of all fields in lower case, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    /// Takes the body from `rest`, and returns how many bytes of it belong to this message.
    fn read_body(&mut self, rest: &[u8], side: Side, closed: bool) -> usize {
        let is_answer = side != Side::Request;
        let no_body = match side {
            Side::Request => false,
            Side::Answer { to_head } => {
                let status = self.status();
                to_head || status < 200 || status == 204 || status == 304
            }
        };
        if no_body {
            self.complete = true;
            return 0;
        }
        if self.all("transfer-encoding").iter().any(|value| value.contains("chunked")) {
            return self.read_chunks(rest);
        }
        let announced = self.all("content-length").first().map(|text| text.parse::<usize>());
        let (length, complete) = match announced {
            Some(length) => {
                let length = length.expect("a content length");
                (length.min(rest.len()), rest.len() >= length)
            }
            None if is_answer => (rest.len(), closed),
            None => (0, true),
        };
        self.body = rest[..length].to_vec();
        self.complete = complete;
        length
    }

    fn read_chunks(&mut self, rest: &[u8]) -> usize {
        let mut at = 0;
        while let Some(end) = find(&rest[at..], b"\r\n") {
            let size = String::from_utf8_lossy(&rest[at..at + end]).into_owned();
            let size = size.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
            let data = at + end + 2;
            if size == 0 {
                // Trailers, or nothing, and an empty line.
                let trailers = &rest[at + end..];
                if let Some(over) = find(trailers, b"\r\n\r\n") {
                    self.complete = true;
                    return at + end + over + 4;
                }
                break;
            }
            let there = rest.len().saturating_sub(data).min(size);
            self.body.extend_from_slice(&rest[data.min(rest.len())..data + there]);
            if rest.len() < data + size + 2 {
                break;
            }
            at = data + size + 2;
        }
        rest.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.raw[..self.raw.len().min(2000)];
        write!(f, "\n{}\n({} bytes)", String::from_utf8_lossy(shown), self.raw.len())
    }
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
