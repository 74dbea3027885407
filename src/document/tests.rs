mod slips;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    workers: Option<u16>,
    listen: Option<String>,
    mode: Option<Mode>,
    upstream: BTreeMap<String, Upstream>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Upstream {
    listen: Option<String>,
    base_url: Option<String>,
    credentials: BTreeMap<String, Source>,
    reject: Vec<Rule>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Refuse,
    Emulate,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Source {
    Text(String),
    Env { env: String },
    File { file: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    pointer: String,
    #[serde(rename = "in", default)]
    values: Vec<i64>,
}

fn check(text: &str, vars: &[(&str, &str)]) -> (Option<Config>, String) {
    let (mut document, mut report) = Document::parse("config.toml", text);
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    document.overlay("TW__", vars);
    let config = document.read(&mut report);
    (config, report.to_string())
}

fn mistakes(text: &str) -> String {
    check(text, &[]).1
}

#[test]
fn p32_every_mistake_is_shown_with_its_place_at_once() {
    let text = r#"# the gateway
workers = "four"
mode = "emulat"
lisen = "127.0.0.1:80"

[upstream.crm]
listen = ["127.0.0.1:81"]

[[upstream.crm.reject]]
pointer = "/code"
in = [40001, "x", 7]

[[upstream.crm.reject]]
in = []
"#;
    let expected = r#"config.toml:2:11: error: `workers` is a string
  |
2 | workers = "four"
  |           ^^^^^^ expected a whole number from 0 to 65535

config.toml:3:8: error: `mode` cannot be `emulat`
  |
3 | mode = "emulat"
  |        ^^^^^^^^ expected `refuse` or `emulate`
  |
  = help: did you mean `emulate`?

config.toml:4:1: error: unknown key `lisen`
  |
4 | lisen = "************"
  | ^^^^^
  |
  = help: did you mean `listen`?

config.toml:7:1: error: `listen` is an array
  |
7 | listen = ["************"]
  | ^^^^^^ expected a string

config.toml:11:14: error: an element of `in` is a string
   |
11 | in = [40001, "x", 7]
   |              ^^^ expected a whole number

config.toml:13:1: error: an element of `reject` lacks the key `pointer`
   |
13 | [[upstream.crm.reject]]
   | ^^^^^^^^^^^^^^^^^^^^^^^

6 mistakes"#;
    assert_eq!(mistakes(text), expected);
}

#[test]
fn p32_what_is_right_is_read_despite_the_mistakes() {
    let (config, _) = check(
        "workers = \"x\"\nlisten = \"a\"\n[upstream.crm]\nnope = 1\nlisten = \"b\"\n\
         [[upstream.crm.reject]]\npointer = \"/code\"\nin = [1, \"x\", 3]\n",
        &[],
    );
    let config = config.unwrap();
    assert_eq!((config.workers, config.listen.as_deref()), (None, Some("a")));
    let crm = &config.upstream["crm"];
    assert_eq!((crm.listen.as_deref(), &crm.base_url), (Some("b"), &None));
    assert_eq!((crm.reject[0].pointer.as_str(), &crm.reject[0].values[..]), ("/code", &[1, 3][..]));
}

#[test]
fn p32_syntax_mistakes_are_all_shown_and_nothing_is_read() {
    let text = "listen = 127.0.0.1:80\r\nmode = refuse # why\nworkers 4\n\n[upstream.crm\nmode = \"refuse\"\n";
    let expected = r#"config.toml:1:15: error: invalid float
  |
1 | listen = 127.0.0.1:80
  |               ^^^^^^^
  |
  = help: texts, times, sizes and addresses stand in quotes: key = "…"

config.toml:2:8: error: string values must be quoted
  |
2 | mode = ****** * ***
  |        ^^^^^^ expected literal string
  |
  = help: texts, times, sizes and addresses stand in quotes: key = "…"

config.toml:3:9: error: key with no value
  |
3 | ******* 4
  |         ^ expected `=`

config.toml:5:14: error: unclosed table
  |
5 | [upstream.crm
  |              ^ expected `]`

4 mistakes"#;
    let (config, report) = check(text, &[]);
    assert_eq!(report, expected);
    assert!(config.is_none());
}

#[test]
fn a_mistake_found_later_is_shown_at_its_value_its_key_or_its_table() {
    let text = "[upstream.crm]\nlisten = \"a\"\nreject = [{ pointer = \"/x\" }]\n";
    let (document, mut report) = Document::parse("c", text);
    document.read::<Config>(&mut report).unwrap();
    let place = |mistake: Mistake| {
        let mut report = Report::default();
        report.push(mistake);
        report.to_string().split(": error").next().unwrap().to_owned()
    };
    let at = |path: &[&str]| place(document.mistake(path, "no"));
    assert_eq!(at(&["upstream", "crm", "listen"]), "c:2:10");
    assert_eq!(place(document.mistake_at_key(&["upstream", "crm", "listen"], "no")), "c:2:1");
    assert_eq!(at(&["upstream", "crm", "reject", "0", "pointer"]), "c:3:23");
    assert_eq!(at(&["upstream", "crm", "reject", "1"]), "c:3:1");
    assert_eq!(at(&["upstream", "crm", "base_url"]), "c:1:11");
    assert_eq!(at(&["admin", "listen"]), "c:1:1");
    assert!(document.has(&["upstream", "crm", "reject", "0"]));
    assert!(!document.has(&["upstream", "crm", "reject", "1"]));
}

#[test]
fn elements_are_numbered_as_they_were_read() {
    let text = "[upstream.crm]\nreject = [\n7,\n{ pointer = \"/x\" },\n]\n";
    let (document, mut report) = Document::parse("c", text);
    let config: Config = document.read(&mut report).unwrap();
    assert_eq!(config.upstream["crm"].reject[0].pointer, "/x");
    let path = ["upstream", "crm", "reject", "0", "pointer"];
    report.push(document.mistake(&path, "second"));
    assert!(report.to_string().contains("c:4:13: error: second"), "{report}");
    assert!(document.has(&path));
    assert!(!document.has(&["upstream", "crm", "reject", "1"]));
}

#[test]
fn an_empty_text_has_a_place_for_mistakes() {
    let (document, mut report) = Document::parse("c", "");
    report.push(document.mistake(&["upstream"], "there is no upstream"));
    assert!(report.to_string().starts_with("c:1:1: error: there is no upstream\n"), "{report}");
}

#[test]
fn the_environment_wins_over_the_text_and_adds_to_it() {
    let text = "workers = 1\n[upstream.my-crm]\nlisten = \"a\"\ncredentials.id = \"x\"\n\
                [[upstream.my-crm.reject]]\npointer = \"/a\"\n";
    let (config, report) = check(
        text,
        &[
            ("TW__WORKERS", "2"),
            ("TW__MODE", "refuse"),
            ("TW__UPSTREAM__MY_CRM__LISTEN", "127.0.0.1:80"),
            ("TW__UPSTREAM__MY_CRM__BASE_URL", "'quoted'"),
            ("TW__UPSTREAM__MY_CRM__CREDENTIALS__ID__FILE", "/run/id"),
            ("TW__UPSTREAM__MY_CRM__CREDENTIALS__NUMBER", "007"),
            ("TW__UPSTREAM__MY_CRM__CREDENTIALS__SECRET", "1e5"),
            ("TW__UPSTREAM__MY_CRM__CREDENTIALS__INLINE", "{ env = \"E\" }"),
            ("TW__UPSTREAM__MY_CRM__REJECT__0__IN", "[1, 2]"),
            ("TW__UPSTREAM__MY_CRM__REJECT__1__POINTER", "/b"),
            ("TW__UPSTREAM__OTHER__LISTEN", "5"),
            ("TOKENWARD_CONFIG", "not ours"),
        ],
    );
    assert_eq!(report, "0 mistakes");
    let config = config.unwrap();
    assert_eq!((config.workers, config.mode), (Some(2), Some(Mode::Refuse)));
    let crm = &config.upstream["my-crm"];
    assert_eq!(crm.listen.as_deref(), Some("127.0.0.1:80"));
    assert_eq!(crm.base_url.as_deref(), Some("quoted"));
    assert_eq!(crm.credentials["id"], Source::File { file: "/run/id".to_owned() });
    assert_eq!(crm.credentials["number"], Source::Text("007".to_owned()));
    assert_eq!(crm.credentials["secret"], Source::Text("1e5".to_owned()));
    assert_eq!(crm.credentials["inline"], Source::Env { env: "E".to_owned() });
    assert_eq!((crm.reject[0].values.len(), crm.reject[1].pointer.as_str()), (2, "/b"));
    assert_eq!(config.upstream["other"].listen.as_deref(), Some("5"));
}

#[test]
fn p32_a_mistake_in_the_environment_names_the_variable_and_not_the_value() {
    let (_, report) = check(
        "workers = 1\n",
        &[
            ("TW__WORKERS", "1.5"),
            ("TW__LISEN", "hunter22"),
            ("TW____", "hunter22"),
            ("TW__UPSTREAM__CRM__REJECT", "[{ pointer = 5 }]"),
        ],
    );
    let expected = "environment: TW__LISEN: error: unknown key `lisen`
 = help: did you mean `listen`?

environment: TW__UPSTREAM__CRM__REJECT: error: `pointer` is a whole number
 = note: expected a string

environment: TW__WORKERS: error: `workers` is a fraction
 = note: expected a whole number from 0 to 65535

environment: TW____: error: unknown key ``
 = help: the keys here are `workers`, `listen`, `mode` and `upstream`

4 mistakes";
    assert_eq!(report, expected);
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    size: Option<crate::units::Size>,
    span: Option<crate::units::Span>,
    either: Option<Either>,
    other: Option<Other>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Either {
    #[expect(dead_code)]
    Flag(bool),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a flag\nhelp: write true")]
enum Other {
    #[expect(dead_code)]
    Flag(bool),
}

#[test]
fn what_types_say_of_their_values_is_shown_in_its_place() {
    let text = "size = \"1MX\"\nspan = 30\neither = 1\nother = 1\n";
    let (document, mut report) = Document::parse("c", text);
    document.read::<Said>(&mut report).unwrap();
    let expected = r#"c:1:8: error: `size`: unknown unit of size
  |
1 | size = "1MX"
  |        ^^^^^ expected a size such as "64KiB" or "1MiB"
  |
  = help: the units are B, KiB, MiB, GiB (by 1024) and kB, MB, GB (by 1000)

c:2:8: error: `span`: a number without a unit of time
  |
2 | span = 30
  |        ^^ expected a time such as "30s", "5m" or "1h 30m"
  |
  = help: "30s" if seconds are meant

c:3:10: error: `either` does not fit
  |
3 | either = 1
  |          ^

c:4:9: error: `other` does not fit
  |
4 | other = 1
  |         ^ expected a flag
  |
  = help: write true

4 mistakes"#;
    assert_eq!(report.to_string(), expected);
}

#[test]
fn p26_values_that_may_be_secret_are_stars() {
    let cases = [
        ("upstream.crm.credentials.id = 5 # hunter22", "upstream.crm.credentials.id = *"),
        ("upstream.crm = { listen = 5, credentials.id = \"hunter22\" }", "= \"********\" }"),
        ("upstream.crm = { listen = 5, credentils.id = 'hunter22' }", "= '********' }"),
        ("upstream.crm = { listen = 5, credentials.id.env = \"ID\" }", ".env = \"ID\" }"),
        ("upstream.crm = { listen = 5, base_url = \"redis://u:hunter22@h/0\" }", "*@h/0\" }"),
        ("upstream.crm = { listen = 5, base_url = \"https://h/?t=hunter22\" }", "h/?****"),
        ("upstream.crm = { listen = 5, base_url = \"http://u:hunter22\\u0040h/\" }", "= *****"),
        ("mode = 1 # hunter22", "mode = 1\n"),
        ("upstream.app_id = \"hunter22\"", "app_id = \"********\""),
        ("a.Hunter22= \"\"\"\nmode\"\"\"", "a.********= \"\"\"\n"),
        ("Hunter22= \"\"\"\nmode\"\"\"", "********= \"\"\"\n"),
        ("workers = 4_0HUNT/22'", "workers = **********'"),
        ("mode = \"hunter22", "mode = \"********"),
        ("mode = 1\napp_secret = 12 34", "********** = ** **"),
    ];
    for (text, shown) in cases {
        let report = mistakes(text);
        let shown = shown.replace("********** =", "app_secret =");
        assert!(report.contains(&shown) && !report.to_lowercase().contains("hunter22"), "{report}");
    }
}

#[test]
fn p26_a_message_of_ours_cannot_repeat_a_secret() {
    let (mut document, _) =
        Document::parse("c", "[upstream.crm.credentials]\nid = \"hunter\\\"22\"\n");
    document.overlay("", [("upstream__crm__credentials__b".to_owned(), "swordfish".to_owned())]);
    let mut report = Report::default();
    report.push(document.mistake(&["upstream"], "got hunter\"22 or \"hunter\\\"22\""));
    report.push(document.mistake_at_key(&["upstream"], "got swordfish"));
    assert!(!report.to_string().contains("hunter"), "{report}");
    assert!(!report.to_string().contains("sword"), "{report}");
}

#[test]
fn a_public_document_hides_only_logins() {
    let text = "token = \"/data/token\"\nurl = \"http://u:hunter22@h/\"\n";
    let (document, _) = Document::parse_public("c", text);
    let mut report = Report::default();
    report.push(document.mistake(&["token"], "no"));
    report.push(document.mistake(&["url"], "no"));
    let shown = report.to_string();
    assert!(shown.contains("\"/data/token\"") && !shown.contains("hunter22"), "{shown}");
}

#[test]
fn colours_change_nothing_but_colours() {
    let (_, report) = Document::parse("c", "x = \n");
    let coloured = report.coloured();
    let stripped: String = coloured
        .split('\u{1b}')
        .map(|part| part.strip_prefix('[').and_then(|p| p.split_once('m')).map_or(part, |p| p.1))
        .collect();
    assert!(coloured.contains('\u{1b}'));
    let lines = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&stripped), lines(&report.to_string()));
}

#[test]
fn a_hostile_text_ends_after_a_hundred_mistakes() {
    let unknown: String = (0..300).map(|n| format!("k{n} = 1\n")).collect();
    let (config, report) = check(&unknown, &[]);
    assert!(config.is_none() && report.ends_with("\n100 mistakes"), "{report}");
    assert!(mistakes(&"x y\n".repeat(300)).ends_with("\n100 mistakes"));
}
