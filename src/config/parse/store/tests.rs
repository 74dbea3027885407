use std::fmt::Write as _;

use crate::config::{Config, parse};
use crate::document::Document;

const ADS: &str = "[upstream.ads]
vendor = \"aiclk\"
listen = \"127.0.0.1:8082\"
credentials.client_id = \"c\"
";
const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
/// Digits only: as a variable, it could be taken for a number.
const DIGITS: &str = "1234567890123456789012345678901234567890123456789012345678901234";

fn parse(key: &str, vars: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), format!("{BASE64}\n")).expect("written");
    std::fs::write(folder.path().join("short"), "hidden-in-a-file").expect("written");
    let mut text = String::new();
    if !key.is_empty() {
        writeln!(text, "[store]\nencryption_key = {key}").expect("a text takes anything");
    }
    let (mut document, mut report) = Document::parse("tokenward.toml", text + ADS);
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    document.overlay("TOKENWARD__", vars);
    match parse::config(&document, folder.path(), &mut report) {
        Some(config) => Ok(config),
        None => Err(report.to_string()),
    }
}

fn ids(key: &str, vars: &[(&str, &str)]) -> Vec<String> {
    let config = parse(key, vars).unwrap_or_else(|report| panic!("{report}"));
    config.store.keys.iter().map(|key| key.id().to_string()).collect()
}

#[test]
fn p26_the_stores_key_is_one_secret_or_a_list() {
    let (hex, base64) = (ids(&format!("{HEX:?}"), &[]), ids("{ file = \"key\" }", &[]));
    assert_eq!((hex.len(), base64.len()), (1, 1));
    assert_ne!(hex, base64);
    let both = ids(&format!("[{{ file = \"key\" }}, {HEX:?}]"), &[]);
    assert_eq!(both, [base64.clone(), hex.clone()].concat(), "the first seals");
    assert_eq!(ids("", &[]), [""; 0]);

    let name = "TOKENWARD__STORE__ENCRYPTION_KEY";
    assert_eq!(ids("", &[(name, HEX)]), hex);
    assert_eq!(ids(&format!("{HEX:?}"), &[(name, DIGITS)]).len(), 1);
    assert_eq!(ids("", &[(&format!("{name}__FILE"), "key")]), base64);
    let listed = format!("{name}__0");
    assert_eq!(ids("[\"\"]", &[(&listed, HEX)]), hex);
}

#[test]
fn p32_what_is_no_key_is_a_mistake_in_its_place() {
    for (key, place, problem) in [
        ("\"hidden-too-short\"".to_owned(), "2:18", "32 bytes in hex"),
        ("{ file = \"short\" }".to_owned(), "2:1", "`openssl rand -hex 32`"),
        ("{ file = \"none\" }".to_owned(), "2:1", "none cannot be read"),
        ("{ env = \"UNSET_IN_TESTS\" }".to_owned(), "2:1", "UNSET_IN_TESTS is not set"),
        (format!("\"{}\"", "5a".repeat(32)), "2:18", "all bytes of this key are the same"),
        (format!("[{HEX:?}, \"hidden-too-short\"]"), "2:87", "32 bytes in hex"),
        (format!("[{HEX:?}, \"{}\"]", HEX.to_uppercase()), "2:87", "is in the list already"),
        ("[]".to_owned(), "2:1", "a list without a key"),
        ("5".to_owned(), "2:18", "a whole number"),
        (format!("[{HEX:?}, 7]"), "2:87", "a whole number"),
        (format!("[[{HEX:?}]]"), "2:19", "an array"),
        ("{ flie = \"hidden-too-short\" }".to_owned(), "2:20", "unknown key `flie`"),
    ] {
        let shown = parse(&key, &[]).map(|_| ()).expect_err(&key);
        let place = format!("tokenward.toml:{place}: ");
        assert!(shown.starts_with(&place) && shown.contains(problem), "{problem}: {shown}");
        assert!(shown.ends_with("\n1 mistake\n") || shown.ends_with("\n1 mistake"), "{shown}");
        for secret in ["hidden", &HEX[..8], &HEX.to_uppercase()[..8], "5a5a"] {
            assert!(!shown.contains(secret), "{secret} is shown:\n{shown}");
        }
    }
}

#[test]
fn p26_no_form_of_a_key_is_shown_beside_another_mistake() {
    let keys = format!("[{HEX:?}, {BASE64:?}]\nlease = \"hour\"\nencryption_kye = {DIGITS:?}");
    let shown = parse(&keys, &[("TOKENWARD__STORE__ENCRYPTION_KEY__0", &HEX[1..])]);
    let shown = shown.map(|_| ()).expect_err("mistakes");
    for secret in [&HEX[1..9], &BASE64[..8], &DIGITS[..8]] {
        assert!(!shown.contains(secret), "{secret} is shown:\n{shown}");
    }
    let config = parse(&format!("[{HEX:?}, {BASE64:?}]"), &[]).expect("good");
    let shown = format!("{config:?}");
    assert!(!shown.contains(&HEX[..8]) && !shown.contains("[0, 1, 2"), "{shown}");
}
