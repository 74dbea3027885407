use http::HeaderValue;
use http::header::CONTENT_TYPE;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rule(toml: &str) -> Rule {
    Rule::new(toml::from_str(toml).unwrap()).unwrap()
}

fn rules(list: &[&str]) -> Rules {
    Rules::new(list.iter().map(|toml| rule(toml)).collect()).unwrap()
}

/// The default rules, as vendors' descriptions have them.
pub(super) fn default_rules() -> Rules {
    rules(&[
        r#"name = "status"
           status = [401]
           verdict = "expired""#,
        r#"name = "says"
           pointer = "/code"
           not_in = [0, 200]
           text = ["/msg", "/message"]
           says = "token_dead"
           verdict = "expired""#,
        r#"name = "busy"
           pointer = "/code"
           in = [429, "busy"]
           verdict = "rate_limited""#,
    ])
}

pub(super) fn headers(content_type: &str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())])
}

pub(super) fn json_headers() -> HeaderMap {
    headers("application/json; charset=utf-8")
}

/// The verdict on a whole answer, and how many bytes of the body it took.
fn look(rules: &Rules, status: u16, headers: &HeaderMap, body: &[u8]) -> (Option<usize>, usize) {
    let status = StatusCode::from_u16(status).unwrap();
    let mut look = match rules.look(status, headers) {
        Look::Decided(rule) => return (rule.map(RuleIndex::place), 0),
        Look::Body(look) => look,
    };
    for (read, byte) in body.iter().enumerate() {
        if let Progress::Decided(rule) = look.feed(std::slice::from_ref(byte)) {
            assert_eq!(look.feed(b"more"), Progress::Decided(rule));
            assert_eq!(look.finish(), rule);
            return (rule.map(RuleIndex::place), read + 1);
        }
    }
    (look.finish().map(RuleIndex::place), body.len())
}

fn verdict(rules: &Rules, body: &str) -> Option<usize> {
    look(rules, 200, &json_headers(), body.as_bytes()).0
}

#[test]
fn p07_a_status_is_decided_by_the_head() {
    let rules = default_rules();
    assert_eq!(look(&rules, 401, &json_headers(), b"{}"), (Some(0), 0));
    assert_eq!(look(&rules, 401, &headers("text/event-stream"), b""), (Some(0), 0));
}

