use super::*;

const JING: &str = include_str!("../../../config/vendors/jing.toml");
const AICLK: &str = include_str!("../../../config/vendors/aiclk.toml");

fn read(text: &str) -> Result<Description, Report> {
    let (document, mut report) = Document::parse_public("vendor.toml", text);
    match Description::read(&document, &mut report) {
        Some(description) if report.is_empty() => Ok(description),
        _ => Err(report),
    }
}

/// What is wrong with a description after an edit.
fn edited(from: &str, to: &str) -> String {
    assert!(AICLK.contains(from), "{from:?} is not in the description");
    read(&AICLK.replacen(from, to, 1)).map(|_| ()).expect_err("a mistake").to_string()
}

#[test]
fn the_built_in_descriptions_are_read() {
    for text in [JING, AICLK] {
        let description = read(text).unwrap_or_else(|report| panic!("{report}"));
        assert!(description.refresh.is_some() && !description.token_endpoints.is_empty());
    }
}

#[test]
fn an_unknown_placeholder_is_shown_in_its_place() {
    let shown = edited("value = \"{access_token}\"", "value = \"{acces_token}\"");
    let line = 1 + AICLK.lines().position(|line| line.starts_with("value")).expect("a value");
    assert!(shown.starts_with(&format!("vendor.toml:{line}:9: ")), "{shown}");
    assert!(shown.contains("unknown placeholder `{acces_token}`"), "{shown}");
}

#[test]
fn an_unknown_key_is_refused() {
    assert!(edited("encoding = ", "encodign = ").contains("encodign"));
}

#[test]
fn p07_a_rule_that_matches_a_success_is_refused() {
    for rule in [
        "pointer = \"/code\"\nin = [200]\nverdict = \"expired\"",
        "pointer = \"/code\"\nin = [\"200\"]\nverdict = \"expired\"",
        "status = [200]\nverdict = \"expired\"",
        "pointer = \"/code\"\nnot_in = [401]\nverdict = \"expired\"",
    ] {
        let text = format!("{AICLK}\n[[reject]]\n{rule}\n");
        let report = read(&text).map(|_| ()).expect_err(rule).to_string();
        assert!(report.contains("calls a success"), "{rule}: {report}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let shown = read("name = \"x\"\n").map(|_| ()).expect_err("nearly empty").to_string();
    for word in ["base_url", "answer", "refresh", "mint"] {
        assert!(shown.contains(word), "{word} is not in: {shown}");
    }
}

#[test]
fn an_item_is_turned_off_by_its_name_in_any_spelling() {
    let mut description = read(JING).expect("a good description");
    description.without_items(&["App-Id".to_owned()]).expect("it is one of its items");
    let left: Vec<_> = description.inject.iter().map(Inject::name).collect();
    assert_eq!(left, ["authorization", "access_token"]);
    assert_eq!(description.without_items(&["x".to_owned()]), Err("x".to_owned()));
}

#[test]
fn p16_the_day_of_the_cap_begins_where_the_vendor_is() {
    let limits = read(AICLK).expect("a good description").limits;
    assert_eq!((limits.per_day, limits.day_offset), (300, 8 * 3600));
    for (text, seconds) in [("+08:00", Some(28_800)), ("-03:30", Some(-12_600)), ("8", None)] {
        assert_eq!(read::offset_seconds(text), seconds, "{text}");
    }
}

/// An answer with every scalar replaced by the kind that it is of.
fn outline(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), outline(value))).collect()
        }
        Value::Array(items) => items.iter().map(outline).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) | Value::Null => value.clone(),
    }
}

#[test]
fn p24_the_emulated_answer_has_the_form_of_the_vendors_own() {
    use crate::vendor::emulation::Filling;
    let wechat = include_str!("../../../tests/vendors/wechat.toml");
    for (description, recorded, calls) in [
        (JING, include_str!("../../../tests/vendors/jing/token_success.json"), 2),
        (AICLK, include_str!("../../../tests/vendors/aiclk/token_success.json"), 1),
        (wechat, include_str!("../../../tests/vendors/wechat/token_success.json"), 1),
    ] {
        let recorded = recorded.replace("{{expires_in}}", "1").replace("{{now_ms}}", "1");
        let recorded: serde_json::Value = serde_json::from_str(&recorded).expect("JSON");
        let emulated = read(description).unwrap_or_else(|report| panic!("{report}")).emulated;
        assert_eq!(emulated.len(), calls);
        for call in emulated {
            let filling = Filling {
                expires_in: std::time::Duration::from_secs(60),
                now: std::time::SystemTime::now(),
                request_id: "1".to_owned(),
            };
            assert_eq!(outline(&call.answer.fill(&filling)), outline(&recorded));
        }
    }
}

