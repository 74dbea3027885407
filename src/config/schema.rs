//! The keys of the config and of the list of clients as JSON Schemas, for editors and for whoever checks
//! configs elsewhere. They are made of the same structs that the files are read into, with their
//! comments.
//!
//! They describe the files alone: no key is required, as each of the config can come from the
//! environment.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::clients::raw::{RawClients, RawKey};
use super::raw::{OneOrMore, RawConfig};
use super::secrets::SecretSource;

/// That of the config.
pub fn config() -> Value {
    of::<RawConfig>()
}

/// That of the list of clients.
pub fn clients() -> Value {
    let mut schema = of::<RawClients>();
    if let Some(keys) = schema.as_object_mut() {
        keys.remove("title");
        keys.insert("description".into(), "Clients by their names.".into());
        keys.insert("propertyNames".into(), json!({ "pattern": "^[a-z0-9_-]{1,64}$" }));
    }
    schema
}

/// Of draft 2020-12.
fn of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    // Each key is described where it stands, and no name of ours becomes a part of the schema.
    settings.inline_subschemas = true;
    let settings = settings
        .with_transform(RecursiveTransform(without_null))
        .with_transform(RecursiveTransform(on_one_line));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// TOML has no null: a key is left out instead.
fn without_null(schema: &mut Schema) {
    let Some(keys) = schema.as_object_mut() else { return };
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if keys.get("default").is_some_and(is_empty) {
        keys.remove("default");
    }
    if let Some(Value::Array(types)) = keys.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            keys.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(values)) = keys.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(choices)) = keys.get_mut("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let [Value::Object(only)] = &choices[..] {
        let only = only.clone();
        keys.remove("anyOf");
        for (key, value) in only {
            keys.entry(key).or_insert(value);
        }
    }
}

/// A comment's lines end where the source's do.
fn on_one_line(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

// === impl OneOrMore, SecretSource, RawKey ===

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMore{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl JsonSchema for SecretSource {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, whereabouts("env"), whereabouts("file")] })
    }
}

impl JsonSchema for RawKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RawKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut hash = whereabouts("sha256");
        hash.insert("properties".into(), json!({ "sha256": { "pattern": "^[0-9a-fA-F]{64}$" } }));
        json_schema!({
            "anyOf": [{ "type": "string" }, hash, whereabouts("env"), whereabouts("file")]
        })
    }
}

