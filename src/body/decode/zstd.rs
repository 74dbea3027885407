//! The `zstd` coding (RFC 8878).
//!
//! By the C library: the pure decoders at hand give out nothing of a frame before it is whole or a
//! window of it (2 MiB and more) is full, and a look cannot wait for that.

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{DecodeError, Step};

#[derive(Default)]
pub(super) struct Zstd {
    context: Option<DCtx<'static>>,
    /// The last step filled all the room it had: more may be waiting.
    full: bool,
}

impl Zstd {
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        // The library takes a series of calls that can do nothing for an error.
        if input.is_empty() && !self.full {
            return Ok(Step::default());
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(context()?),
        };
        let mut from = InBuffer::around(input);
        let room = out.len();
        let mut to = OutBuffer::around(out);
        // What a call wrote before it failed is lost: the library does not say how much that is.
        context.decompress_stream(&mut to, &mut from).map_err(|_| DecodeError::Corrupt)?;
        let (read, written) = (from.pos, to.pos());
        self.full = written == room;
        // Another frame may follow.
        let ended = false;
        Ok(Step { read, written, ended })
    }
}

fn context() -> Result<DCtx<'static>, DecodeError> {
    let mut context = DCtx::try_create().ok_or(DecodeError::Memory)?;
    let bounded = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
    bounded.map_err(|_| DecodeError::Memory)?;
    Ok(context)
}

/// 8 MiB: what RFC 9659 allows in the content coding, and what a decoder may have to reserve.
const WINDOW_LOG_MAX: u32 = 23;
