//! What servers do with a path, step by step.

#[derive(Clone, Copy, PartialEq)]
pub(super) enum OnBad {
    Refuse,
    Keep,
}

pub(super) fn decode(text: &[u8], on_bad: OnBad) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        match digits {
            Some(digits) if text[at] == b'%' => {
                let digits = str::from_utf8(digits).ok()?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
                at += 3;
            }
            _ if text[at] == b'%' && on_bad == OnBad::Refuse => return None,
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    Some(out)
}

pub(super) fn unicode_escapes(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).into_owned();
    let mut parts = text.split("%u");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                out.push(c);
                out.push_str(&part[4..]);
            }
            None => {
                out.push_str("%u");
                out.push_str(part);
            }
        }
    }
    out.into_bytes()
}

/// Two and three bytes for one, whatever the rules for the shortest form say.
pub(super) fn lenient_utf8(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = match *rest {
            [lead @ 0xC0..=0xC1, next, ref after @ ..] => {
                out.push((lead & 1) << 6 | next & 0x3F);
                after
            }
            [0xE0, middle @ 0x80..=0x81, last @ 0x80..=0xBF, ref after @ ..] => {
                out.push((middle & 1) << 6 | last & 0x3F);
                after
            }
            [byte, ref after @ ..] => {
                out.push(byte);
                after
            }
            [] => return out,
        };
    }
}

pub(super) fn turned(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

pub(super) fn without_parameters(text: &[u8]) -> Vec<u8> {
    let segments = text.split(|byte| *byte == b'/');
    let names = segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or(b""));
    names.collect::<Vec<_>>().join(&b'/')
}

pub(super) struct Dots {
    pub(super) merge: bool,
    /// What becomes of a `..` at the root; `None`: the path is refused.
    pub(super) above_root: Option<()>,
}

impl Dots {
    pub(super) fn usual() -> Self {
        Self { merge: false, above_root: Some(()) }
    }
}

/// RFC 3986, 5.2.4, segment by segment.
pub(super) fn resolve(path: &[u8], dots: &Dots) -> Option<Vec<u8>> {
    let rooted = path.strip_prefix(b"/")?;
    let mut segments: Vec<&[u8]> = Vec::new();
    let all: Vec<&[u8]> = rooted.split(|byte| *byte == b'/').collect();
    for (index, segment) in all.iter().enumerate() {
        let is_last = index + 1 == all.len();
        match *segment {
            b"." if is_last => segments.push(b""),
            b"." => {}
            b".." => {
                if segments.pop().is_none() {
                    dots.above_root?;
                }
                if is_last {
                    segments.push(b"");
                }
            }
            b"" if dots.merge && !is_last => {}
            name => segments.push(name),
        }
    }
    Some([b"/", &segments.join(&b'/')[..]].concat())
}
