//! The log's screen: a record in which a secret stands, in whatever form, is withheld; one in which no
//! reading whatever finds it passes byte for byte.

#![no_main]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};
use tokenward::secret::Secret;
use tokenward::telemetry::log::{Format, Screen, WITHHELD_MESSAGE};
use tracing_subscriber::fmt::MakeWriter;

fuzz_target!(|input: (String, Vec<u8>, Vec<u8>, [u8; 3])| {
    let (secret, before, after, ways) = input;
    if !(8..=64).contains(&secret.len()) || before.len() + after.len() > 512 {
        return;
    }
    let _alive = Secret::new(secret.as_str());

    // Written in up to three ways, one around the other: it is found. What is before it may not
    // reach into it: a lone `%` or backslash would make another text of it.
    let (inner, _) = written(secret.as_bytes(), ways[0]);
    let layered = ways[1..].iter().fold(inner, |text, way| layer(&text, *way));
    let calm = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().map(|byte| if matches!(byte, b'%' | b'\\') { b'.' } else { *byte }).collect()
    };
    let record = [calm(&before).as_slice(), b" ", &layered, b" ", &calm(&after)].concat();
    assert!(is_withheld(&record), "{:?} in {:?}", secret, String::from_utf8_lossy(&record));

    // Without it, in what the fuzzer makes up, it is found only where some reading has it.
    let free = [before, after].concat();
    if is_withheld(&free) {
        assert!(may_hold(&free, secret.as_bytes()), "{secret:?} not in {:?}", free.escape_ascii());
    }
});

/// What a record becomes on its way through the screen: itself, or a line that has nothing of it.
fn is_withheld(record: &[u8]) -> bool {
    let out = Arc::new(Mutex::new(Vec::new()));
    let behind = out.clone();
    let screen = Screen::new(Format::Text, move || Sink(behind.clone()));
    screen.make_writer().write_all(record).expect("memory");
    let out = out.lock().expect("a lock");
    if *out == record {
        return false;
    }
    assert!(String::from_utf8_lossy(&out).contains(WITHHELD_MESSAGE));
    true
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A form that stands for itself: base64 at any place of a longer text, digits, a list.
fn written(secret: &[u8], way: u8) -> (Vec<u8>, &'static str) {
    let around =
        [&b"user:"[..usize::from(way / 16 % 4)], secret, &b"!?"[..usize::from(way / 64 % 3)]];
    let around = around.concat();
    let (text, name) = match way % 16 {
        0 => (STANDARD.encode(&around), "base64"),
        1 => (URL_SAFE.encode(&around), "base64 for URLs"),
        2 => (secret.iter().map(|byte| format!("{byte:02x}")).collect(), "hex"),
        3 => (secret.iter().map(|byte| format!("{byte:02X}")).collect(), "HEX"),
        4 => (format!("{secret:?}"), "a list"),
        _ => return (secret.to_vec(), "itself"),
    };
    (text.into_bytes(), name)
}

/// A layer around a text, which keeps the text readable.
fn layer(text: &[u8], way: u8) -> Vec<u8> {
    let utf8 = String::from_utf8_lossy(text);
    match way % 8 {
        0 => percent_encode(text, NON_ALPHANUMERIC).to_string().into_bytes(),
        1 => percent_encode(text, SOME).to_string().into_bytes(),
        2 => text.iter().map(|byte| format!("%{byte:02x}")).collect::<String>().into_bytes(),
        3 => serde_json::to_vec(&*utf8).expect("JSON"),
        4 => format!("{utf8:?}").into_bytes(),
        5 => utf8.escape_default().to_string().into_bytes(),
        6 => format!("b\"{}\"", text.escape_ascii()).into_bytes(),
        _ => text.to_vec(),
    }
}

/// Whether any reading of the text has the secret in it: every byte may be spelled in every way, and
/// the spelling too. Slow, and more generous than the screen.
fn may_hold(text: &[u8], secret: &[u8]) -> bool {
    // A code point stands for several bytes: where there may be one, anything may be.
    if text.contains(&b'u') {
        return true;
    }
    let mut forms = Vec::new();
    for way in 0..=255 {
        let (form, name) = written(secret, way);
        // The digits at both ends may hold bits of what is around.
        let trim = if name.starts_with("base64") { 3 } else { 0 };
        let form: Vec<u8> = form.into_iter().filter(|byte| *byte != b'=').collect();
        if form.len() > 2 * trim {
            // As the screen does, whatever stands around it in the encoded text.
            forms.push(form[trim..form.len() - trim].to_vec());
        }
        forms.push(secret.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect());
    }
    let list: Vec<String> = secret.iter().map(u8::to_string).collect();
    forms.push(list.join(", ").into_bytes());
    forms.sort();
    forms.dedup();
    forms.iter().any(|form| (0..text.len()).any(|at| reads(text, at, form)))
}

fn reads(text: &[u8], at: usize, form: &[u8]) -> bool {
    let mut places = BTreeSet::from([at]);
    for byte in form {
        places = places.into_iter().flat_map(|at| spellings(text, at, *byte, 3)).collect();
        if places.is_empty() {
            return false;
        }
    }
    true
}

/// The places behind every spelling of a byte that begins here.
fn spellings(text: &[u8], at: usize, byte: u8, layers: u8) -> BTreeSet<usize> {
    let mut ends = BTreeSet::new();
    if text.get(at) == Some(&byte) {
        ends.insert(at + 1);
    }
    if layers == 0 {
        return ends;
    }
    let mut then = |signs: &[Vec<u8>]| {
        let mut places = BTreeSet::from([at]);
        for sign in signs {
            places = places
                .into_iter()
                .flat_map(|at| {
                    let one = |sign: &u8| spellings(text, at, *sign, layers - 1);
                    sign.iter().flat_map(one).collect::<Vec<_>>()
                })
                .collect();
        }
        ends.extend(places);
    };
    let digit = |digit: u8| {
        let sign = char::from_digit(u32::from(digit), 16).expect("a digit");
        vec![sign as u8, sign.to_ascii_uppercase() as u8]
    };
    let (high, low) = (digit(byte >> 4), digit(byte & 15));
    then(&[vec![b'%'], high.clone(), low.clone()]);
    then(&[vec![b'\\'], vec![b'x'], high, low]);
    let name = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        0 => b'0',
        b'\\' | b'"' | b'\'' | b'/' => byte,
        _ => 0,
    };
    if name != 0 {
        then(&[vec![b'\\'], vec![name]]);
    }
    ends
}

/// As little as keeps a text readable.
const SOME: &AsciiSet = &CONTROLS.add(b'%').add(b' ').add(b'"');
