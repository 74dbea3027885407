//! The `deflate` coding: zlib by the book, raw in the wild.

use flate2::{Decompress, FlushDecompress, Status};

use super::{DecodeError, Step};

/// Which of both it is shows in its first two bytes.
#[derive(Default)]
pub(super) struct Deflate {
    first: Option<u8>,
    inflate: Option<Decompress>,
}

impl Deflate {
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        if let Some(inflate) = &mut self.inflate {
            return step(inflate, input, out);
        }
        let Some(&byte) = input.first() else {
            return Ok(Step::default());
        };
        let Some(first) = self.first else {
            self.first = Some(byte);
            return Ok(Step { read: 1, ..Step::default() });
        };
        let inflate = self.inflate.insert(Decompress::new(is_zlib(first, byte)));
        // A first byte alone gives nothing.
        step(inflate, &[first], &mut [])?;
        step(inflate, input, out)
    }
}

/// One step of inflating.
pub(super) fn step(
    inflate: &mut Decompress,
    input: &[u8],
    out: &mut [u8],
) -> Result<Step, DecodeError> {
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, out, FlushDecompress::None);
    let (read, written) = (inflate.total_in() - read, inflate.total_out() - written);
    let ended = match status {
        Ok(status) => matches!(status, Status::StreamEnd),
        // What came before the error counts; the next step meets the error again.
        Err(_) if written > 0 => false,
        Err(_) => return Err(DecodeError::Corrupt),
    };
    Ok(Step { read: read as usize, written: written as usize, ended })
}

/// RFC 1950: the method is 8, and both bytes together are a multiple of 31.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
