//! How servers read a path: each a function of its own, written from what the server does and not
//! from what the gateway thinks of it. For the tests of path patterns, and for their fuzzing.

use std::collections::BTreeSet;

// Said outright, since the fuzzing reads this file from elsewhere.
#[path = "servers/steps.rs"]
mod steps;

use steps::{
    Dots, OnBad, decode, lenient_utf8, resolve, turned, unicode_escapes, without_parameters,
};

/// What a server acts on. `None`: it refuses the path.
type Read = fn(&[u8]) -> Option<Vec<u8>>;

/// By name. Those that say so drop something of a path that stands there plainly, so that only what
/// is forbidden has to reckon with them: an allow-list with `/a*` means what begins with `/a`.
const SERVERS: [(&str, Read, bool); 26] = [
    ("raw", raw, true),
    ("nginx", nginx, true),
    ("nginx, merge_slashes off", nginx_without_merging, true),
    ("Apache httpd", httpd, true),
    ("Apache httpd, AllowEncodedSlashes NoDecode", httpd_no_decode, true),
    ("Tomcat", tomcat, true),
    ("Tomcat, allowBackslash", tomcat_backslash, true),
    ("Jetty before 9.4.41", jetty, true),
    ("Spring, which decodes before it removes parameters", spring, true),
    ("IIS", iis, true),
    ("IIS, cookieless sessions", iis_session, true),
    ("IIS 5", iis_overlong, true),
    ("Go's ServeMux", go_mux, true),
    ("Node's URL", node_url, true),
    ("Fastify", fastify, true),
    ("Django", django, true),
    ("PHP", php, true),
    ("twice decoded", twice, true),
    ("three times decoded", three_times, true),
    ("overlong UTF-8", overlong, true),
    ("broken UTF-8 left out", without_broken, true),
    ("best fit", best_fit, true),
    ("without the last slash", without_slash, true),
    ("form decoding, trimmed", form_trimmed, false),
    ("PHP front controller", php_front, false),
    ("Rails formats, Spring suffixes", without_extension, false),
];

/// Everything that one server, or two of them in a row, might act on, by who does. With `loose`,
/// those too that only what is forbidden has to reckon with.
pub fn readings(path: &str, loose: bool) -> Vec<(String, Vec<u8>)> {
    let servers = || SERVERS.iter().filter(|(_, _, strict)| *strict || loose);
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (name, read, _) in servers() {
        if let Some(text) = read(path.as_bytes())
            && seen.insert(text.clone())
        {
            found.push(((*name).to_owned(), text));
        }
    }
    for (first, text) in found.clone() {
        for (name, read, _) in servers() {
            if let Some(text) = read(&text)
                && seen.insert(text.clone())
            {
                found.push((format!("{first}, then {name}"), text));
            }
        }
    }
    found
}

/// Whether a reading is what the pattern says; a server that drops the last slash of a path drops
/// that of the pattern as well.
pub fn means(pattern: &str, reading: &[u8], fold_case: bool) -> bool {
    let (pattern, reading) = match fold_case {
        true => (pattern.to_ascii_lowercase().into_bytes(), reading.to_ascii_lowercase()),
        false => (pattern.as_bytes().to_vec(), reading.to_vec()),
    };
    let bare = pattern.strip_suffix(b"/").filter(|bare| !bare.is_empty());
    glob(&pattern, &reading) || bare.is_some_and(|bare| glob(bare, &reading))
}

/// By a table: which beginnings of the text each beginning of the pattern matches. A letter beyond
/// ASCII may be encoded in the text, as it has to be in a URL.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for &token in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match token {
                b'*' => row[at] || at > 0 && next[at - 1],
                _ => {
                    let plain = at > 0 && row[at - 1] && text[at - 1] == token;
                    let encoded = format!("%{token:02X}");
                    let is_encoded = !token.is_ascii()
                        && at > 2
                        && row[at - 3]
                        && text[at - 3..at].eq_ignore_ascii_case(encoded.as_bytes());
                    plain || is_encoded
                }
            };
        }
        row = next;
    }
    row[text.len()]
}

fn raw(path: &[u8]) -> Option<Vec<u8>> {
    Some(path.to_vec())
}