#[test]
fn p24_a_body_in_which_no_caller_finds_a_token_is_refused_in_its_place() {
    let line = |key: &str| 1 + AICLK.lines().position(|line| line == key).expect(key);
    let at = format!("vendor.toml:{}:10: ", line("[emulate.body]"));
    for (from, to, expected) in [
        ("code = 200\nmess", "code = 0\nmess", "`answer.success` does not call this a success"),
        ("code = 200\nmess", "mess", "`answer.success` does not call this a success"),
        ("data]\naccess_token = \"{access_token}\"", "data]", "there is no `{access_token}`"),
        (
            "data]\naccess_token = \"{access_token}\"",
            "data]\naccess_token = \"my-own\"",
            "no `{acc",
        ),
        ("expires_in = \"{expires_in}\"\n", "", "there is no number: write \"{expires_in}\""),
        ("expires_in = \"{expires_in}\"", "expires_in = \"in {expires_in}\"", "no number"),
        ("expires_in = \"{expires_in}\"", "expires_in = 0", "no number"),
    ] {
        let shown = edited(from, to);
        assert!(shown.starts_with(&at) && shown.contains(expected), "{to}: {shown}");
        assert!(shown.contains("help: write what the vendor answers"), "{shown}");
    }
    let shown = edited("trace_id = \"{request_id}\"", "trace_id = \"{trace_id}\"");
    let at = format!("vendor.toml:{}:12: ", line("trace_id = \"{request_id}\""));
    assert!(
        shown.starts_with(&at) && shown.contains("unknown placeholder `{trace_id}`"),
        "{shown}"
    );
    let secret = edited("trace_id = \"{request_id}\"", "trace_id = \"{client_id}\"");
    assert!(secret.contains("unknown placeholder `{client_id}`"), "{secret}");
    assert!(edited("message = \"Success\"", "message = nan").contains("JSON has no such number"));
    let mint_body = edited("[emulate.body]", "[emulate.mint_body]\na = 1\n[emulate.body]");
    assert!(mint_body.contains("there is no `mint`"), "{mint_body}");
    let emulate = AICLK.find("[emulate.body]").expect("it emulates");
    let end = AICLK.find("[envelope]").expect("an envelope");
    let alone = edited(&AICLK[emulate..end], "[emulate]\n");
    assert!(alone.contains("`emulate.body` is missing"), "{alone}");
}

#[test]
fn p24_a_mint_may_be_answered_in_a_form_of_its_own() {
    let own = "[emulate.mint_body]\ncode = 0\ndata.access_token = \"{access_token}\"\n\
               data.expires_in = \"{expires_in}\"\n\n[envelope]";
    let text = JING.replacen("[envelope]", own, 1);
    let emulated = read(&text).unwrap_or_else(|report| panic!("{report}")).emulated;
    let forms: Vec<_> = emulated.iter().map(|call| format!("{:?}", call.answer)).collect();
    assert!(forms[0].contains("request_id") && !forms[1].contains("request_id"), "{forms:?}");

    let alike = text.replacen("/v1/oauth2/token/refresh", "/v1/oauth2/token", 1);
    let shown = read(&alike).map(|_| ()).expect_err("a mistake").to_string();
    assert!(shown.contains("`body` answers both"), "{shown}");
}

#[test]
fn p24_the_paths_of_the_token_calls_are_closed_though_nobody_lists_them() {
    let text = AICLK.replacen("token_endpoints = [\"/oauth2/token\"]", "", 1);
    let closed = read(&text).expect("a good description").token_endpoints;
    assert!(closed.iter().any(|pattern| pattern.could_match("//oauth2/%74oken")), "{closed:?}");
    let odd = edited("path = \"/oauth2/token\"", "path = \"/oauth2//tokens\"");
    assert!(odd.contains("`token_endpoints` must have a pattern"), "{odd}");
}

#[test]
fn p23_presets_are_lists_of_operations() {
    let names =
        |text| read(text).expect("a good description").presets.into_keys().collect::<Vec<_>>();
    assert_eq!((names(JING), names(AICLK)), (vec!["read-only".into()], vec!["read-only".into()]));
    let read_only = &read(AICLK).expect("a good description").presets["read-only"];
    assert!(read_only.iter().all(|operation| operation.method == Some(Method::GET)));
    assert!(!read_only.iter().any(|operation| operation.path.surely_matches("/openapi/oss/sts")));

    let shown = edited("\"GET /openapi/v1/account/info\"", "\"get /openapi/v1/account/info\"");
    assert!(shown.contains("methods are written in capitals"), "{shown}");
    let shown = edited("read-only = [", "nothing = []\nread-only = [");
    assert!(shown.contains("an empty list lets nothing pass"), "{shown}");
}

#[test]
fn p02_what_says_how_a_request_is_read_or_where_it_goes_is_not_injected() {
    for name in ["Host", "content-length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"]
    {
        let shown = edited("header = \"OGW_ACCESS_TOKEN\"", &format!("header = {name:?}"));
        assert!(shown.contains("how a request is read or where it goes"), "{name}: {shown}");
        let line = 1 + AICLK.lines().position(|it| it.starts_with("header = ")).expect("a header");
        assert!(shown.starts_with(&format!("vendor.toml:{line}:")), "{name}: {shown}");
    }
}
