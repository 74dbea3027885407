//! The `gzip` coding (RFC 1952): members one after the other, each a header, a deflate stream and a
//! trailer.

use flate2::Decompress;

use super::{DecodeError, Step, inflate};

#[derive(Default)]
pub(super) struct Gzip {
    part: Part,
    flags: u8,
    inflate: Option<Decompress>,
}

/// Where in a member the next byte lies.
#[derive(Clone, Copy, Default)]
enum Part {
    /// The nth byte of the first ten.
    Fixed(u8),
    ExtraLength,
    ExtraLengthHigh(u8),
    Extra(u16),
    /// Text up to a zero.
    Name,
    Comment,
    /// So many bytes are left.
    Checksum(u8),
    Data,
    Trailer(u8),
    /// Another member may follow.
    #[default]
    Between,
}

impl Gzip {
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        let mut read = 0;
        while !matches!(self.part, Part::Data) {
            let Some(&byte) = input.get(read) else {
                return Ok(Step { read, ..Step::default() });
            };
            let first_member = self.inflate.is_none();
            if matches!(self.part, Part::Between) && byte != MAGIC[0] && !first_member {
                // Padding after the last member.
                return Ok(Step { read, written: 0, ended: true });
            }
            read += 1;
            self.part = self.header_or_trailer(byte)?;
            if matches!(self.part, Part::Data) {
                match &mut self.inflate {
                    Some(inflate) => inflate.reset(false),
                    None => self.inflate = Some(Decompress::new(false)),
                }
            }
        }
        let Some(inflate) = &mut self.inflate else {
            return Err(DecodeError::Corrupt);
        };
        let step = inflate::step(inflate, &input[read..], out)?;
        if step.ended {
            self.part = Part::Trailer(8);
        }
        Ok(Step { read: read + step.read, written: step.written, ended: false })
    }

    fn header_or_trailer(&mut self, byte: u8) -> Result<Part, DecodeError> {
        Ok(match self.part {
            Part::Between if byte == MAGIC[0] => Part::Fixed(1),
            Part::Fixed(1) if byte == MAGIC[1] => Part::Fixed(2),
            Part::Fixed(2) if byte == DEFLATE => Part::Fixed(3),
            Part::Between | Part::Fixed(..3) => return Err(DecodeError::Corrupt),
            Part::Fixed(3) => {
                self.flags = byte;
                Part::Fixed(4)
            }
            Part::Fixed(9) => self.optional(0),
            Part::Fixed(place) => Part::Fixed(place + 1),
            Part::ExtraLength => Part::ExtraLengthHigh(byte),
            Part::ExtraLengthHigh(low) => match u16::from_le_bytes([low, byte]) {
                0 => self.optional(1),
                left => Part::Extra(left),
            },
            Part::Extra(1) => self.optional(1),
            Part::Extra(left) => Part::Extra(left - 1),
            Part::Name if byte == 0 => self.optional(2),
            Part::Comment if byte == 0 => self.optional(3),
            Part::Checksum(1) => Part::Data,
            Part::Checksum(left) => Part::Checksum(left - 1),
            Part::Trailer(1) => Part::Between,
            Part::Trailer(left) => Part::Trailer(left - 1),
            Part::Name | Part::Comment | Part::Data => self.part,
        })
    }

    /// The first of the header's optional parts, from the nth on, that the flags announce.
    fn optional(&self, from: usize) -> Part {
        let mut parts = OPTIONAL[from..].iter();
        parts.find(|(flag, _)| self.flags & flag != 0).map_or(Part::Data, |(_, part)| *part)
    }
}

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The only compression method.
const DEFLATE: u8 = 8;
/// With their flags, in the order in which they come.
const OPTIONAL: [(u8, Part); 4] = [
    (0x04, Part::ExtraLength),
    (0x08, Part::Name),
    (0x10, Part::Comment),
    (0x02, Part::Checksum(2)),
];
