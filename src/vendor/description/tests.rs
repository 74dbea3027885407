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
