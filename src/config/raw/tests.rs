//! The example, and what is no config.

use super::*;
use crate::document::Document;

const EXAMPLE: &str = include_str!("../../../config/tokenward.toml");

fn read(text: &str) -> RawConfig {
    let (document, mut report) = Document::parse("config/tokenward.toml", text);
    let config = document.read(&mut report);
    assert!(report.is_empty(), "{report}");
    config.unwrap()
}

/// The example with its optional settings switched on: they stand behind a `#` without a space.
fn example_in_full() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn p32_the_example_is_a_config_without_mistakes() {
    let config = read(EXAMPLE);
    assert!(config.upstream.values().all(|upstream| !upstream.credentials.is_empty()));
}

#[test]
fn p32_the_example_shows_every_key() {
    let mut config = read(&example_in_full());
    let lacks_a_key = |shown: String| shown.contains("None");
    let is_full = |mut upstream: RawUpstream| {
        // A rule has keys that exclude each other.
        let rules = std::mem::take(&mut upstream.reject);
        !rules.is_empty() && !upstream.inject.is_empty() && !lacks_a_key(format!("{upstream:?}"))
    };
    let mut upstreams = std::mem::take(&mut config.upstream).into_values();
    assert!(upstreams.any(is_full));
    assert!(!lacks_a_key(format!("{config:?}")), "{config:#?}");
}

#[test]
fn p32_unknown_keys_are_mistakes_at_every_level() {
    let text = "nope = 1\nlog.nope = 1\ntraces.nope = 1\nadmin.nope = 1\ngateway.nope = 1\nclients.nope = 1\nstore.nope = 1\n\
                limits.nope = 1\n\
                shutdown.nope = 1\n[upstream.x]\nnope = 1\nreplay.nope = 1\nlook.nope = 1\n\
                refresh.nope = 1\nguard.nope = 1\ntls.nope = 1\ntimeouts.nope = 1\n\
                limits.nope = 1\n\
                credentials.a = { nope = \"x\" }\n[[upstream.x.reject]]\nnope = 1\n";
    let (document, mut report) = Document::parse("c", text);
    document.read::<RawConfig>(&mut report).unwrap();
    let unknown = report.messages().filter(|message| *message == "unknown key `nope`").count();
    assert_eq!(unknown, text.matches("nope").count(), "{report}");
}

#[test]
fn p32_values_of_the_wrong_kind_are_mistakes() {
    let text = "workers = 0\nlog.format = \"xml\"\nadmin.listen = 9464\nstore.kind = \"disk\"\n\
                shutdown.grace = 10\n[upstream.x]\nbase_url = \"x\"\ninject.a = \"no\"\n\
                replay.max_body = \"1 M\"\nrefresh.daily_limit = -1\nrefresh.per_minute = 0\n\
                guard.token_endpoint = \"emulat\"\ncredentials.a = 5\ncredentials.b = {}\n";
    let (document, mut report) = Document::parse("c", text);
    document.read::<RawConfig>(&mut report).unwrap();
    let expected = [
        "`workers` is out of range",
        "`format` cannot be `xml`",
        "`listen`: a port without its host",
        "`kind` cannot be `disk`",
        "`grace`: a number without a unit of time",
        "`base_url`: the URL lacks its scheme",
        "`a` is a string",
        "`max_body`: unknown unit of size",
        "`daily_limit` is out of range",
        "`per_minute` is out of range",
        "`token_endpoint` cannot be `emulat`",
        "`a` is a whole number",
        "`b` is a table that does not fit",
    ];
    assert_eq!(report.messages().collect::<Vec<_>>(), expected, "{report}");
}
