//! The ways in which a text is written within another: what undoes them, and what they make.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// What a layer of encoding is told by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    Percent,
    /// As JSON and Rust's `Debug` put it.
    Backslash,
}

/// Undoes one layer. `None`: there is none.
pub(super) fn undone(text: &[u8], mark: Mark) -> Option<Zeroizing<Vec<u8>>> {
    let sign = match mark {
        Mark::Percent => b'%',
        Mark::Backslash => b'\\',
    };
    let first = memchr::memchr(sign, text)?;
    // No sequence is shorter than what it stands for, so this does not grow.
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let Some(next) = memchr::memchr(sign, rest) {
        out.extend_from_slice(&rest[..next]);
        rest = &rest[next + 1..];
        let read = match mark {
            Mark::Percent => hex_byte(rest).map(|byte| (Meant::Byte(byte), 2)),
            Mark::Backslash => escape(rest),
        };
        let Some((meant, length)) = read else {
            out.push(sign);
            continue;
        };
        match meant {
            Meant::Byte(byte) => out.push(byte),
            Meant::Char(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    (out.len() < text.len()).then_some(out)
}

/// Calls `each` with every form that a text takes where it cannot be undone in its place: it can
/// begin anywhere in base64, and lists and hexadecimal digits have no marks.
pub(super) fn forms(text: &[u8], mut each: impl FnMut(&[u8])) {
    each(text);
    if text.contains(&b' ') {
        let plus: Zeroizing<Vec<u8>> =
            Zeroizing::new(text.iter().map(|b| if *b == b' ' { b'+' } else { *b }).collect());
        each(&plus);
    }
    for upper in [false, true] {
        let mut hex = Zeroizing::new(Vec::with_capacity(2 * text.len()));
        for byte in text {
            for digit in [byte >> 4, byte & 15] {
                let letter = if upper { b'A' } else { b'a' };
                hex.push(if digit < 10 { b'0' + digit } else { letter + digit - 10 });
            }
        }
        each(&hex);
    }
    // How Rust's `Debug` shows bytes: `[115, 101]`.
    let mut list = Zeroizing::new(Vec::with_capacity(5 * text.len()));
    for (at, byte) in text.iter().enumerate() {
        if at > 0 {
            list.extend_from_slice(b", ");
        }
        for (size, digit) in [(100, byte / 100), (10, byte / 10 % 10), (1, byte % 10)] {
            if *byte >= size || size == 1 {
                list.push(b'0' + digit);
            }
        }
    }
    each(&list);
    for before in 0..3 {
        // The first and the last digit may hold bits of a neighbour.
        let mut shifted = Zeroizing::new(vec![0; before]);
        shifted.reserve_exact(text.len());
        shifted.extend_from_slice(text);
        let (first, last) = ((8 * before).div_ceil(6), 8 * shifted.len() / 6);
        let standard = Zeroizing::new(STANDARD_NO_PAD.encode(&*shifted));
        each(&standard.as_bytes()[first..last]);
        let url_safe = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*shifted));
        if url_safe != standard {
            each(&url_safe.as_bytes()[first..last]);
        }
    }
}

/// What a sequence stands for.
enum Meant {
    Byte(u8),
    Char(char),
}

/// What stands behind a backslash, and how long that is.
fn escape(rest: &[u8]) -> Option<(Meant, usize)> {
    let byte = |byte| Some((Meant::Byte(byte), 1));
    match rest.first()? {
        b'n' => byte(b'\n'),
        b'r' => byte(b'\r'),
        b't' => byte(b'\t'),
        b'b' => byte(8),
        b'f' => byte(12),
        b'0' => byte(0),
        same @ (b'\\' | b'"' | b'\'' | b'/') => byte(*same),
        b'x' => Some((Meant::Byte(hex_byte(&rest[1..])?), 3)),
        b'u' if rest.get(1) == Some(&b'{') => {
            let end = 2 + rest[2..].iter().take(LONGEST_POINT + 1).position(|b| *b == b'}')?;
            let char = char::from_u32(number(&rest[2..end])?)?;
            Some((Meant::Char(char), end + 1))
        }
        b'u' => {
            let high = number(rest.get(1..5)?)?;
            if let Some(char) = char::from_u32(high) {
                return Some((Meant::Char(char), 5));
            }
            let low = number(rest.get(5..)?.strip_prefix(b"\\u")?.get(..4)?)?;
            let pair = char::decode_utf16([u16::try_from(high).ok()?, u16::try_from(low).ok()?]);
            let char = pair.into_iter().next()?.ok()?;
            Some((Meant::Char(char), 11))
        }
        _ => None,
    }
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    number(digits.get(..2)?).and_then(|number| u8::try_from(number).ok())
}

/// `None` for anything but hexadecimal digits, a few of them.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > LONGEST_POINT {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// Digits of a code point.
const LONGEST_POINT: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_undone_and_what_is_no_sequence_stays() {
        for (mark, written, meant) in [
            (Mark::Percent, r"a%2fb%2Fc\n", r"a/b/c\n"),
            (Mark::Percent, "%4%31%zz%", "%41%zz%"),
            (Mark::Backslash, r#"\"\\\n\u00e4\u{e4}\x41\/\0%41"#, "\"\\\nää\x41/\0%41"),
            (Mark::Backslash, r"\ud83d\ude00", "😀"),
            (
                Mark::Backslash,
                r"\\\q\u12\x4\ud83d\u{}\u{1234567}\4",
                r"\\q\u12\x4\ud83d\u{}\u{1234567}\4",
            ),
        ] {
            let undone = undone(written.as_bytes(), mark).expect("a layer");
            assert_eq!(String::from_utf8_lossy(&undone), meant, "{written}");
        }
        assert!(undone(b"nothing here", Mark::Percent).is_none());
        assert!(undone(br"\q", Mark::Backslash).is_none());
    }

    #[test]
    fn the_core_of_base64_stands_in_it_wherever_the_text_does() {
        let text = b"p\xfe\xff~secret";
        let mut cores = Vec::new();
        forms(text, |form| cores.push(form.to_vec()));
        for before in 0..7 {
            for after in 0..4 {
                let whole = [&b"q\xffz-\xfe.,"[..before], text, &b"\xff\xffx\0"[..after]].concat();
                for written in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                    let found = cores.iter().any(|core| {
                        core.len() >= 12 && memchr::memmem::find(written.as_bytes(), core).is_some()
                    });
                    assert!(found, "{before} {after} {written}");
                }
            }
        }
    }
}