#[test]
fn p07_rules_apply_inside_http_200() {
    let rules = default_rules();
    assert_eq!(verdict(&rules, r#"{"code":40102,"msg":"access_token expired"}"#), Some(1));
    assert_eq!(verdict(&rules, r#"{"msg":"access_token expired","code":40102}"#), Some(1));
    assert_eq!(
        verdict(&rules, r#"{"message":"access_token expired","msg":"no","code":1}"#),
        Some(1)
    );
    assert_eq!(verdict(&rules, r#"{"code":"429"}"#), Some(2));
    assert_eq!(verdict(&rules, r#"{"code":"busy","msg":"later"}"#), Some(2));
}

#[test]
fn p07_what_is_no_rejection_matches_nothing() {
    let rules = default_rules();
    for body in [
        r#"{"code":0,"msg":"access_token expired"}"#,
        r#"{"code":400,"data":null,"message":"balance too low","trace_id":"x"}"#,
        r#"{"msg":"access_token expired"}"#,
        r#"{"code":null,"msg":"access_token expired"}"#,
        r#"{"code":{},"msg":"access_token expired"}"#,
        r#"{"code":0,"msg":"ok","data":{"failure":[{"code":1,"msg":"access_token expired"}]}}"#,
        r#"[{"code":1,"msg":"access_token expired"}]"#,
        "access_token expired",
        "<html>access_token expired</html>",
        "",
    ] {
        assert_eq!(verdict(&rules, body), None, "{body}");
    }
}

#[test]
fn p07_the_look_stops_at_the_deciding_byte() {
    let rules = default_rules();
    let read = |body: &str| look(&rules, 200, &json_headers(), body.as_bytes()).1;
    let deciding = |body: &str| read(&body.replace('|', "")) == body.find('|').unwrap();
    assert!(deciding(r#"{"request_id":"x","code":0,|"msg":"success"}"#));
    assert!(deciding(r#"{"code":40102,"msg":"access_token expired"|,"data":{}}"#));
    assert!(deciding(r#"{"code":40102,"msg":"no","message":"no"|,"data":{}}"#));
    assert!(deciding(r#"<|html>"#));
}

#[test]
fn p07_a_code_after_40_kib_of_data_is_seen() {
    let rules = default_rules();
    let data = "x".repeat(40 << 10);
    let body =
        format!(r#"{{"data":["{data}",{{"code":0}}],"code":1,"msg":"access_token expired"}}"#);
    assert_eq!(verdict(&rules, &body), Some(1));
}

#[test]
fn p07_mislabelled_json_is_looked_into_and_streams_are_not() {
    let rules = default_rules();
    let body = br#"{"code":1,"msg":"access_token expired"}"#;
    for looked_into in [
        "application/json",
        "application/problem+json",
        "text/html; charset=utf-8",
        "text/plain",
        "text/json",
        "application/javascript",
        "text/javascript",
        "APPLICATION/JSON",
        "nonsense",
        "",
    ] {
        assert_eq!(look(&rules, 200, &headers(looked_into), body).0, Some(1), "{looked_into}");
    }
    assert_eq!(look(&rules, 200, &HeaderMap::new(), body).0, Some(1));
    for never in [
        "text/event-stream",
        "application/x-ndjson",
        "application/ndjson",
        "multipart/mixed; boundary=x",
        "image/png",
        "audio/mpeg",
        "video/mp4",
        "font/woff2",
        "application/octet-stream",
        "application/pdf",
        "application/zip",
        "application/x-gzip",
        "Application/Octet-Stream",
        "Text/Event-Stream;charset=utf-8",
    ] {
        assert_eq!(look(&rules, 200, &headers(never), body), (None, 0), "{never}");
    }
}

#[test]
fn the_first_rule_that_matches_wins() {
    let rules = rules(&[
        "pointer = '/b'\nin = [1]\nverdict = 'expired'",
        "pointer = '/a'\nin = [1]\nverdict = 'rate_limited'",
        "status = [200]\nverdict = 'expired'",
    ]);
    assert_eq!(verdict(&rules, r#"{"a":1,"b":1}"#), Some(0));
    assert_eq!(verdict(&rules, r#"{"b":2,"a":1}"#), Some(1));
    assert_eq!(verdict(&rules, r#"{"a":1}"#), Some(1));
    assert_eq!(verdict(&rules, r#"{}"#), Some(2));
    assert_eq!(verdict(&rules, "<html>"), Some(2));
    assert_eq!(look(&rules, 200, &headers("image/png"), b""), (Some(2), 0));
    // Undecided counts as no match, so a later rule that holds gives the verdict.
    assert_eq!(verdict(&rules, r#"{"a":1"#), Some(2));
    assert_eq!(verdict(&rules, r#"{"a":1,"#), Some(1));
}

#[test]
fn p07_numbers_and_strings_that_read_the_same_are_the_same() {
    let rules = rules(&["pointer = '/code'\nin = [40102, 'dead', true, 1.5]\nverdict = 'expired'"]);
    for value in
        ["40102", r#""40102""#, "40102.0", "4.0102e4", r#""dead""#, "true", r#""true""#, "1.5"]
    {
        assert_eq!(verdict(&rules, &format!("{{\"code\":{value}}}")), Some(0), "{value}");
    }
    for value in
        ["40103", "401020", r#""DEAD""#, "false", "null", "[40102]", "1.50001", "1e999", "-"]
    {
        assert_eq!(verdict(&rules, &format!("{{\"code\":{value}}}")), None, "{value}");
    }
}

#[test]
fn all_conditions_must_hold() {
    let rules = rules(&[r#"
        status = [200, 400]
        content_type = "application/json"
        pointer = "/error/code"
        in = [1, 2]
        not_in = [2]
        text = "/error/text"
        pattern = "^(?i)denied\\b"
        verdict = "expired""#]);
    let body = br#"{"error":{"code":1,"text":"Denied."}}"#;
    assert_eq!(look(&rules, 400, &json_headers(), body).0, Some(0));
    assert_eq!(look(&rules, 403, &json_headers(), body), (None, 0));
    assert_eq!(look(&rules, 200, &headers("text/html"), body), (None, 0));
    assert_eq!(look(&rules, 200, &HeaderMap::new(), body), (None, 0));
    assert_eq!(verdict(&rules, r#"{"error":{"code":2,"text":"denied"}}"#), None);
    assert_eq!(verdict(&rules, r#"{"error":{"code":1,"text":"not denied"}}"#), None);
    assert_eq!(verdict(&rules, r#"{"error":"denied"}"#), None);
}

#[test]
fn rules_get_names_from_their_places() {
    let rules = rules(&[
        "status = [401]\nverdict = 'expired'",
        "name = 'mine'\nstatus = [429]\nverdict = 'rate_limited'",
    ]);
    let named: Vec<_> = rules.iter().map(|(_, rule)| (rule.name(), rule.verdict())).collect();
    assert_eq!(named, [("rule-1", Verdict::Expired), ("mine", Verdict::RateLimited)]);
    let second = rules.iter().nth(1).unwrap().0;
    assert_eq!(rules.get(second).name(), "mine");
}

#[test]
fn p07_rules_and_pointers_are_bounded() {
    let one = rule("status = [401]\nverdict = 'expired'");
    assert!(Rules::new(vec![one.clone(); 32]).is_ok());
    assert_eq!(Rules::new(vec![one; 33]).unwrap_err(), RulesError::TooManyRules);
    let texts = |from| (from..from + 17).map(|n| format!("'/{n}'")).collect::<Vec<_>>().join(",");
    let wide =
        |from| rule(&format!("text = [{}]\npattern = 'x'\nverdict = 'expired'", texts(from)));
    assert_eq!(
        Rules::new(vec![wide(0), wide(17)]).unwrap_err(),
        RulesError::Pointers { rule: 1, source: PointerError::TooMany }
    );
}

#[test]
fn sample_answers_can_be_tried_on_rules() {
    let rules = default_rules();
    let matches = |status: StatusCode, content_type, body| {
        rules.matches(status, content_type, &body).map(RuleIndex::place)
    };
    let json = Some("application/json; charset=utf-8");
    assert_eq!(matches(StatusCode::UNAUTHORIZED, json, json!(null)), Some(0));
    assert_eq!(matches(StatusCode::OK, json, json!({"code": 0, "msg": "token expired"})), None);
    assert_eq!(matches(StatusCode::OK, json, json!({"code": 1, "msg": "token expired"})), Some(1));
    assert_eq!(matches(StatusCode::OK, Some("image/png"), json!({"code": 429})), None);
    assert_eq!(matches(StatusCode::OK, None, json!({"code": 429.0})), Some(2));
}

proptest! {
    #[test]
    fn the_look_the_sample_and_the_explanation_agree(
        code in prop_oneof![Just("0"), Just("1"), Just("429"), Just("null"), Just("\"busy\""), Just("{}")],
        msg in prop_oneof![Just("\"success\""), Just("\"token expired\""), Just("7"), Just("[]")],
        key in prop_oneof![Just("msg"), Just("message"), Just("note")],
        status in prop_oneof![Just(200u16), Just(401), Just(500)],
        content_type in prop_oneof![Just("application/json"), Just("text/html"), Just("image/png")],
        msg_first in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let rules = default_rules();
        let (code, msg) = (format!("\"code\":{code}"), format!("\"{key}\":{msg}"));
        let (first, second) = if msg_first { (&msg, &code) } else { (&code, &msg) };
        let body = format!("{{{first},\"data\":{{\"code\":7}},{second}}}");
        let headers = headers(content_type);
        let seen = look(&rules, status, &headers, body.as_bytes()).0;

        let code = StatusCode::from_u16(status).unwrap();
        let sample = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(rules.matches(code, Some(content_type), &sample).map(RuleIndex::place), seen);
        let outcomes = rules.explain(code, &headers, body.as_bytes());
        prop_assert_eq!(outcomes.iter().position(|outcome| *outcome == Outcome::Fires), seen);

        let (head, tail) = body.as_bytes().split_at(cut.index(body.len()));
        if let Look::Body(mut look) = rules.look(code, &headers) {
            look.feed(head);
            look.feed(tail);
            prop_assert_eq!(look.finish().map(RuleIndex::place), seen);
        }
    }
}
