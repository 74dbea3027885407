//! Wall-clock times in files and answers: RFC 3339, in UTC, with milliseconds.

use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub fn serialize<S: Serializer>(time: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&humantime::format_rfc3339_millis(*time))
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_rfc3339(&text).map_err(D::Error::custom)
}

/// A time that may be missing.
pub mod option {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &Option<SystemTime>, out: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, out),
            None => out.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let parsed = text.map(|text| humantime::parse_rfc3339(&text)).transpose();
        parsed.map_err(D::Error::custom)
    }
}

/// Times in a list.
pub mod list {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(times: &[SystemTime], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(
            times.iter().map(|time| humantime::format_rfc3339_millis(*time).to_string()),
        )
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SystemTime>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let parsed = texts.iter().map(|text| humantime::parse_rfc3339(text));
        parsed.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}
