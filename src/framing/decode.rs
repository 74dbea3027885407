//! The body of a message, taken out of its framing as it arrives: no IO, no time.

use std::mem;
use std::ops::Range;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::chunks::{Chunks, Walked};
use super::fault::Fault;
use super::field::is_barred_from_trailers;
use super::head::TrailerScan;
use super::line::{split_field, trim};

/// A place in a body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    sender: Sender,
}

/// Who sends a body: of a caller nothing is taken that might be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Caller,
    /// A size may have blanks after it, and trailers that must not be are dropped.
    Vendor,
}

/// How many fields are taken, and how big they may be together.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub bytes: usize,
    pub fields: usize,
}

/// What came next.
#[derive(Debug)]
pub enum Decoded {
    /// These bytes of what there is, at least one.
    Data(Range<usize>),
    /// Nothing more in what there is.
    More,
    /// The end of the body, and fields after it.
    Trailers(HeaderMap),
    /// The end of the body, again and again.
    End,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunks(Chunks),
    /// As much of them as has come.
    Trailers(TrailerScan, Vec<u8>),
    UntilClose,
    Ended,
}

impl Decoder {
    pub fn of_length(length: u64) -> Self {
        let state = if length == 0 { State::Ended } else { State::Length(length) };
        Self { state, sender: Sender::Caller }
    }

    pub fn of_chunks(sender: Sender) -> Self {
        Self { state: State::Chunks(Chunks::START), sender }
    }

    /// It ends with its connection.
    pub fn until_close() -> Self {
        Self { state: State::UntilClose, sender: Sender::Vendor }
    }

    /// Nothing of the body, nor of what frames it, is to come.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Bytes of the body that are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Ended => Some(0),
            State::Chunks(_) | State::Trailers(..) | State::UntilClose => None,
        }
    }

    /// Whether the body may end with its connection.
    pub fn is_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Goes on from `at`, which is moved over what is done with; after the end of the body it stays
    /// where the next message begins.
    ///
    /// # Errors
    /// When the framing is not as it must be. The body cannot go on then.
    pub fn decode(&mut self, bytes: &[u8], at: &mut usize, most: Most) -> Result<Decoded, Fault> {
        match &mut self.state {
            State::Ended => return Ok(Decoded::End),
            _ if *at >= bytes.len() => return Ok(Decoded::More),
            State::Length(left) => {
                let there = bytes.len() - *at;
                let amount = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
                *left -= amount as u64;
                if *left == 0 {
                    self.state = State::Ended;
                }
                return Ok(Decoded::Data(skip(at, amount)));
            }
            State::UntilClose => return Ok(Decoded::Data(skip(at, bytes.len() - *at))),
            State::Chunks(chunks) => match chunks.walk(bytes, *at, self.sender == Sender::Vendor) {
                Walked::All => {
                    *at = bytes.len();
                    return Ok(Decoded::More);
                }
                Walked::Data(range) => {
                    *at = range.end;
                    return Ok(Decoded::Data(range));
                }
                Walked::Fault(right, fault) => {
                    *at = right;
                    return Err(fault);
                }
                Walked::Trailers(begin) => {
                    *at = begin;
                    self.state = State::Trailers(TrailerScan::default(), Vec::new());
                }
            },
            State::Trailers(..) => {}
        }
        self.trailers(bytes, at, most)
    }

    fn trailers(&mut self, bytes: &[u8], at: &mut usize, most: Most) -> Result<Decoded, Fault> {
        let State::Trailers(scan, held) = &mut self.state else { return Ok(Decoded::More) };
        let before = held.len();
        let rest = &bytes[*at..];
        let text = if before == 0 {
            rest
        } else {
            held.extend_from_slice(rest);
            &held[..]
        };
        let allows_all = self.sender == Sender::Vendor;
        let Some(end) = scan.scan(text, most, allows_all)? else {
            if before == 0 {
                held.extend_from_slice(rest);
            }
            *at = bytes.len();
            return Ok(Decoded::More);
        };
        *at += end - before;
        let fields = fields(&text[..end]);
        self.state = State::Ended;
        Ok(if fields.is_empty() { Decoded::End } else { Decoded::Trailers(fields) })
    }
}

fn skip(at: &mut usize, amount: usize) -> Range<usize> {
    let start = mem::replace(at, *at + amount);
    start..*at
}

