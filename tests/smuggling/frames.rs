//! A caller of HTTP/2 that puts anything into frames: no library stands between a case and the wire.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::corpus::{Case, Fields};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer with this status has begun.
    Answered(u16),
    /// An error of the stream, with its code.
    Reset(u32),
    /// An error of the connection, with its code; or its end, without one.
    Gone(Option<u32>),
}

/// Sends a case as the first request of a connection.
pub(super) async fn ask(mut stream: TcpStream, case: &Case) -> Outcome {
    let data = case.data();
    let trailers = case.fields("trailers");
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    let last = |is_last: bool| if is_last { END_STREAM } else { 0 };
    let ends_with_head = data.is_empty() && trailers.is_empty();
    let head = block(&case.fields("fields"));
    frame(&mut bytes, HEADERS, END_HEADERS | last(ends_with_head), STREAM, &head);
    for (index, piece) in data.iter().enumerate() {
        let is_last = index + 1 == data.len() && trailers.is_empty();
        frame(&mut bytes, DATA, last(is_last), STREAM, piece);
    }
    if !trailers.is_empty() {
        frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, STREAM, &block(&trailers));
    }
    let _ = stream.write_all(&bytes).await;
    let mut read = Vec::new();
    loop {
        while let Some((kind, id, payload)) = next_frame(&mut read) {
            match (kind, id) {
                (HEADERS, STREAM) => match status(&payload) {
                    100..200 => {}
                    status => return Outcome::Answered(status),
                },
                (RST_STREAM, STREAM) => return Outcome::Reset(number(&payload)),
                (GOAWAY, _) => return Outcome::Gone(Some(number(&payload[4..]))),
                _ => {}
            }
        }
        if matches!(stream.read_buf(&mut read).await, Ok(0) | Err(_)) {
            return Outcome::Gone(None);
        }
    }
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a small frame");
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// Takes the first frame off, if it is complete: its kind, its stream and what it carries.
fn next_frame(read: &mut Vec<u8>) -> Option<(u8, u32, Vec<u8>)> {
    let head = read.first_chunk::<9>()?;
    let length = number(&[0, head[0], head[1], head[2]]) as usize;
    let (kind, stream) = (head[3], number(&head[5..]));
    let payload = read.get(9..9 + length)?.to_vec();
    read.drain(..9 + length);
    Some((kind, stream, payload))
}

/// Fields as literals with names of their own (RFC 7541, 6.2.2), which fit any bytes.
fn block(fields: &Fields) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer behind a prefix of seven bits (RFC 7541, 5.1), the first bit being 0: no Huffman code.
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The status at the beginning of an answer's fields. It is the first, so no entry of the dynamic
/// table can be meant.
fn status(block: &[u8]) -> u16 {
    // New sizes of the dynamic table may come before.
    let updates = block.iter().take_while(|byte| **byte & 0b1110_0000 == 0b0010_0000).count();
    let block = &block[updates..];
    if let Some(index) = block[0].checked_sub(0x88).filter(|index| *index < 7) {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(index)];
    }
    // A literal with the name of an entry of the static table that is `:status`.
    assert!(matches!(block[0], 0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e), "{block:x?}");
    let text = &block[2..2 + usize::from(block[1] & 0x7f)];
    let digits = if block[1] & 0x80 == 0 { text.to_vec() } else { digits(text) };
    String::from_utf8_lossy(&digits).parse().expect("a status")
}

/// Digits in the Huffman code (RFC 7541, appendix B): `0` to `2` have five bits, the others six.
fn digits(code: &[u8]) -> Vec<u8> {
    let bits: String = code.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut digits, mut at) = (Vec::new(), 0);
    while let Some(five) = bits.get(at..at + 5) {
        let five = u8::from_str_radix(five, 2).expect("bits");
        if five < 3 {
            digits.push(b'0' + five);
            at += 5;
        } else if let Some(six) = bits.get(at..at + 6) {
            let six = u8::from_str_radix(six, 2).expect("bits");
            if !(25..32).contains(&six) {
                break;
            }
            digits.push(b'3' + six - 25);
            at += 6;
        } else {
            break;
        }
    }
    digits
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes.first_chunk().expect("four bytes"))
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Of a client's first request.
const STREAM: u32 = 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