/// A table with this key alone.
fn whereabouts(key: &str) -> Schema {
    json_schema!({
        "type": "object",
        "properties": { key: { "type": "string" } },
        "required": [key],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::config::parse;
    use crate::document::Document;

    /// The keys of every table, by its header in TOML; `x` stands for a name of the operator's choice.
    fn tables(schema: &Value, path: &[&str], in_list: bool, found: &mut Tables) {
        let joined = path.join(".");
        let header = if in_list { format!("[[{joined}]]") } else { format!("[{joined}]") };
        for (key, below) in schema["properties"].as_object().into_iter().flatten() {
            found.entry(header.clone()).or_default().insert(key.clone());
            tables(below, &[path, &[key]].concat(), false, found);
        }
        tables_below(schema, path, found);
    }

    fn tables_below(schema: &Value, path: &[&str], found: &mut Tables) {
        if schema["additionalProperties"].is_object() {
            tables(&schema["additionalProperties"], &[path, &["x"]].concat(), false, found);
        }
        if schema["items"].is_object() {
            tables(&schema["items"], path, true, found);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            tables(choice, path, false, found);
        }
    }

    type Tables = BTreeMap<String, BTreeSet<String>>;

    /// The keys that the parser says it knows there, beside one that nobody knows.
    fn known_to_the_parser<T: DeserializeOwned>(header: &str) -> BTreeSet<String> {
        let header = if header == "[]" { "" } else { header };
        let (document, mut report) = Document::parse("c", format!("{header}\nzzzzzzzz = 1\n"));
        let _ = document.read::<T>(&mut report);
        let told = report.to_string();
        let (_, keys) = told.split_once("the keys here are ").unwrap_or_else(|| panic!("{told}"));
        keys.lines()
            .next()
            .into_iter()
            .flat_map(|line| line.split('`').skip(1).step_by(2))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn p32_schema_and_parser_know_the_same_keys_of_every_table() {
        let mut by_schema = Tables::new();
        tables(&config(), &[], false, &mut by_schema);
        assert!(by_schema.len() > 20, "{by_schema:?}");
        for (header, keys) in by_schema {
            assert_eq!(keys, known_to_the_parser::<RawConfig>(&header), "{header}");
        }
        let mut of_clients = Tables::new();
        tables(&clients(), &[], false, &mut of_clients);
        assert!(of_clients.contains_key("[x.upstream.x]"), "{of_clients:?}");
        for (header, keys) in of_clients {
            assert_eq!(keys, known_to_the_parser::<RawClients>(&header), "{header}");
        }
    }

    /// Every key with a default, as a variable of the environment that gives it this value.
    fn defaults(schema: &Value, name: &str, found: &mut Vec<(String, Value)>) {
        if let Some(default) = schema.get("default") {
            found.push((name.to_owned(), default.clone()));
        }
        for (key, below) in schema["properties"].as_object().into_iter().flatten() {
            defaults(below, &format!("{name}__{}", key.to_uppercase()), found);
        }
        if schema["additionalProperties"].is_object() {
            defaults(&schema["additionalProperties"], &format!("{name}__X"), found);
        }
    }

    #[test]
    fn p32_what_the_schema_calls_a_default_is_what_the_parser_takes_for_a_key_that_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.crt"), "").expect("written");
        let read = |config: &str, var: Option<(String, String)>| {
            let (mut document, mut report) = Document::parse("c", config);
            document.overlay("TOKENWARD__", var);
            let config = parse::config(&document, folder.path(), &mut report);
            config.map(|config| format!("{config:#?}")).ok_or_else(|| report.to_string())
        };
        // No config can have every key.
        let upstream = "[upstream.x]\nvendor = \"aiclk\"\ncredentials.client_id = \"c\"\n";
        let by_tcp = "listen = \"127.0.0.1:1\"\n[gateway]\nlisten = \"127.0.0.1:2\"\n";
        let by_socket = "listen = \"unix:/a\"\n[gateway]\nlisten = \"unix:/b\"\n";
        let redis = "[store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n";
        let kubernetes = "[store]\nkind = \"kubernetes\"\nurl = \"http://127.0.0.1:1\"\n\
                          namespace = \"n\"\n";
        let has_traces = cfg!(feature = "otlp");
        let traces = if has_traces { "[traces]\nendpoint = \"http://127.0.0.1:1\"\n" } else { "" };
        let configs = [(by_tcp, traces), (by_socket, ""), (by_tcp, redis), (by_tcp, kubernetes)]
            .map(|(listen, more)| [upstream, listen, more].concat());
        let mut of_all = Vec::new();
        defaults(&config(), "TOKENWARD", &mut of_all);
        of_all.retain(|(name, _)| has_traces || !name.starts_with("TOKENWARD__TRACES"));
        assert!(of_all.len() >= 40, "{of_all:?}");
        for (name, default) in of_all {
            let value = default.to_string();
            let takes = |config: &String| {
                let left_out = read(config, None).unwrap_or_else(|report| panic!("{report}"));
                let given = read(config, Some((name.clone(), value.clone())));
                given.map(|given| assert_eq!(given, left_out, "{name}")).err()
            };
            let refusals: Vec<_> = configs.iter().filter_map(takes).collect();
            assert!(refusals.len() < configs.len(), "{name}: {}", refusals.concat());
        }
    }

    #[test]
    fn p32_nothing_in_the_schema_is_null_and_no_table_takes_unknown_keys() {
        let schemas = [config(), clients()];
        let mut tables = 0;
        let mut left: Vec<&Value> = schemas.iter().collect();
        while let Some(value) = left.pop() {
            assert!(!value.is_null() && value != "null", "{schemas:#?}");
            if value["properties"].is_object() {
                assert_eq!(value["additionalProperties"], false, "{value:#}");
                tables += 1;
            }
            match value {
                Value::Object(members) => left.extend(members.values()),
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
        assert!(tables > 20, "{tables}");
    }
}