/// The fields of trailers that were found to be well-formed.
fn fields(text: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        let Some((name, value)) = split_field(line.strip_suffix(b"\r").unwrap_or(line)) else {
            continue;
        };
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(trim(value)));
        if let (Ok(name), Ok(value)) = (name, value)
            && !is_barred_from_trailers(name.as_str().as_bytes())
        {
            fields.append(name, value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: Most = Most { bytes: 100, fields: 2 };

    /// The body, its trailers, and what is left of the bytes.
    type Whole = (Vec<u8>, Vec<String>, Vec<u8>);

    fn decode(mut decoder: Decoder, pieces: &[&[u8]]) -> Result<Whole, Fault> {
        let (mut body, mut trailers, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut at = 0;
            loop {
                match decoder.decode(piece, &mut at, MOST)? {
                    Decoded::Data(range) => {
                        assert!(!range.is_empty() && range.end == at);
                        body.extend_from_slice(&piece[range]);
                    }
                    Decoded::More => {
                        assert_eq!(at, piece.len());
                        break;
                    }
                    Decoded::Trailers(fields) => {
                        let text = |(name, value): (&HeaderName, &HeaderValue)| {
                            format!("{name}: {}", value.as_bytes().escape_ascii())
                        };
                        trailers.extend(fields.iter().map(text));
                    }
                    Decoded::End => {
                        assert!(decoder.is_ended());
                        rest.extend_from_slice(&piece[at..]);
                        break;
                    }
                }
            }
        }
        Ok((body, trailers, rest))
    }

    /// At once, and split at each place: what comes out is the same.
    fn decode_split(new: impl Fn() -> Decoder, bytes: &[u8]) -> Result<Whole, Fault> {
        let whole = decode(new(), &[bytes]);
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            assert_eq!(decode(new(), &[first, second]), whole, "split at {split}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(decode(new(), &single), whole, "byte by byte");
        whole
    }

    fn whole(body: &str, trailers: &[&str], rest: &str) -> Result<Whole, Fault> {
        let trailers = trailers.iter().map(|&line| line.to_owned()).collect();
        Ok((body.into(), trailers, rest.into()))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let of = |length| decode_split(|| Decoder::of_length(length), b"abcdef");
        assert_eq!(of(0), whole("", &[], "abcdef"));
        assert_eq!(of(4), whole("abcd", &[], "ef"));
        assert_eq!(of(7), whole("abcdef", &[], ""));
        assert_eq!(Decoder::of_length(7).left(), Some(7));
        assert_eq!(decode_split(Decoder::until_close, b"abc"), whole("abc", &[], ""));
        let caller = || Decoder::of_chunks(Sender::Caller);
        let chunks = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\nGET";
        assert_eq!(decode_split(caller, chunks), whole("abcd", &[], "GET"));
        let trailers = b"0\r\nX-Sum:  1 \r\nb:\r\n\r\nrest";
        assert_eq!(decode_split(caller, trailers), whole("", &["x-sum: 1", "b: "], "rest"));
    }

    #[test]
    fn p25_faulty_framing_is_a_fault_wherever_it_is_split() {
        let caller = || Decoder::of_chunks(Sender::Caller);
        let vendor = || Decoder::of_chunks(Sender::Vendor);
        for (bytes, fault) in [
            (&b"x"[..], Fault::ChunkSize),
            (b"1\r\nab", Fault::ChunkEnd),
            (b"0\r\nx\r\n\r\n", Fault::TrailerLine),
            (b"0\r\na: b\n\r\n", Fault::LineEnding),
            (b"0\r\na: \0\r\n\r\n", Fault::ControlByte),
            (b"0\r\na:\r\nb:\r\nc:\r\n\r\n", Fault::HeaderCount),
        ] {
            assert_eq!(decode_split(caller, bytes), Err(fault), "{}", bytes.escape_ascii());
            assert_eq!(decode_split(vendor, bytes), Err(fault), "{}", bytes.escape_ascii());
        }
        let big = format!("0\r\nx: {}", "a".repeat(100));
        assert_eq!(decode_split(caller, big.as_bytes()), Err(Fault::HeaderBytes));
        for (bytes, fault, body, trailers) in [
            ("2 \r\nab\r\n0\r\n\r\n", Fault::ChunkSize, "ab", &[][..]),
            ("0\r\nContent-Length: 5\r\na: b\r\n\r\n", Fault::TrailerName, "", &["a: b"][..]),
        ] {
            assert_eq!(decode_split(caller, bytes.as_bytes()), Err(fault), "{bytes}");
            assert_eq!(decode_split(vendor, bytes.as_bytes()), whole(body, trailers, ""));
        }
    }

    proptest! {
        #[test]
        fn what_is_put_into_chunks_comes_out(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
        ) {
            let mut framed = Vec::new();
            for piece in &pieces {
                framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                framed.extend_from_slice(piece);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\n\r\n");
            let decoded = decode_split(|| Decoder::of_chunks(Sender::Caller), &framed);
            prop_assert_eq!(decoded, Ok((pieces.concat(), Vec::new(), Vec::new())));
        }
    }
}
