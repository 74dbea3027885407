//! Request targets: which are let through, and how those that the URI type would refuse are
//! encoded.

use http::Uri;

use super::fault::Fault;

/// Looks at a target as the caller sent it, which holds no spaces and, beside tabs, no control
/// bytes. `true`: it must be encoded before it goes on.
pub(super) fn look(method: &[u8], target: &[u8], limit: usize) -> Result<bool, Fault> {
    if target.len() > limit.min(LONGEST) {
        return Err(Fault::TargetLength);
    }
    let classes = target.iter().fold(0, |all, &byte| all | CLASSES[usize::from(byte)]);
    match target {
        // Rare enough for a look by the type that will hold it, as URLs are.
        _ if method == b"CONNECT" => {
            let uri = Uri::try_from(target).map_err(|_| Fault::Target)?;
            let is_authority = uri.scheme().is_none() && uri.authority().is_some();
            if is_authority { Ok(false) } else { Err(Fault::Target) }
        }
        [b'/', ..] if classes == 0 => Ok(false),
        [b'/', ..] => look_closer(target, 0, classes),
        b"*" if method == b"OPTIONS" => Ok(false),
        b"*" => Err(Fault::Target),
        _ => {
            let path = path_of_url(target).ok_or(Fault::Target)?;
            let encode = look_closer(target, path, classes)?;
            let encoded = encoded(target);
            let uri = Uri::try_from(&encoded[..]).map_err(|_| Fault::Target)?;
            if uri.scheme_str().is_none_or(str::is_empty) { Err(Fault::Target) } else { Ok(encode) }
        }
    }
}

/// The target with everything encoded that cannot travel as it is.
pub(super) fn encoded(target: &[u8]) -> Vec<u8> {
    let path = if target.starts_with(b"/") { 0 } else { path_of_url(target).unwrap_or(0) };
    let mut out = Vec::with_capacity(target.len() * 2);
    out.extend_from_slice(&target[..path]);
    each_byte(&target[path..], |byte, encode| {
        if encode {
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        } else {
            out.push(byte);
        }
    });
    out
}

#[cold]
fn look_closer(target: &[u8], path: usize, classes: u8) -> Result<bool, Fault> {
    if classes & TAB != 0 {
        return Err(Fault::ControlByte);
    }
    let rest = &target[path..];
    // A fragment is not the server's business, and who sends one did not mean it so.
    match memchr::memchr2(b'#', b'?', rest) {
        Some(at) if rest[at] == b'#' => return Err(Fault::Target),
        _ => {}
    }
    let mut encode = 0;
    each_byte(rest, |_, needs| encode += usize::from(needs));
    if target.len() + 2 * encode > LONGEST {
        return Err(Fault::TargetLength);
    }
    Ok(encode > 0)
}

/// Calls `each` with every byte of a path and query, and with whether it must be encoded.
fn each_byte(rest: &[u8], mut each: impl FnMut(u8, bool)) {
    let mut refused = PATH;
    for chunk in rest.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            if byte == b'?' {
                refused = QUERY;
            }
            each(byte, CLASSES[usize::from(byte)] & refused != 0);
        }
        for &byte in chunk.invalid() {
            each(byte, true);
        }
    }
}

