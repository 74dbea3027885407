use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// What became of each pointer, in owned form; `None` is gone or never settled.
fn scan(pointers: &Pointers, slices: &[&[u8]]) -> Vec<Option<Value<'static>>> {
    let mut scanner = Scanner::new(pointers, pointers.all());
    let mut found = vec![None; pointers.all().count_ones() as usize];
    let mut told: PointerSet = 0;
    for slice in slices {
        let mut input = *slice;
        while let Some(event) = scanner.next(&mut input) {
            let settled = match event {
                Event::Found { pointer, value } => {
                    found[pointer] = Some(value.into_owned());
                    1 << pointer
                }
                Event::Gone(set) => set,
            };
            assert_eq!(told & settled, 0, "a pointer is settled once");
            told |= settled;
        }
    }
    assert_eq!(told, pointers.all() & !scanner.pending());
    found
}

/// The value as the scanner should tell it.
fn expected(value: &Json) -> Value<'static> {
    match value {
        Json::String(text) => Value::Text(text.clone().into()),
        Json::Number(number) => Value::Number(number.to_string().into()),
        Json::Bool(value) => Value::Bool(*value),
        Json::Null => Value::Null,
        Json::Array(_) | Json::Object(_) => Value::Container,
    }
}

fn pointers(list: &[&str]) -> Pointers {
    let mut pointers = Pointers::default();
    for pointer in list {
        pointers.add(pointer).unwrap();
    }
    pointers
}

fn look(list: &[&str], document: &str) -> Vec<Option<Value<'static>>> {
    scan(&pointers(list), &[document.as_bytes()])
}

fn text(text: &str) -> Option<Value<'static>> {
    Some(Value::Text(text.to_owned().into()))
}

fn number(text: &str) -> Option<Value<'static>> {
    Some(Value::Number(text.to_owned().into()))
}

#[test]
fn finds_members_elements_and_escaped_keys() {
    let document = r#" {"a~b/c": 1e3, "list": [[], {"x": true}], "n": null, "deep": {"s": "\"\u00e9\ud83d\ude00"}} "#;
    assert_eq!(
        look(
            &["/a~0b~1c", "/list/1/x", "/list", "/n", "/deep/s", "/list/01/x", "/list/2"],
            document
        ),
        [
            number("1e3"),
            Some(Value::Bool(true)),
            Some(Value::Container),
            Some(Value::Null),
            text("\"é😀"),
            None,
            None
        ]
    );
}