/// `ngx_http_parse_complex_uri`: decoded once, slashes merged, dots resolved; what leaves the root,
/// and NUL, is refused.
fn nginx(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Refuse)?;
    let whole = resolve(&decoded, &Dots { merge: true, above_root: None })?;
    (!decoded.contains(&0)).then_some(whole)
}

fn nginx_without_merging(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Refuse)?;
    resolve(&decoded, &Dots { merge: false, above_root: None })
}

fn httpd(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Refuse)?;
    resolve(&decoded, &Dots { merge: true, ..Dots::usual() })
}

fn httpd_no_decode(path: &[u8]) -> Option<Vec<u8>> {
    let kept = String::from_utf8_lossy(path).replace("%2f", "%252f").replace("%2F", "%252F");
    resolve(&decode(kept.as_bytes(), OnBad::Refuse)?, &Dots { merge: true, ..Dots::usual() })
}

/// Path parameters go up to the next slash, before anything is decoded.
fn tomcat(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(&without_parameters(path), OnBad::Refuse)?;
    resolve(&decoded, &Dots { merge: true, above_root: None })
}

fn tomcat_backslash(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(&without_parameters(path), OnBad::Keep)?;
    resolve(&turned(&decoded), &Dots { merge: true, ..Dots::usual() })
}

/// CVE-2021-34429: `%u002e`, and a NUL after dots.
fn jetty(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(&unicode_escapes(&without_parameters(path)), OnBad::Keep)?;
    let cut = decoded.split(|byte| *byte == b'/').map(|segment| {
        let end = segment.iter().position(|byte| *byte == 0).unwrap_or(segment.len());
        segment[..end].to_vec()
    });
    resolve(&cut.collect::<Vec<_>>().join(&b'/'), &Dots::usual())
}

fn spring(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Keep)?;
    resolve(&without_parameters(&decoded), &Dots { merge: true, ..Dots::usual() })
}

/// Decoded, backslashes turned; Windows drops dots and spaces at the end of a name, and takes what
/// follows `::` for a stream.
fn iis(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(&unicode_escapes(path), OnBad::Keep)?;
    let resolved = resolve(&turned(&decoded), &Dots { merge: true, ..Dots::usual() })?;
    let segments = resolved.split(|byte| *byte == b'/').map(|segment| {
        let stream = segment.windows(2).position(|two| two == b"::" || two == b":$");
        let mut segment = &segment[..stream.unwrap_or(segment.len())];
        while let [rest @ .., b'.' | b' '] = segment {
            segment = rest;
        }
        segment.to_vec()
    });
    resolve(&segments.collect::<Vec<_>>().join(&b'/'), &Dots { merge: true, ..Dots::usual() })
}

/// ASP.NET takes `/(S(…))/` out.
fn iis_session(path: &[u8]) -> Option<Vec<u8>> {
    let path = iis(path)?;
    let segments = path.split(|byte| *byte == b'/');
    let is_session = |segment: &[u8]| segment.starts_with(b"(S(") && segment.ends_with(b"))");
    let kept: Vec<_> = segments.filter(|segment| !is_session(segment)).collect();
    Some(kept.join(&b'/'))
}

/// MS00-078: resolved before overlong forms were decoded, and once more decoded after.
fn iis_overlong(path: &[u8]) -> Option<Vec<u8>> {
    let first = resolve(&decode(path, OnBad::Keep)?, &Dots::usual())?;
    let second = decode(&lenient_utf8(&first), OnBad::Keep)?;
    resolve(&turned(&second), &Dots::usual())
}

/// `path.Clean`, with the last slash kept.
fn go_mux(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Refuse)?;
    resolve(&decoded, &Dots { merge: true, ..Dots::usual() })
}