/// Where the path of `scheme://authority/path` begins; at its end, when there is none.
fn path_of_url(target: &[u8]) -> Option<usize> {
    let authority = memchr::memmem::find(target, b"://")? + 3;
    let path = target[authority..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    Some(path.map_or(target.len(), |path| authority + path))
}

/// What the URI type can hold.
const LONGEST: usize = u16::MAX as usize - 1;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Refused in a path.
const PATH: u8 = 1;
/// Refused in a query.
const QUERY: u8 = 2;
/// Refused where it is not part of UTF-8.
const HIGH: u8 = 4;
const TAB: u8 = 8;

/// What the URI type refuses where, of the bytes that can be in a target.
static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 128;
    while byte < 256 {
        table[byte] = HIGH;
        byte += 1;
    }
    table[b'"' as usize] = QUERY;
    table[b'<' as usize] = PATH | QUERY;
    table[b'>' as usize] = PATH | QUERY;
    table[b'`' as usize] = PATH;
    // In a query it would begin a fragment, which the URI type drops.
    table[b'#' as usize] = PATH | QUERY;
    table[b'\t' as usize] = TAB;
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(target: &[u8]) -> Result<Vec<u8>, Fault> {
        let encode = look(b"GET", target, 65_536)?;
        Ok(if encode { encoded(target) } else { target.to_vec() })
    }

    #[test]
    fn p05_what_the_uri_type_refuses_is_encoded_and_nothing_else() {
        for (sent, arrives) in [
            (&br#"/x?q={"a":["b",1]}"#[..], &br#"/x?q={%22a%22:[%22b%22,1]}"#[..]),
            (b"/x?a=<b>&c=`^|\\", b"/x?a=%3Cb%3E&c=`^|\\"),
            (br#"/{"a"}<b>`c`"#, br#"/{"a"}%3Cb%3E%60c%60"#),
            (b"/x?a=1#b#c", b"/x?a=1%23b%23c"),
            ("/ä?ö=\"ü\"".as_bytes(), "/ä?ö=%22ü%22".as_bytes()),
            (b"/x?name=\xd6\xd0\xce\xc4", b"/x?name=%D6%D0%CE%C4"),
            (b"/\xff?a", b"/%FF?a"),
            (b"http://h/x?q={\"a\"}", b"http://h/x?q={%22a%22}"),
            (b"http://h?\"", b"http://h?%22"),
            (b"/a//b/../c;d?e=&&=%7b%zz?/#", b"/a//b/../c;d?e=&&=%7b%zz?/%23"),
        ] {
            assert_eq!(get(sent).as_deref(), Ok(arrives), "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn p25_targets_that_mean_nothing_are_refused() {
        for target in [&b"/a#b"[..], b"/#?a", b"a/b", b"?a", b"*", b"h:80", b"://h/", b"http:///x"]
        {
            assert_eq!(get(target), Err(Fault::Target), "{}", target.escape_ascii());
        }
        assert_eq!(get(b"/a\tb"), Err(Fault::ControlByte));
        for (method, target, seen) in [
            (&b"OPTIONS"[..], &b"*"[..], Ok(false)),
            (b"CONNECT", b"h:80", Ok(false)),
            (b"CONNECT", b"http://h/", Err(Fault::Target)),
            (b"CONNECT", b"/x", Err(Fault::Target)),
            (b"GET", b"HTTP://u@h:80", Ok(false)),
        ] {
            assert_eq!(look(method, target, 100), seen, "{}", target.escape_ascii());
        }
    }

    #[test]
    fn p27_the_limit_counts_bytes_as_sent_and_the_encoded_form_must_fit() {
        assert_eq!(look(b"GET", b"/?\"\"\"", 5), Ok(true));
        assert_eq!(look(b"GET", b"/?\"\"\"\"", 5), Err(Fault::TargetLength));
        let fits = [&b"/?"[..], &b"\"".repeat((LONGEST - 2) / 3)].concat();
        assert_eq!(get(&fits).map(|target| target.len()), Ok(LONGEST - (LONGEST - 2) % 3));
        let over = [&fits[..], b"\""].concat();
        assert_eq!(get(&over), Err(Fault::TargetLength));
    }

    proptest! {
        /// What goes on is what the URI type takes, byte for byte; where it takes what was sent,
        /// nothing has changed.
        #[test]
        fn p05_the_uri_type_takes_every_target_that_goes_on(
            rest in proptest::collection::vec(
                prop_oneof![4 => 0x21_u8..0x7f, 1 => 0x80_u8.., 2 => Just(b'?'), 2 => Just(b'"')],
                0..30,
            ),
        ) {
            let target = [&b"/"[..], &rest].concat();
            let alone = Uri::try_from(&target[..]);
            match get(&target) {
                Ok(target) => {
                    let uri = Uri::try_from(&target[..]).expect("a target that goes on");
                    let path = uri.path_and_query().expect("a path").as_str().as_bytes();
                    prop_assert_eq!(path, &target[..]);
                    prop_assert_eq!(target[..] == [&b"/"[..], &rest].concat(),
                        alone.is_ok_and(|uri| *uri.path_and_query().expect("a path").as_str().as_bytes() == target));
                }
                Err(fault) => {
                    prop_assert_eq!(fault, Fault::Target);
                    prop_assert!(target.contains(&b'#'));
                }
            }
        }
    }
}
