use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

fn sieve(secrets: &[&str]) -> Sieve {
    let secrets: Vec<_> = secrets.iter().map(|text| Secret::new(*text)).collect();
    Sieve::of(&secrets)
}

/// Every way to write a text within another that somebody might take.
fn written(text: &str) -> Vec<(&'static str, String)> {
    let bytes = text.as_bytes();
    let all = |upper: bool| -> String {
        let one = |byte: &u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
        bytes.iter().map(one).collect()
    };
    let percent = percent_encode(bytes, NON_ALPHANUMERIC).to_string();
    let json = serde_json::to_string(text).expect("JSON");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("k", text).finish();
    let mut ways = vec![
        ("as it is", text.to_owned()),
        ("all of it percent-encoded", all(true)),
        ("all of it percent-encoded, in lower case", all(false)),
        ("percent-encoded in lower case", percent.to_lowercase().replace("%7e", "~")),
        ("form-encoded", form),
        ("JSON", json.clone()),
        ("JSON in JSON", serde_json::to_string(&json).expect("JSON")),
        ("Debug", format!("{text:?}")),
        ("Debug in Debug", format!("{:?}", format!("{text:?}"))),
        ("Debug in JSON", serde_json::to_string(&format!("{text:?}")).expect("JSON")),
        ("percent-encoded, in Debug", format!("{percent:?}")),
        ("Debug, percent-encoded", percent_encode(json.as_bytes(), NON_ALPHANUMERIC).to_string()),
        ("bytes in Debug", format!("{bytes:?}")),
        ("Bytes in Debug", format!("{:?}", bytes::Bytes::copy_from_slice(bytes))),
        ("hex", hex.clone()),
        ("HEX", hex.to_uppercase()),
        ("code points", text.escape_unicode().to_string()),
        ("percent-encoded", percent.clone()),
    ];
    // Letters in lower case are another text.
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        ways.retain(|(way, _)| *way != "percent-encoded in lower case");
    }
    for before in ["", "u", "u:"] {
        let whole = format!("{before}{text}!");
        ways.push(("base64", STANDARD.encode(&whole)));
        ways.push(("base64 for URLs", URL_SAFE.encode(&whole)));
        ways.push(("base64 in a URL", {
            percent_encode(STANDARD.encode(&whole).as_bytes(), NON_ALPHANUMERIC).to_string()
        }));
    }
    ways
}

#[test]
fn p26_a_secret_is_found_however_it_is_written() {
    for secret in
        ["Ab3-._~x", "sch l\"ü\\ssel/+=%41", r"a%41\n\u0041b", "\\\\\\\\%%%%", "0123456789"]
    {
        let sieve = sieve(&[secret, "another-of-them"]);
        for (way, form) in written(secret) {
            for record in
                [form.clone(), format!("before {form}"), format!("é\u{1b}[0m{form}; after")]
            {
                assert!(sieve.finds_in(record.as_bytes()), "{secret:?} {way}: {record}");
            }
        }
    }
}

#[test]
fn p26_what_holds_no_secret_passes() {
    let sieve = sieve(&["Ab3-._~xyz", "sch l\"ü\\ssel/+=%41"]);
    for record in [
        "",
        "Ab3-._~",
        "Ab3-._~xy",
        "b3-._~xyz",
        "Ab3-._~xYz",
        "Ab3-._~ xyz",
        "token renewed upstream=jing generation=17 expires_in=2h %zz \\q %",
        "sch l\"u\\ssel",
    ] {
        assert!(!sieve.finds_in(record.as_bytes()), "{record}");
    }
    assert!(!Sieve::of([]).finds_in(b"anything at all"));
}

/// With a text that looks like a secret at every place, and many secrets that end alike.
#[test]
fn p26_the_search_takes_time_that_grows_with_the_record_alone() {
    let alike = |n: usize| format!("{n:04}-{}", "a".repeat(40));
    let many: Vec<_> = (0..500).map(alike).collect();
    let (few, many) = (&many[..5], &many);
    let record = |length: usize| "the quick brown fox, upstream=x ".repeat(length / 32);
    let time = |secrets: &[String], record: &str| {
        let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
        let sieve = sieve(&secrets);
        let run = || {
            let began = Instant::now();
            assert!(!sieve.finds_in(record.as_bytes()));
            began.elapsed()
        };
        (0..5).map(|_| run()).min().expect("five runs")
    };
    let (short, long) = (record(64 << 10), record(512 << 10));
    // Eight times the record; a quadratic search would take sixty-four times as long.
    let (one, eight) = (time(few, &short), time(few, &long));
    assert!(eight < 24 * one, "{one:?} {eight:?}");
    let (few, many) = (time(few, &long), time(many, &long));
    assert!(many < 8 * few, "{few:?} {many:?}");
}

proptest! {
    #[test]
    fn p26_any_secret_is_found_in_any_form(
        secret in "\\PC{8,40}",
        (before, after) in ("[ a-z=:,]{0,9}", "[ a-z=:,]{0,9}"),
    ) {
        let sieve = sieve(&[&secret]);
        for (way, form) in written(&secret) {
            let record = format!("{before}{form}{after}");
            prop_assert!(sieve.finds_in(record.as_bytes()), "{:?} {}: {}", secret, way, record);
        }
    }

    /// Not a letter of the secret stands in it, below any layer, nor digits that could spell it.
    #[test]
    fn p26_a_record_without_it_passes(secret in "[A-Z]{8,40}", record in "[ghijk %\\\\+n]{0,200}") {
        prop_assert!(!sieve(&[&secret]).finds_in(record.as_bytes()));
    }
}
