//! The `br` coding (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{DecodeError, Step};

pub(super) struct Brotli(BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>);

impl Default for Brotli {
    /// Strict: no window over 16 MiB, as the RFC has it.
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Brotli(BrotliState::new_strict(alloc(), alloc(), alloc()))
    }
}

impl Brotli {
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        let (mut left, mut read) = (input.len(), 0);
        let (mut room, mut written, mut total) = (out.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            input,
            &mut room,
            &mut written,
            out,
            &mut total,
            &mut self.0,
        );
        match result {
            // What it had decoded in this call, and not given out, is lost.
            BrotliResult::ResultFailure => Err(DecodeError::Corrupt),
            result => {
                let ended = matches!(result, BrotliResult::ResultSuccess);
                Ok(Step { read, written, ended })
            }
        }
    }
}
