use super::*;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect("a good pointer")
}

fn shape() -> AnswerShape {
    AnswerShape {
        success: Some((pointer("/code"), vec!["0".into()])),
        access_token: pointer("/data/access_token"),
        refresh_token: Some(pointer("/data/refresh_token")),
        expires_in: Some(pointer("/data/expires_in")),
        default_life: Duration::from_secs(600),
        refresh_expires_in: None,
        refresh_token_life: None,
        error: vec![pointer("/code"), pointer("/msg")],
    }
}

fn said(secret: &str) -> TokenRequest {
    TokenRequest {
        method: Method::POST,
        path: "/token".into(),
        encoding: Encoding::Json,
        fields: [("refresh_token".to_owned(), Secret::new(secret))].into(),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn answer(body: &str) -> Result<Grant, Denied> {
    read(&shape(), StatusCode::OK, body.as_bytes(), now(), &said("old-refresh-token"))
}

fn life(expires_in: &str) -> Result<u64, Denied> {
    let body = format!(r#"{{"code":0,"data":{{"access_token":"a","expires_in":{expires_in}}}}}"#);
    let grant = answer(&body)?;
    Ok(grant.expires_at.duration_since(now()).expect("a later end").as_secs())
}

#[test]
fn p12_a_life_is_seconds_or_an_epoch() {
    assert_eq!(life("4511").expect("seconds"), 4511);
    assert_eq!(life("\"4511\"").expect("seconds as text"), 4511);
    assert_eq!(life("7778159").expect("ninety days"), 7_778_159);
    assert_eq!(life("1790003600").expect("an epoch"), 3600);
    assert_eq!(life("1790003600000").expect("an epoch in milliseconds"), 3600);
    assert_eq!(life("null").expect("no life"), 600);
}

#[test]
fn p15_a_life_that_is_none_does_not_cost_the_pair() {
    for bad in ["0", "-5", "\"soon\"", "1e300", "1000000001", "{}"] {
        assert_eq!(life(bad).expect("the default life"), 600, "{bad}");
    }
}

#[test]
fn p18_the_refresh_tokens_life_is_what_the_answer_says_or_else_the_description() {
    let shape = AnswerShape {
        refresh_expires_in: Some(pointer("/data/refresh_expires_in")),
        refresh_token_life: Some(Duration::from_secs(86_400)),
        ..shape()
    };
    let life = |told: &str| {
        let body = format!(r#"{{"code":0,"data":{{"access_token":"a"{told}}}}}"#);
        let grant =
            read(&shape, StatusCode::OK, body.as_bytes(), now(), &said("old-refresh-token"));
        let end = grant.expect("a grant").refresh_expires_at.expect("an end");
        end.duration_since(now()).expect("a later end").as_secs()
    };
    assert_eq!(life(r#","refresh_expires_in":2592000"#), 2_592_000);
    assert_eq!(life(r#","refresh_expires_in":"1790007200""#), 7200);
    for nothing in ["", r#","refresh_expires_in":0"#, r#","refresh_expires_in":"never""#] {
        assert_eq!(life(nothing), 86_400, "{nothing}");
    }
}

#[test]
fn p15_a_byte_order_mark_or_a_garbled_message_does_not_cost_the_pair() {
    let body = b"\xef\xbb\xbf{\"code\":0,\"msg\":\"\xb3\xc9\",\"data\":{\"access_token\":\"a\"}}";
    let grant = read(&shape(), StatusCode::OK, body, now(), &said("old-refresh-token"));
    assert_eq!(grant.expect("a grant").access_token.expose(), "a");
}

#[test]
fn p26_a_credential_that_begins_with_another_or_comes_back_encoded_is_not_repeated() {
    let fields = [("id", "app-123"), ("secret", "app-123-s3cr3t"), ("token", "r/e+f=resh")];
    let said = TokenRequest {
        fields: fields.map(|(name, value)| (name.to_owned(), Secret::new(value))).into(),
        ..said("")
    };
    for (echo, part) in [
        ("bad secret app-123-s3cr3t", "s3cr3t"),
        ("bad query ?token=r%2Fe%2Bf%3Dresh&x=1", "resh&"),
        ("bad query ?token=r%2fe%2bf%3dresh&x=1", "resh&"),
    ] {
        let body = format!(r#"{{"code":1,"msg":"{echo}"}}"#);
        let denied = read(&shape(), StatusCode::OK, body.as_bytes(), now(), &said);
        let Err(Denied::Refused(text)) = denied else { panic!("{denied:?}") };
        assert!(!text.contains(part), "{text}");
    }
}

#[test]
fn p14_a_refusal_is_told_from_trouble_and_from_nonsense() {
    let refused = answer(r#"{"code":40001,"msg":"refresh_token old-refresh-token is spent"}"#);
    let Err(Denied::Refused(text)) = refused else { panic!("{refused:?}") };
    assert_eq!(text, "HTTP 200 OK, 40001, refresh_token *** is spent");

    assert!(matches!(answer("<html>"), Err(Denied::Malformed(_))));
    assert!(matches!(answer("{}"), Err(Denied::Malformed(_))));
    assert!(matches!(answer(r#"{"code":0,"data":null}"#), Err(Denied::Malformed(_))));
    for status in [StatusCode::BAD_GATEWAY, StatusCode::TOO_MANY_REQUESTS] {
        let trouble = read(&shape(), status, b"{\"code\":1,\"msg\":\"busy\"}", now(), &said("x"));
        assert!(matches!(trouble, Err(Denied::Unreachable(_))), "{trouble:?}");
    }
    let unauthorized =
        read(&shape(), StatusCode::UNAUTHORIZED, b"{\"code\":1,\"msg\":\"no\"}", now(), &said("x"));
    assert!(matches!(unauthorized, Err(Denied::Refused(_))), "{unauthorized:?}");
}

#[test]
fn p15_a_new_refresh_token_is_taken_and_a_missing_one_is_not_invented() {
    let both = answer(r#"{"code":0,"data":{"access_token":"a","refresh_token":"r"}}"#);
    let both = both.expect("a grant");
    assert_eq!(both.refresh_token.expect("a new one").expose(), "r");
    for none in [r#""refresh_token":"""#, r#""refresh_token":null"#, r#""x":1"#] {
        let body = format!(r#"{{"code":0,"data":{{"access_token":"a",{none}}}}}"#);
        assert!(answer(&body).expect("a grant").refresh_token.is_none(), "{none}");
    }
}

#[test]
fn p26_a_long_message_is_cut_and_holds_no_secret() {
    let body = format!(r#"{{"code":1,"msg":"{}old-refresh-token"}}"#, "长".repeat(190));
    let Err(Denied::Refused(text)) = answer(&body) else { panic!("not refused") };
    assert!(!text.contains("old-ref") && text.chars().count() < 230, "{text}");
}
