//! The rule that would take an answer for a rejection, as one writes it into a config.

use http::StatusCode;
use serde_json::Value;

use crate::vendor::description::Description;

/// What stands below the table's header. `None`: the answer has nothing to go by.
pub(super) fn for_answer(
    vendor: &Description,
    status: StatusCode,
    json: Option<&Value>,
) -> Option<String> {
    let by_status = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if let Some((pointer, code)) = json.and_then(|json| code_in(vendor, json)) {
        let mut lines = vec![format!("name = {}", quoted(&format!("code-{}", plain(&code))))];
        lines.push(format!("pointer = {}", quoted(&pointer)));
        lines.push(format!("in = [{}]", written(&code)));
        lines.push("verdict = \"expired\"".to_owned());
        lines.extend(narrower(vendor, json));
        return Some(lines.join("\n"));
    }
    by_status.then(|| {
        let number = status.as_u16();
        format!("name = \"status-{number}\"\nstatus = [{number}]\nverdict = \"expired\"")
    })
}

/// The member that tells success in the vendor's other answers, or one that is called like a code.
fn code_in(vendor: &Description, json: &Value) -> Option<(String, Value)> {
    let success = vendor.answer.success.as_ref().map(|(pointer, _)| pointer.as_str().to_owned());
    let envelope = vendor.envelope.code.as_ref().map(|name| format!("/{name}"));
    let usual = USUAL.iter().map(|pointer| (*pointer).to_owned());
    let mut places = success.into_iter().chain(envelope).chain(usual);
    places.find_map(|pointer| {
        let found = json.pointer(&pointer)?;
        let is_code = match found {
            Value::Number(_) => true,
            Value::String(text) => !text.is_empty() && text.len() <= LONGEST_CODE,
            _ => false,
        };
        is_code.then(|| (pointer, found.clone()))
    })
}

/// Many vendors have one code for several failures.
fn narrower(vendor: &Description, json: Option<&Value>) -> Vec<String> {
    let member = vendor.envelope.message.as_ref().map(|name| format!("/{name}"));
    let message = member.as_ref().and_then(|pointer| json?.pointer(pointer)?.as_str());
    let (Some(member), Some(message)) = (member, message) else { return Vec::new() };
    let message: String = message.chars().take(LONGEST_PATTERN).collect();
    let pattern = regex::escape(&message);
    vec![
        "# Where other failures have this code too, the message tells them apart:".to_owned(),
        format!("#text = {}", quoted(&member)),
        format!("#pattern = {}", quoted(&pattern)),
    ]
}

fn written(code: &Value) -> String {
    match code {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// As a part of a name, which becomes a label.
fn plain(code: &Value) -> String {
    let text = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const USUAL: [&str; 8] =
    ["/code", "/errcode", "/error_code", "/err_code", "/errno", "/error/code", "/status", "/error"];
const LONGEST_CODE: usize = 64;
const LONGEST_PATTERN: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::parse;
    use crate::document::Document;
    use crate::vendor::rules::{RawRule, Rule};

    fn vendor() -> Description {
        let names = parse::built_in_names();
        parse::vendor(names.last().expect("a vendor")).expect("a good one")
    }

    #[test]
    fn p07_what_is_proposed_is_a_rule_that_takes_the_answer_for_a_rejection() {
        let vendor = vendor();
        for (status, body) in [
            (200, json!({ "code": 40_102, "message": "Token \"x\" [gone]" })),
            (200, json!({ "errcode": "A-17" })),
            (400, json!({ "error": "invalid_token" })),
            (401, json!({ "detail": {} })),
            (403, json!([])),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let text = for_answer(&vendor, status, Some(&body)).expect("a rule");
            for text in [text.clone(), text.replace("\n#t", "\nt").replace("\n#p", "\np")] {
                let (document, mut report) = Document::parse("rule", text.clone());
                let raw: Option<RawRule> = document.read(&mut report);
                assert!(report.is_empty(), "{text}: {report}");
                let rule = Rule::new(raw.expect("a rule")).expect("a good rule");
                assert!(rule.matches(status, None, &body), "{text}");
            }
        }
    }

    #[test]
    fn p07_nothing_is_proposed_where_there_is_nothing_to_go_by() {
        let vendor = vendor();
        for (status, body) in [(200, None), (200, Some(json!({ "data": [] }))), (500, None)] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(for_answer(&vendor, status, body.as_ref()), None, "{body:?}");
        }
    }
}
