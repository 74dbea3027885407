//! Escapes: `%41`, and the `%u0041` of some servers.

/// With each `%41` or `%u0041` decoded.
pub(super) fn decode_once(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        match escape(rest) {
            Some((length, c)) => {
                push(&mut out, length, c);
                rest = &rest[length..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// Until nothing is left to decode.
pub(super) fn decode_wholly(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        out.push(byte);
        // What was decoded may complete the escape that it stands in.
        while let Some((length, c)) = ESCAPES.iter().find_map(|&length| {
            let start = out.len().checked_sub(length)?;
            escape(&out[start..]).filter(|(found, _)| *found == length)
        }) {
            out.truncate(out.len() - length);
            push(&mut out, length, c);
        }
    }
    out
}

pub(super) fn is_escape(text: &[u8]) -> bool {
    escape(text).is_some()
}

/// The escape with which a text begins: its length, and what it stands for.
fn escape(text: &[u8]) -> Option<(usize, u32)> {
    match text {
        [b'%', b'u' | b'U', digits @ ..] => Some((ESCAPES[1], hex(digits.get(..4)?)?)),
        [b'%', digits @ ..] => Some((ESCAPES[0], hex(digits.get(..2)?)?)),
        _ => None,
    }
}

fn push(out: &mut Vec<u8>, length: usize, value: u32) {
    if length == ESCAPES[0] {
        out.push(value as u8);
    } else {
        let c = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// The value of hexadecimal digits.
pub(super) fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// The lengths of the two forms.
const ESCAPES: [usize; 2] = [3, 6];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_goes_one_round_or_all_the_way() {
        for (text, once, wholly) in [
            ("/a", "/a", "/a"),
            ("%41%5a%zz%", "AZ%zz%", "AZ%zz%"),
            ("%2541", "%41", "A"),
            ("%252541", "%2541", "A"),
            ("%%34%31", "%41", "A"),
            ("%25%32%35%34%31", "%2541", "A"),
            ("%u0041%U2215", "A\u{2215}", "A\u{2215}"),
            ("%u00%34%31", "%u0041", "A"),
            ("%ud800", "\u{FFFD}", "\u{FFFD}"),
        ] {
            assert_eq!(decode_once(text.as_bytes()), once.as_bytes(), "{text}");
            assert_eq!(decode_wholly(text.as_bytes()), wholly.as_bytes(), "{text}");
        }
        assert_eq!(decode_wholly("%25".repeat(5_000).as_bytes()), "%".repeat(5_000).as_bytes());
        let deep = format!("%{}41", "25".repeat(5_000));
        assert_eq!(decode_wholly(deep.as_bytes()), b"A");
    }
}
