//! What a character of a path may be taken for.

/// What a character is to some servers, beside being itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Like {
    Slash,
    /// So many dots.
    Dots(u8),
    /// The beginning of parameters, a query or a fragment.
    Cut,
    Percent,
    /// Not seen: spaces, which are trimmed, and what has no width.
    Nothing,
    /// Another spelling of this one.
    Ascii(u8),
    /// A letter or digit with something about it: which one is not worth a table.
    Letter,
    Itself,
}

/// What compatibility forms, "best fit" tables and trimming make of characters beyond ASCII.
pub(super) fn like(c: char) -> Like {
    match c {
        '\u{2044}' | '\u{2215}' | '\u{29F8}' | '\u{FF0F}' => Like::Slash,
        '\u{2216}' | '\u{29F5}' | '\u{29F9}' | '\u{FE68}' | '\u{FF3C}' => Like::Slash,
        // In code pages of Japan and Korea these stand where ASCII has the backslash.
        '\u{A5}' | '\u{20A9}' | '\u{FFE5}' | '\u{FFE6}' => Like::Slash,
        '\u{2024}' | '\u{3002}' | '\u{FE52}' | '\u{FF0E}' | '\u{FF61}' => Like::Dots(1),
        '\u{2025}' | '\u{FE30}' => Like::Dots(2),
        '\u{2026}' | '\u{FE19}' => Like::Dots(3),
        '\u{37E}' | '\u{FE14}' | '\u{FE54}' | '\u{FF1B}' => Like::Cut,
        '\u{FE16}' | '\u{FE56}' | '\u{FF1F}' | '\u{2047}'..='\u{2049}' => Like::Cut,
        '\u{FE5F}' | '\u{FF03}' => Like::Cut,
        '\u{66A}' | '\u{FE6A}' | '\u{FF05}' => Like::Percent,
        '\u{FF01}'..='\u{FF5E}' => Like::Ascii((u32::from(c) - 0xFF01) as u8 + b'!'),
        '\u{393}' | '\u{398}' | '\u{3A3}' | '\u{3A6}' | '\u{3A9}' => Like::Letter,
        '\u{3B1}' | '\u{3B4}' | '\u{3B5}' | '\u{3C0}' | '\u{3C3}' | '\u{3C4}' | '\u{3C6}' => {
            Like::Letter
        }
        '\u{AA}' | '\u{B2}' | '\u{B3}' | '\u{B5}' | '\u{B9}' | '\u{BA}' => Like::Letter,
        '\u{C0}'..='\u{2AF}' | '\u{1D00}'..='\u{1DBF}' | '\u{1E00}'..='\u{1EFF}' => Like::Letter,
        '\u{2070}'..='\u{209F}' | '\u{2100}'..='\u{218F}' | '\u{2460}'..='\u{24FF}' => Like::Letter,
        '\u{2C60}'..='\u{2C7F}' | '\u{A720}'..='\u{A7FF}' | '\u{FB00}'..='\u{FB06}' => Like::Letter,
        '\u{1D400}'..='\u{1D7FF}' | '\u{1F100}'..='\u{1F18F}' => Like::Letter,
        _ if is_unseen(c) => Like::Nothing,
        _ => Like::Itself,
    }
}

fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{180B}'..='\u{180E}')
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        || matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFD}' | '\u{3164}')
        // Accents that stand for themselves, and get lost.
        || matches!(c, '\u{2B0}'..='\u{36F}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20F0}')
        || matches!(c, '\u{E0000}'..='\u{E0FFF}')
}

/// What a pattern may say: what means itself to every server. Its `/` and `*` do not.
pub(super) fn is_meant(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '/' | '*' | '-' | '.' | '_' | '~' | '!' | '$' | '&' | '\'' | '(' | ')' | ',' | '='
        | '@' => true,
        '+' | ':' => true,
        _ => !c.is_ascii() && matches!(like(c), Like::Itself | Like::Letter | Like::Ascii(_)),
    }
}

/// What cannot stand in a URL's path as it is, so that every client encodes it.
pub(super) fn must_be_encoded(byte: u8) -> bool {
    matches!(byte, b' ' | b'"' | b'<' | b'>' | b'`' | b'{' | b'|' | b'}' | b'^')
}
