//! The recorded vendor answers, built in, and the filling in of their placeholders.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use super::Vendor;

/// One recorded answer: `tests/vendors/<vendor>/<name>.json` and the status it goes out with.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) name: &'static str,
    pub(super) status: u16,
    body: &'static str,
}

impl Recording {
    /// The body with its placeholders filled in: `values`, and what every answer has of its own
    /// (`request_id`, `trace_id`, `now_ms`). A value goes in as it is, so text has to come as
    /// [`json_text`].
    pub(super) fn fill(&self, values: &[(&str, &str)]) -> String {
        let mut filled = String::with_capacity(self.body.len() + 128);
        let mut rest = self.body.trim_end();
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                break;
            };
            filled.push_str(before);
            match values.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => filled.push_str(value),
                None => own_value(name, &mut filled),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

/// A recording by its name, as a fault may ask for.
pub(super) fn find(vendor: Vendor, name: &str) -> Option<&'static Recording> {
    all(vendor).iter().find(|recording| recording.name == name)
}

/// A recording that this crate itself names.
pub(super) fn get(vendor: Vendor, name: &'static str) -> &'static Recording {
    find(vendor, name).expect("a test finds every name that the sandbox uses")
}

pub(super) fn all(vendor: Vendor) -> &'static [Recording] {
    match vendor {
        Vendor::Jing => JING,
        Vendor::Aiclk => AICLK,
    }
}

/// Text as the inside of a JSON string.
pub(super) fn json_text(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn own_value(name: &str, out: &mut String) {
    match name {
        "now_ms" => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Writing into a string cannot fail.
            let _ = write!(out, "{}", since.as_millis());
        }
        "request_id" | "trace_id" => {
            let _ = write!(out, "{:032x}", fastrand::u128(..));
        }
        // Left for the test that looks for unfilled placeholders.
        unknown => {
            let _ = write!(out, "{{{{{unknown}}}}}");
        }
    }
}

macro_rules! recordings {
    ($folder:literal: $($status:literal { $($name:literal)* })*) => {
        &[$($(Recording {
            name: $name,
            status: $status,
            body: include_str!(concat!("../../tests/vendors/", $folder, "/", $name, ".json")),
        },)*)*]
    };
}

const JING: &[Recording] = recordings! { "jing":
    200 {
        "token_success" "refresh_refused" "mint_refused"
        "rejected_expired" "rejected_expired_zh" "rejected_invalid" "rejected_invalid_zh"
        "rejected_missing"
        "rate_limited" "token_quota" "field_refused" "bad_request" "failure" "echo"
        "user_create" "user_create_partial"
    }
    401 { "rejected_http_401" "rejected_http_401_zh" }
    404 { "unknown_path" }
};

const AICLK: &[Recording] = recordings! { "aiclk":
    200 {
        "token_success" "token_success_rotated" "refresh_refused"
        "rejected_expired" "rejected_expired_zh" "rejected_invalid" "rejected_invalid_zh"
        "rejected_missing"
        "rate_limited" "token_quota" "field_refused" "bad_request" "failure" "echo"
        "account_info" "account_fund_list" "creative_get" "material_get" "material_upload"
        "targeturl_monitor_list" "customer_create" "customer_update"
        "charge" "charge_refused" "oss_sts"
    }
    401 { "rejected_http_401" "rejected_http_401_zh" }
    404 { "unknown_path" }
};

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &[(&str, &str)] = &[
        ("access_token", "a"),
        ("refresh_token", "r"),
        ("expires_in", "1"),
        ("code", "7"),
        ("message", "m"),
        ("method", "GET"),
        ("path", "/"),
        ("query", "null"),
        ("body_length", "0"),
        ("body_sha256", "00"),
    ];

    #[test]
    fn every_recording_fills_to_json_with_its_vendors_envelope() {
        for (vendor, members) in [
            (Vendor::Jing, ["request_id", "code", "msg", "timestamp"]),
            (Vendor::Aiclk, ["code", "data", "message", "trace_id"]),
        ] {
            for recording in all(vendor) {
                let filled = recording.fill(VALUES);
                assert!(!filled.contains("{{"), "{}: {filled}", recording.name);
                let body: serde_json::Value = serde_json::from_str(&filled).unwrap();
                for member in members {
                    assert!(body.get(member).is_some(), "{} lacks {member}", recording.name);
                }
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_a_recording_and_every_recording_a_file() {
        for vendor in Vendor::ALL {
            let folder = format!("{}/tests/vendors/{vendor}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .map(|name| name.trim_end_matches(".json").to_owned())
                .collect();
            files.sort();
            let mut names: Vec<_> = all(vendor).iter().map(|r| r.name.to_owned()).collect();
            names.sort();
            assert_eq!(files, names);
        }
    }

    #[test]
    fn members_keep_the_documented_order() {
        let filled = get(Vendor::Aiclk, "token_success").fill(VALUES);
        let places: Vec<_> = ["\"code\"", "\"data\"", "\"message\"", "\"trace_id\""]
            .iter()
            .map(|member| filled.find(member).unwrap())
            .collect();
        assert!(places.is_sorted());
    }

    #[test]
    fn text_is_escaped_for_json() {
        assert_eq!(json_text("a\"b\\c"), "a\\\"b\\\\c");
    }
}