#[test]
fn p07_an_inner_member_of_the_same_name_does_not_count() {
    let document = r#"{"data":{"code":1,"failure":[{"code":2}]},"list":[{"code":3}],"code":0}"#;
    assert_eq!(look(&["/code"], document), [number("0")]);
    assert_eq!(look(&["/code"], r#"{"data":{"code":1}}"#), [None]);
}

#[test]
fn of_a_repeated_key_the_first_counts() {
    assert_eq!(look(&["/code"], r#"{"code":1,"code":2}"#), [number("1")]);
    assert_eq!(look(&["/a/b"], r#"{"a":1,"a":{"b":2}}"#), [None]);
}

#[test]
fn settles_at_the_earliest_byte() {
    let pointers = pointers(&["/code", "/error/code"]);
    let mut scanner = Scanner::new(&pointers, pointers.all());
    let mut input = br#"{"error":"#.as_slice();
    assert_eq!(scanner.next(&mut input), None);
    let mut input = b"\"".as_slice();
    assert_eq!(scanner.next(&mut input), Some(Event::Gone(0b10)));
    let mut input = br#"","code":4"#.as_slice();
    assert_eq!(scanner.next(&mut input), None);
    let mut input = b"01 ".as_slice();
    let found = Event::Found { pointer: 0, value: Value::Number("401".into()) };
    assert_eq!(scanner.next(&mut input), Some(found));
    assert_eq!(input, b" ");
    assert_eq!(scanner.pending(), 0);
}

#[test]
fn what_is_no_json_is_gone_at_its_first_byte() {
    let pointers = pointers(&["/code"]);
    for document in ["<html>", "token expired", "\"code\"", "1", ")]}'", "\u{feff}x"] {
        let mut scanner = Scanner::new(&pointers, pointers.all());
        let mut input = document.as_bytes();
        assert_eq!(scanner.next(&mut input), Some(Event::Gone(1)), "{document}");
    }
}

#[test]
fn a_byte_order_mark_and_blanks_may_lead() {
    assert_eq!(look(&["/code"], "\u{feff}\r\n\t {\"code\":1}"), [number("1")]);
}

#[test]
fn a_malformed_document_ends_the_scan() {
    for document in [
        r#"{"a":1 "code":2}"#,
        r#"{"a":1,}"#,
        r#"{"a":1],"code":2}"#,
        r#"{"a" 1,"code":2}"#,
        r#"{"code":nul}"#,
        r#"{"code":"\x"}"#,
        r#"{"code":"\u12g4"}"#,
        r#"{code:1}"#,
        r#"{"a":,"code":2}"#,
    ] {
        let pointers = pointers(&["/code"]);
        let mut scanner = Scanner::new(&pointers, pointers.all());
        let mut input = document.as_bytes();
        assert_eq!(scanner.next(&mut input), Some(Event::Gone(1)), "{document}");
    }
}

#[test]
fn a_truncated_value_is_not_found() {
    for document in [r#"{"code":40"#, r#"{"code":"40"#, r#"{"code":tru"#, r#"{"code":"\u00e"#] {
        assert_eq!(look(&["/code"], document), [None], "{document}");
    }
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let long = format!("a{}", "é".repeat(MAX_TEXT));
    let kept = &long[..MAX_TEXT - 1];
    assert_eq!(look(&["/m"], &json!({ "m": long }).to_string()), [text(kept)]);
    let escaped = format!(r#"{{"m":"a{}"}}"#, r"\u00e9".repeat(MAX_TEXT));
    assert_eq!(look(&["/m"], &escaped), [text(kept)]);
}

#[test]
fn lone_surrogates_and_bad_utf8_are_replaced() {
    assert_eq!(
        look(&["/m"], r#"{"m":"\ud83dx\ude00\ud83d\ud83d\ude00\ud83d"}"#),
        [text("\u{fffd}x\u{fffd}\u{fffd}😀\u{fffd}")]
    );
    let pointers = pointers(&["/m"]);
    assert_eq!(scan(&pointers, &[b"{\"m\":\"a\xffb\"}"]), [text("a\u{fffd}b")]);
}

#[test]
fn deep_nesting_is_only_counted() {
    let depth = 1_000_000;
    let document = format!("{{\"x\":{}{},\"code\":1}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(look(&["/code"], &document), [number("1")]);
}

#[test]
fn bad_pointers_are_refused() {
    let mut pointers = Pointers::default();
    assert_eq!(pointers.add("code"), Err(PointerError::NoSlash));
    assert_eq!(pointers.add(""), Err(PointerError::NoSlash));
    assert_eq!(pointers.add("/a~2"), Err(PointerError::BadEscape));
    assert_eq!(pointers.add("/a~"), Err(PointerError::BadEscape));
    assert_eq!(pointers.add("/1/2/3/4/5/6/7/8/9"), Err(PointerError::TooDeep));
    assert_eq!(pointers.add(&format!("/{}", "x".repeat(257))), Err(PointerError::StepTooLong));
    for n in 0..MAX_POINTERS {
        assert_eq!(pointers.add(&format!("/{n}")), Ok(n));
    }
    assert_eq!(pointers.add("/0"), Ok(0));
    assert_eq!(pointers.add("/32"), Err(PointerError::TooMany));
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "a", "b", "code", "0", "1", "", "a/b", "m~n", "é", "\"", "\\"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            proptest::collection::vec((any_key(), inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// Every pointer into `value`, and some that lead astray.
fn all_pointers(value: &Json, at: &str, into: &mut Vec<String>) {
    let member = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                into.push(member(key));
                all_pointers(value, &member(key), into);
            }
        }
        Json::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                into.push(member(&index.to_string()));
                all_pointers(value, &member(&index.to_string()), into);
            }
            into.push(format!("{at}/{}", elements.len()));
        }
        _ => into.push(format!("{at}/code")),
    }
    into.push(format!("{at}/absent"));
}

/// The same document written with as many escapes as there can be.
fn escaped(document: &str) -> String {
    let mut out = String::new();
    for char in document.chars() {
        if char.is_ascii() {
            out.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn split<'a>(document: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(document.len() + 1)).collect();
    cuts.sort_unstable();
    let mut slices = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([document.len()]) {
        slices.push(&document[from..cut]);
        from = cut;
    }
    slices
}

proptest! {
    #[test]
    fn p07_any_document_in_any_slices_is_read_as_serde_json_reads_it(
        value in any_json(),
        style in 0..3,
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let document = match style {
            0 => value.to_string(),
            1 => serde_json::to_string_pretty(&value).unwrap(),
            _ => escaped(&value.to_string()),
        };
        let mut known = Vec::new();
        all_pointers(&value, "", &mut known);
        let mut pointers = Pointers::default();
        let mut expected = Vec::new();
        for pick in picks {
            let pointer = pick.get(&known);
            if pointers.add(pointer) == Ok(expected.len()) {
                expected.push(value.pointer(pointer).filter(|_| value.is_object() || value.is_array()).map(super::tests::expected));
            }
        }
        let document = document.as_bytes();
        prop_assert_eq!(&scan(&pointers, &[document]), &expected);
        prop_assert_eq!(&scan(&pointers, &split(document, &cuts)), &expected);
        let bytes: Vec<_> = document.chunks(1).collect();
        prop_assert_eq!(&scan(&pointers, &bytes), &expected);
    }

    #[test]
    fn any_bytes_in_any_slices_give_the_same_and_never_panic(
        bytes in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(br#"{}[]":,\u0deatrfnsl1.- "#.to_vec()),
                any::<u8>(),
            ],
            0..200,
        ),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let pointers = pointers(&["/0", "/1/0", "/a", "/a/d", "//0", "/e/", "/u/u"]);
        let whole = scan(&pointers, &[&bytes]);
        prop_assert_eq!(&scan(&pointers, &split(&bytes, &cuts)), &whole);
        let mut object = b"{\"a\":".to_vec();
        object.extend_from_slice(&bytes);
        scan(&pointers, &[&object]);
    }
}
