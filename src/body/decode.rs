//! Content codings undone for a look at an answer; the client still gets the bytes as they came.
//!
//! A look reads the head of a body and no more, so what it needs differs from what a client needs:
//! all that has arrived must be decoded at once, at whatever byte the slices break, and neither
//! memory nor time may depend on what an answer claims of itself. Checksums are not verified: they
//! come after the data, and the look is over by then.

mod brotli;
mod gzip;
mod inflate;
mod zstd;

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use thiserror::Error;

/// A body being decoded.
#[derive(Debug)]
pub struct Decoder {
    coding: Coding,
    /// Bytes read since a byte came out.
    barren: usize,
    /// The body has ended or failed, or the limit is reached.
    over: bool,
}

#[derive(Debug, Error, PartialEq)]
pub enum DecodeError {
    #[error("the body is not what its content-encoding says")]
    Corrupt,
    #[error("{MAX_BARREN} bytes of the encoded body gave nothing")]
    Barren,
    #[error("no memory for a decoder")]
    Memory,
}

enum Coding {
    Identity,
    Gzip(gzip::Gzip),
    Deflate(inflate::Deflate),
    Brotli(Box<brotli::Brotli>),
    Zstd(zstd::Zstd),
}

/// What one step of a coding did.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    read: usize,
    written: usize,
    /// Nothing comes after this.
    ended: bool,
}

impl Decoder {
    /// A decoder for what `Content-Encoding` says; nothing where that is unknown, or several
    /// codings one over the other: such a body cannot be looked into.
    pub fn for_headers(headers: &HeaderMap) -> Option<Decoder> {
        let mut codings = headers.get_all(CONTENT_ENCODING).into_iter();
        let coding = match codings.next() {
            None => Coding::Identity,
            Some(coding) => Coding::named(coding.to_str().ok()?.trim())?,
        };
        codings.next().is_none().then_some(Decoder { coding, barren: 0, over: false })
    }

    /// The body is not encoded: it can be looked at as it is.
    pub fn is_identity(&self) -> bool {
        matches!(self.coding, Coding::Identity)
    }

    /// Appends to `out` what `input`, the next bytes of the body, decodes to, but no more than
    /// `limit` bytes; after that many the decoder is done and takes no more. An error leaves in
    /// `out` what was decoded before it.
    pub fn push(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), DecodeError> {
        let end = out.len().saturating_add(limit);
        let mut input = input;
        while !self.over {
            let from = out.len();
            if from == end {
                self.over = true;
                break;
            }
            out.resize(end.min(from + CHUNK), 0);
            let step = self.coding.step(input, &mut out[from..]);
            out.truncate(from + step.as_ref().map_or(0, |step| step.written));
            let step = step.inspect_err(|_| self.over = true)?;
            input = &input[step.read..];
            self.over |= step.ended;
            self.barren = if step.written > 0 { 0 } else { self.barren + step.read };
            if self.barren > MAX_BARREN {
                self.over = true;
                return Err(DecodeError::Barren);
            }
            if step.read == 0 && step.written == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Nothing more will be decoded: the body has ended or failed, or the limit is reached.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl Coding {
    fn named(name: &str) -> Option<Coding> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("identity") || name.is_empty() {
            Some(Coding::Identity)
        } else if is("gzip") || is("x-gzip") {
            Some(Coding::Gzip(gzip::Gzip::default()))
        } else if is("deflate") {
            Some(Coding::Deflate(inflate::Deflate::default()))
        } else if is("br") {
            Some(Coding::Brotli(Box::default()))
        } else if is("zstd") {
            Some(Coding::Zstd(zstd::Zstd::default()))
        } else {
            None
        }
    }

    /// Decodes some of `input` into `out`, neither read nor written beyond its end. A step that
    /// does neither wants more input.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        match self {
            Coding::Identity => {
                let length = input.len().min(out.len());
                out[..length].copy_from_slice(&input[..length]);
                Ok(Step { read: length, written: length, ended: false })
            }
            Coding::Gzip(gzip) => gzip.step(input, out),
            Coding::Deflate(deflate) => deflate.step(input, out),
            Coding::Brotli(brotli) => brotli.step(input, out),
            Coding::Zstd(zstd) => zstd.step(input, out),
        }
    }
}

impl fmt::Debug for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Coding::Identity => "identity",
            Coding::Gzip(_) => "gzip",
            Coding::Deflate(_) => "deflate",
            Coding::Brotli(_) => "br",
            Coding::Zstd(_) => "zstd",
        })
    }
}

/// How much is decoded at a step: an answer's head, mostly the whole of it.
const CHUNK: usize = 4 << 10;

/// How much input may give nothing: a zstd block of 128 KiB does so until it is complete, while
/// empty blocks, names and comments could go on for ever.
const MAX_BARREN: usize = 256 << 10;

#[cfg(test)]
mod tests;
