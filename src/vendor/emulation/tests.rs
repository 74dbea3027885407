use proptest::prelude::*;
use serde_json::json;

use super::*;

fn form(body: Value) -> Result<Form, Vec<FormError>> {
    let Value::Object(body) = body else { panic!("{body} is no object") };
    Form::new(body)
}

fn filling() -> Filling {
    Filling {
        expires_in: Duration::from_millis(4_511_900),
        now: SystemTime::UNIX_EPOCH + Duration::from_millis(1_722_583_035_263),
        request_id: "00ff".to_owned(),
    }
}

#[test]
fn p24_numbers_stand_alone_and_texts_are_filled_in() {
    let form = form(json!({
        "code": 0, "share": 0.5, "more": true,
        "data": {
            "access_token": "{access_token}", "refresh_token": "{refresh_token}",
            "expires_in": "{expires_in}", "until": "{expires_at}",
        },
        "at": ["{now_seconds}", "{now_millis}", "at {now_seconds}"],
        "id": "id-{request_id}", "braces": "{{expires_in}}",
    }));
    let expected = json!({
        "code": 0, "share": 0.5, "more": true,
        "data": {
            "access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN,
            "expires_in": 4511, "until": 1_722_587_547,
        },
        "at": [1_722_583_035, 1_722_583_035_263u64, "at 1722583035"],
        "id": "id-00ff", "braces": "{expires_in}",
    });
    assert_eq!(form.expect("a form").fill(&filling()), expected);
}

#[test]
fn p24_mistakes_are_found_wherever_they_stand() {
    let body = json!({ "a": "{token}", "b": [1, { "c": "}" }], "d": "{client_secret}", "e": null });
    let errors = form(body).expect_err("four mistakes");
    let places: Vec<_> = errors.iter().map(|error| error.path.join(".")).collect();
    assert_eq!(places, ["a", "b.1.c", "d", "e"]);
    assert!(errors[0].message.contains("unknown placeholder `{token}`; known here: access_token"));
}

#[test]
fn p24_placeholders_tell_what_they_are_and_are_recognised() {
    for text in [ACCESS_TOKEN, REFRESH_TOKEN, "Bearer tokenward-placeholder-not-a-token"] {
        assert!(holds_placeholder(text.as_bytes()), "{text}");
    }
    assert!(!holds_placeholder(b"tokenward-placeholder"));
    assert!(http::HeaderValue::from_static(ACCESS_TOKEN).to_str().is_ok());
}

#[test]
fn p24_a_call_is_known_by_its_exact_path_and_method() {
    let call = TokenCall {
        method: Method::POST,
        path: "/oauth2/token".to_owned(),
        answer: form(json!({})).expect("a form"),
        default_life: Duration::from_secs(3600),
    };
    assert!(call.is(&Method::POST, "/oauth2/token"));
    let odd = "/oauth2/token/ //oauth2/token /OAUTH2/token /oauth2/%74oken /oauth2/token; /x/../oauth2/token";
    for path in odd.split(' ') {
        assert!(!call.is(&Method::POST, path), "{path}");
    }
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
        assert!(!call.is(&method, "/oauth2/token"), "{method}");
    }
    let call = TokenCall { method: Method::GET, ..call }.below("/mock/v9");
    assert!(call.is(&Method::GET, "/mock/v9/oauth2/token"));
    assert!(call.is(&Method::HEAD, "/mock/v9/oauth2/token"));
    assert!(!call.is(&Method::GET, "/oauth2/token") && !call.is(&Method::POST, &call.path));
}

/// Bodies of all kinds, with texts that may be templates or what looks like them.
fn any_body() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>().prop_map(|text| text.replace('{', "{{").replace('}', "}}")),
        proptest::sample::select(KNOWN.to_vec()).prop_map(|name| format!("{{{name}}}")),
        (any::<char>(), proptest::sample::select(KNOWN.to_vec()))
            .prop_filter("a brace of its own", |(before, _)| !"{}".contains(*before))
            .prop_map(|(before, name)| format!("{before}\"{{{name}}}\n")),
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::hash_map(any::<String>(), inner, 0..8)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// The same, with every leaf's kind in its place, and numbers for the texts that become some.
fn outline(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), outline(value))).collect()
        }
        Value::Array(items) => items.iter().map(outline).collect(),
        Value::String(text) => {
            let is_number = Quantity::ALL.iter().any(|(name, _)| *text == format!("{{{name}}}"));
            Value::from(if is_number { "number" } else { "text" })
        }
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "flag".into(),
        Value::Null => "null".into(),
    }
}

proptest! {
    #[test]
    fn p24_whatever_the_body_the_answer_is_json_of_the_same_form(
        body in any_body(),
        life in 0u64..u64::MAX / 2,
        id in any::<String>(),
    ) {
        let form = form(body.clone()).expect("a form");
        let filling =
            Filling { expires_in: Duration::from_secs(life), request_id: id, ..filling() };
        let text = form.fill(&filling).to_string();
        let read: Value = serde_json::from_str(&text).expect("JSON");
        // What was no template is what it was, and what was one has become a number or a text.
        prop_assert_eq!(outline(&read), outline(&body));
    }

    #[test]
    fn p24_whatever_is_written_it_is_a_form_or_named_mistakes(text in "\\PC{0,40}") {
        if let Err(errors) = form(json!({ "a": [text.clone()] })) {
            prop_assert_eq!(errors.len(), 1);
            prop_assert_eq!(&errors[0].path, &["a", "0"]);
        }
    }
}
