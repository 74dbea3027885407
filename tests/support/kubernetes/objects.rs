//! Secrets as the API server keeps them: what it takes, what it refuses, and in which words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// An answer: its status and its JSON.
pub type Said = (u16, Value);

/// The `Status` with which the server says no.
pub fn status(code: u16, reason: &str, message: impl Into<String>) -> Said {
    let message = message.into();
    let object = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (code, object)
}

/// The same about one Secret.
pub fn about(name: &str, code: u16, reason: &str, message: impl Into<String>) -> Said {
    let (code, mut object) = status(code, reason, message);
    object["details"] = json!({ "name": name, "kind": "secrets" });
    (code, object)
}

pub fn not_found(name: &str) -> Said {
    about(name, 404, "NotFound", format!("secrets {name:?} not found"))
}

pub fn exists(name: &str) -> Said {
    about(name, 409, "AlreadyExists", format!("secrets {name:?} already exists"))
}

pub fn conflict(name: &str) -> Said {
    let message = format!(
        "Operation cannot be fulfilled on secrets {name:?}: the object has been modified; please \
         apply your changes to the latest version and try again"
    );
    about(name, 409, "Conflict", message)
}

pub fn unauthorized() -> Said {
    status(401, "Unauthorized", "Unauthorized")
}

pub fn forbidden(user: &str, verb: &str, name: &str, namespace: &str) -> Said {
    let about_one = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let message = format!(
        "secrets{about_one} is forbidden: User {user:?} cannot {verb} resource \"secrets\" in API \
         group \"\" in the namespace {namespace:?}"
    );
    about(name, 403, "Forbidden", message)
}

/// The end of a watch, or its refusal, that would begin before what is remembered.
pub fn expired(asked: u64, oldest: u64) -> Said {
    status(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
}

pub fn too_large_version(asked: u64, current: u64) -> Said {
    let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
    status(504, "Timeout", message)
}

pub fn body_too_large() -> Said {
    let message = format!("Request entity too large: limit is {LARGEST_BODY}");
    status(413, "RequestEntityTooLarge", message)
}

/// RFC 7396.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().expect("it is one now");
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            value => merge(target.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

/// Whether the server would keep this Secret. `before` is what it would replace.
pub fn validate(name: &str, object: &Value, before: Option<&Value>) -> Result<(), Said> {
    let invalid =
        |cause: String| about(name, 422, "Invalid", format!("Secret {name:?} is invalid: {cause}"));
    let data = texts(object, "/data");
    let mut size = 0;
    for (key, value) in &data {
        // Older servers quote what they cannot read, and what stands around it.
        let value = STANDARD.decode(value).map_err(|_| {
            let message = format!(
                "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data, error \
                 found in #10 byte of ...|{value}|..., bigger context ...|{object}|..."
            );
            status(400, "BadRequest", message)
        })?;
        size += value.len();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || key.len() > 253 || !key.chars().all(good) || key.starts_with("..") {
            let rule =
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
            return Err(invalid(format!("data[{key}]: Invalid value: {key:?}: {rule}")));
        }
    }
    if size > LARGEST_DATA {
        let cause = format!("data: Too long: may not be more than {LARGEST_DATA} bytes");
        return Err(invalid(cause));
    }
    let annotations = texts(object, "/metadata/annotations");
    for (key, _) in &annotations {
        if !is_qualified_name(key) {
            let rule = "name part must consist of alphanumeric characters, '-', '_' or '.', and must \
                        start and end with an alphanumeric character";
            return Err(invalid(format!("metadata.annotations: Invalid value: {key:?}: {rule}")));
        }
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > LARGEST_ANNOTATIONS {
        let rule = format!("may not be more than {LARGEST_ANNOTATIONS} bytes");
        return Err(invalid(format!("metadata.annotations: Too long: {rule}")));
    }
    let Some(before) = before else { return Ok(()) };
    if before["immutable"] == true && before["data"] != object["data"] {
        let cause = "data: Forbidden: field is immutable when `immutable` is set";
        return Err(invalid(cause.to_owned()));
    }
    if before["type"] != object["type"] {
        return Err(invalid("type: Invalid value: field is immutable".to_owned()));
    }
    Ok(())
}

/// The texts of an object of texts.
pub fn texts(object: &Value, pointer: &str) -> Vec<(String, String)> {
    let entries = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries.map(|(key, value)| (key.clone(), text(value))).collect()
}

fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, name)| (Some(p), name));
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    let prefixed = prefix.is_none_or(|prefix| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        !prefix.is_empty() && prefix.len() <= 253 && prefix.chars().all(good)
    });
    prefixed && ends && name.len() <= 63 && name.chars().all(good)
}

pub const LARGEST_BODY: usize = 3 << 20;
const LARGEST_DATA: usize = 1 << 20;
const LARGEST_ANNOTATIONS: usize = 256 << 10;
