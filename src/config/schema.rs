//! The config's keys as a JSON Schema, for editors and for whoever checks configs elsewhere. It is made
//! of the same structs that the config is read into, with their comments.
//!
//! It describes the file alone: no key is required, as each can come from the environment.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::raw::{OneOrMore, RawConfig};
use super::secrets::SecretSource;

/// The schema, of draft 2020-12.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    // Each key is described where it stands, and no name of ours becomes a part of the schema.
    settings.inline_subschemas = true;
    let settings = settings.with_transform(RecursiveTransform(without_null));
    settings.into_generator().into_root_schema_for::<RawConfig>().to_value()
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

// === impl OneOrMore, SecretSource ===

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
        let table = |key: &str| {
            json_schema!({
                "type": "object",
                "properties": { key: { "type": "string" } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({ "anyOf": [{ "type": "string" }, table("env"), table("file")] })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
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
    fn known_to_the_parser(header: &str) -> BTreeSet<String> {
        let header = if header == "[]" { "" } else { header };
        let (document, mut report) = Document::parse("c", format!("{header}\nzzzzzzzz = 1\n"));
        let _ = document.read::<RawConfig>(&mut report);
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
        tables(&schema(), &[], false, &mut by_schema);
        assert!(by_schema.len() > 20, "{by_schema:?}");
        for (header, keys) in by_schema {
            assert_eq!(keys, known_to_the_parser(&header), "{header}");
        }
    }

    #[test]
    fn p32_nothing_in_the_schema_is_null_and_no_table_takes_unknown_keys() {
        let schema = schema();
        let mut tables = 0;
        let mut left = vec![&schema];
        while let Some(value) = left.pop() {
            assert!(!value.is_null() && value != "null", "{schema:#}");
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
