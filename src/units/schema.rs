//! The same units in JSON Schema, for editors: whatever can be read matches, though not all that
//! matches can be read.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{BaseUrl, FileMode, Listen, Size, Span, Written};

macro_rules! written {
    ($($unit:ident: $pattern:expr),* $(,)?) => {$(
        impl JsonSchema for $unit {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($unit).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let number = <$unit as Written>::from_number(0).is_some_and(|read| read.is_ok());
                let mut schema = json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": <$unit as Written>::EXPECTED,
                });
                if number {
                    schema.insert("type".into(), serde_json::json!(["string", "integer"]));
                    schema.insert("minimum".into(), 0.into());
                }
                schema
            }
        }
    )*};
}

written! {
    BaseUrl: "^[Hh][Tt][Tt][Pp][Ss]?://",
    FileMode: "^0?[0-7]{3}$",
    Listen: "^(unix:/.+|.+:[0-9]{1,5})$",
    Size: "^\\s*[0-9]+\\s*(([KkMmGg][Ii]?)?[Bb])?\\s*$",
    Span: "^\\s*([0-9][0-9\\s.]*(ns|nsec|nanos|us|usec|ms|msec|millis|s|secs?|seconds?|m|mins?|minutes?|\
           h|hrs?|hours?|d|days?|w|weeks?|M|months?|y|years?)\\s*)+$",
}

#[cfg(test)]
mod tests {
    use regex::Regex;
    use schemars::generate::SchemaSettings;

    use super::*;

    /// Whether both take the text.
    fn taken<T: Written + JsonSchema>(text: &str) -> (bool, bool) {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
        let pattern = schema.get("pattern").and_then(|it| it.as_str()).expect("a pattern");
        let pattern = Regex::new(pattern).expect("a pattern");
        (text.parse::<T>().is_ok(), pattern.is_match(text))
    }

    #[test]
    fn p32_the_schema_takes_what_is_read_and_refuses_what_is_far_from_it() {
        for text in
            ["30s", "5m", "1h 30m", "1h30m", " 250ms ", "2 days", "1 000 ms", "1month", "1.5h"]
        {
            assert_eq!(taken::<Span>(text), (true, true), "{text}");
        }
        for text in ["", "30", "5 parsecs", "soon", "-5s"] {
            assert_eq!(taken::<Span>(text), (false, false), "{text}");
        }
        for text in ["0", "512B", "64KiB", "1 mib", "10MB", "2GiB", "5kb"] {
            assert_eq!(taken::<Size>(text), (true, true), "{text}");
        }
        for text in ["", "MiB", "-1", "1MX", "1M", "1.5MiB"] {
            assert_eq!(taken::<Size>(text), (false, false), "{text}");
        }
        for text in ["127.0.0.1:0", "localhost:80", "[::1]:80", "unix:/run/x.sock"] {
            assert_eq!(taken::<Listen>(text), (true, true), "{text}");
        }
        for text in ["", "8080", "127.0.0.1", "localhost", "unix:x.sock", "127.0.0.1:http"] {
            assert_eq!(taken::<Listen>(text), (false, false), "{text}");
        }
        for text in ["600", "0660"] {
            assert_eq!(taken::<FileMode>(text), (true, true), "{text}");
        }
        for text in ["", "66", "0o660", "2660", "0680"] {
            assert_eq!(taken::<FileMode>(text), (false, false), "{text}");
        }
        for text in ["https://a.example", "HTTP://127.0.0.1:8/x"] {
            assert_eq!(taken::<BaseUrl>(text), (true, true), "{text}");
        }
        for text in ["", "a.example", "ftp://a.example"] {
            assert_eq!(taken::<BaseUrl>(text), (false, false), "{text}");
        }
    }
}
