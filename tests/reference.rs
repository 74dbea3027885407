//! The pages about the config say of every key what the program's own schema says. With
//! `REFERENCE=write` in the environment this writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::support::process::{run, tokenward};

/// The pages, each with the schema that it shows.
const PAGES: [(&str, &str); 2] = [("README.md", "config"), ("callers.md", "clients")];
const BEGIN: &str = "<!-- keys, made from `tokenward schema`: begin -->\n";
const END: &str = "<!-- keys: end -->\n";

#[tokio::test]
async fn p32_the_reference_says_of_every_key_what_the_schema_says() {
    for (page, of) in PAGES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(page);
        let mut command = tokenward();
        command.args(["schema", of]);
        let schema = run(command).await.stdout;
        let schema: Value = serde_json::from_str(&schema).expect("JSON");
        let mut reference = String::new();
        table(&schema, &[], &mut reference);
        assert!(reference.lines().count() > 10, "{reference}");

        let text = std::fs::read_to_string(&path).expect("a page");
        let (before, rest) = text.split_once(BEGIN).expect("the place of the keys");
        let (_, after) = rest.split_once(END).expect("the end of the keys");
        let renewed = [before, BEGIN, &reference, END, after].concat();
        if std::env::var_os("REFERENCE").is_some_and(|value| value == "write") {
            std::fs::write(&path, renewed).expect("written");
        } else {
            assert_eq!(text, renewed, "{page} is of another schema: run this with REFERENCE=write");
        }
    }
}

/// A table of the file and those in it.
fn table(schema: &Value, path: &[&str], page: &mut String) {
    let properties = schema["properties"].as_object();
    let (mut rows, mut below) = (String::new(), String::new());
    for (key, value) in properties.into_iter().flatten() {
        let inner = [path, &[key]].concat();
        let (named, listed) = (&value["additionalProperties"], &value["items"]);
        if value["properties"].is_object() {
            table(value, &inner, &mut below);
        } else if named["properties"].is_object() {
            table(named, &[&inner[..], &["NAME"]].concat(), &mut below);
        } else if listed["properties"].is_object() {
            list(listed, value, &inner, &mut below);
        } else {
            rows += &row(key, value);
        }
    }
    let header = if path.is_empty() { String::new() } else { format!("`[{}]`", path.join(".")) };
    section(&header, &description(schema), &rows, page);
    *page += &below;
    // A file that is a table of names.
    if properties.is_none() {
        table(&schema["additionalProperties"], &["NAME"], page);
    }
}

fn list(schema: &Value, outer: &Value, path: &[&str], page: &mut String) {
    let mut rows = String::new();
    for (key, value) in schema["properties"].as_object().expect("keys") {
        rows += &row(key, value);
    }
    section(&format!("`[[{}]]`", path.join(".")), &description(outer), &rows, page);
}

fn section(header: &str, description: &str, rows: &str, page: &mut String) {
    if rows.is_empty() {
        return;
    }
    if !header.is_empty() {
        write!(page, "### {header}\n\n{description}\n\n").expect("a text takes anything");
    }
    *page += "| key | takes | left out | meaning |\n|---|---|---|---|\n";
    writeln!(page, "{rows}").expect("a text takes anything");
}

fn row(key: &str, schema: &Value) -> String {
    let name = if schema["additionalProperties"].is_object() { ".NAME" } else { "" };
    let said = description(schema);
    let (meaning, left_out) = match said.split_once("Left out: ") {
        Some((meaning, left_out)) => (meaning.trim_end(), left_out.trim_end_matches('.')),
        None => (said.as_str(), ""),
    };
    let left_out = match schema.get("default") {
        Some(default) => format!("`{default}`"),
        None => left_out.to_owned(),
    };
    format!("| `{key}{name}` | {} | {left_out} | {meaning} |\n", takes(schema))
}

fn takes(schema: &Value) -> String {
    if schema["additionalProperties"].is_object() {
        return takes(&schema["additionalProperties"]);
    }
    let choices = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    if let [one, more] = &choices("anyOf")[..]
        && more["type"] == "array"
    {
        return format!("{}, or a list", takes(one));
    }
    let words = choices("enum").into_iter();
    let words = words.chain(choices("oneOf").into_iter().map(|choice| choice["const"].clone()));
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    if schema["anyOf"].is_array() {
        let told = schema.to_string();
        return if told.contains("file") { "secret" } else { "value" }.to_owned();
    }
    match (&schema["type"], schema["pattern"].as_str().unwrap_or_default()) {
        (Value::Array(_), _) => "size".to_owned(),
        (_, pattern) if pattern.contains("nanos") => "time".to_owned(),
        (_, pattern) if pattern.contains("unix") => "address".to_owned(),
        (_, pattern) if pattern.contains("http") => "URL".to_owned(),
        (_, pattern) if pattern.contains("0-7") => "octal digits".to_owned(),
        (Value::String(kind), _) => match kind.as_str() {
            "boolean" => "`true`, `false`".to_owned(),
            "integer" => "whole number".to_owned(),
            "number" => "number".to_owned(),
            "array" => format!("list: {}", takes(&schema["items"])),
            _ => "text".to_owned(),
        },
        (kind, pattern) => panic!("a kind of value without a word for it: {kind} {pattern}"),
    }
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}