/// `new URL(request.url, base)`, then `decodeURIComponent` of its path: an authority after `//`,
/// backslashes turned, tabs and line ends left out; `%2e` is a dot.
fn node_url(path: &[u8]) -> Option<Vec<u8>> {
    let kept: Vec<u8> = path.iter().copied().filter(|byte| !b"\t\r\n".contains(byte)).collect();
    let mut text = turned(&kept);
    if text.starts_with(b"//") {
        let host = text.iter().position(|byte| *byte != b'/')?;
        let end = text[host..].iter().position(|byte| *byte == b'/')?;
        text.drain(..host + end);
    }
    let end = text.iter().position(|byte| b"?#".contains(byte)).unwrap_or(text.len());
    text.truncate(end);
    let dotted = String::from_utf8_lossy(&text).replace("%2e", ".").replace("%2E", ".");
    decode(&resolve(dotted.as_bytes(), &Dots::usual())?, OnBad::Refuse)
}

/// `useSemicolonDelimiter`: a query begins at `;`.
fn fastify(path: &[u8]) -> Option<Vec<u8>> {
    let end = path.iter().position(|byte| b";?#".contains(byte)).unwrap_or(path.len());
    decode(&path[..end], OnBad::Keep)
}

/// `$` in a pattern matches before a line end, too.
fn django(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Keep)?;
    Some(decoded.strip_suffix(b"\n").unwrap_or(&decoded).to_vec())
}

/// A string ends at NUL for what lies below.
fn php(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Keep)?;
    let end = decoded.iter().position(|byte| *byte == 0).unwrap_or(decoded.len());
    resolve(&decoded[..end], &Dots { merge: true, ..Dots::usual() })
}

fn twice(path: &[u8]) -> Option<Vec<u8>> {
    resolve(&decode(&decode(path, OnBad::Keep)?, OnBad::Keep)?, &Dots::usual())
}

fn three_times(path: &[u8]) -> Option<Vec<u8>> {
    twice(&decode(path, OnBad::Keep)?)
}

fn overlong(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = lenient_utf8(&decode(path, OnBad::Keep)?);
    resolve(&decoded, &Dots { merge: true, ..Dots::usual() })
}

fn without_broken(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Keep)?;
    let valid: Vec<u8> = decoded.utf8_chunks().flat_map(|chunk| chunk.valid().bytes()).collect();
    resolve(&valid, &Dots::usual())
}

/// As `WideCharToMultiByte` makes ASCII of what resembles it.
fn best_fit(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Keep)?;
    let text = String::from_utf8_lossy(&decoded).into_owned();
    let mut fitted = String::new();
    for c in text.chars() {
        match c {
            '\u{FF01}'..='\u{FF5E}' => {
                fitted.extend(char::from_u32(u32::from(c) - 0xFF01 + 0x21));
            }
            '\u{2044}' | '\u{2215}' => fitted.push('/'),
            '\u{2216}' | '\u{A5}' => fitted.push('\\'),
            '\u{2024}' => fitted.push('.'),
            '\u{2025}' => fitted.push_str(".."),
            '\u{37E}' => fitted.push(';'),
            '\u{14D}' => fitted.push('o'),
            '\u{212A}' => fitted.push('K'),
            '\u{200B}' => {}
            _ => fitted.push(c),
        }
    }
    resolve(&turned(fitted.as_bytes()), &Dots::usual())
}

fn without_slash(path: &[u8]) -> Option<Vec<u8>> {
    let mut path = path;
    while let [rest @ .., b'/'] = path
        && !rest.is_empty()
    {
        path = rest;
    }
    Some(path.to_vec())
}

/// `+` is a space, and spaces around a name are trimmed.
fn form_trimmed(path: &[u8]) -> Option<Vec<u8>> {
    let spaced: Vec<u8> =
        path.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded = decode(&spaced, OnBad::Keep)?;
    let names = decoded.split(|byte| *byte == b'/').map(<[u8]>::trim_ascii);
    resolve(&names.collect::<Vec<_>>().join(&b'/'), &Dots { merge: true, ..Dots::usual() })
}

fn php_front(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Keep)?;
    let after = decoded.windows(5).position(|five| five.eq_ignore_ascii_case(b".php/"))?;
    Some(decoded[after + 4..].to_vec())
}

fn without_extension(path: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(path, OnBad::Keep)?;
    let bare = decoded.strip_suffix(b"/").unwrap_or(&decoded);
    let name = bare.iter().rposition(|byte| *byte == b'/')? + 1;
    let dot = bare[name..].iter().rposition(|byte| *byte == b'.')?;
    Some(bare[..name + dot].to_vec())
}
