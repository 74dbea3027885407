//! Lines of a head: where they end, and what a field line is made of.

use super::fault::Fault;

/// Finds the ends of lines in bytes that arrive piece by piece, looking at none of them twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Where the first line begins whose end has not been found.
    pub(super) start: usize,
    /// There is no control byte before this.
    looked: usize,
}

impl Lines {
    pub(super) fn is_new(&self) -> bool {
        self.looked == 0
    }

    /// Where the text of the current line ends, as far as it is known: at its first control byte,
    /// or with the bytes that there are.
    pub(super) fn text_end(&mut self, bytes: &[u8]) -> usize {
        let looked = self.looked.max(self.start);
        self.looked = find_control(bytes, looked).unwrap_or(bytes.len());
        self.looked
    }

    /// Goes on to the next line, if the text ends with CRLF; `false`: more bytes must say so.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let end = self.looked;
        match bytes.get(end..) {
            Some([b'\r', b'\n', ..]) => {
                self.start = end + 2;
                Ok(true)
            }
            Some([] | [b'\r']) | None => Ok(false),
            Some([b'\r' | b'\n', ..]) => Err(Fault::LineEnding),
            Some(_) => Err(Fault::ControlByte),
        }
    }
}

/// A field line without its end; `None` where it is none.
pub(super) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|&byte| !is_token(byte))?;
    let (name, rest) = line.split_at(end);
    match rest {
        [b':', value @ ..] if end > 0 => Some((name, value)),
        _ => None,
    }
}

pub(super) fn trim(value: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = value.iter().position(is_text).unwrap_or(value.len());
    let end = value.iter().rposition(is_text).map_or(start, |last| last + 1);
    &value[start..end]
}

/// Whether `name` is this name, which is in lower case; `_` counts as `-`, because a server behind
/// CGI rules cannot tell them apart.
pub(super) fn is_name_like(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name.iter().zip(known).all(|(byte, known)| {
            byte.eq_ignore_ascii_case(known) || (*byte == b'_' && *known == b'-')
        })
}

pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// The first control byte from `from` on; a tab counts as text.
fn find_control(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = controls(u64::from_le_bytes(*word));
        if found == 0 {
            at += 8;
            continue;
        }
        let first = at + (found.trailing_zeros() / 8) as usize;
        if bytes[first] != b'\t' {
            return Some(first);
        }
        at = first + 1;
    }
    let tail = bytes.get(at..)?;
    tail.iter().position(|&byte| is_control(byte)).map(|found| at + found)
}

/// Marks the top bit of each byte that is below a space or DEL. Above the lowest mark there may be
/// false ones.
fn controls(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let del = word ^ (EACH * 0x7f);
    let low = word.wrapping_sub(EACH * 0x20) & !word;
    let del = del.wrapping_sub(EACH) & !del;
    (low | del) & (EACH * 0x80)
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mark = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < mark.len() {
        table[mark[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_control_byte_is_found_wherever_it_is(
            bytes in proptest::collection::vec(
                prop_oneof![8 => 0x20_u8.., 1 => Just(b'\t'), 1 => Just(0x7f), 1 => any::<u8>()],
                0..40,
            ),
            from in 0..45_usize,
        ) {
            let slow = bytes.iter().enumerate().skip(from).find(|(_, byte)| is_control(**byte));
            prop_assert_eq!(find_control(&bytes, from), slow.map(|(at, _)| at));
        }
    }

    #[test]
    fn a_field_line_is_a_name_a_colon_and_a_value() {
        assert_eq!(split_field(b"a-B: c"), Some((&b"a-B"[..], &b" c"[..])));
        assert_eq!(split_field(b"a:"), Some((&b"a"[..], &b""[..])));
        for line in [&b" a: b"[..], b"\ta: b", b"a : b", b": b", b"a", b"", b"a\xe4: b", b"a(: b"] {
            assert_eq!(split_field(line), None, "{line:?}");
        }
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
    }
}
