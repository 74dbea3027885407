//! A line of the log that is written without the library: what it says itself must not pass through it
//! once more.

use std::fmt::Write;

use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::Format;

/// A record in the library's two formats.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) level: Level,
    pub(super) message: &'a str,
    pub(super) fields: &'a [(&'a str, &'a str)],
}

impl Line<'_> {
    pub(super) fn render(&self, format: Format) -> String {
        let Self { level, message, fields } = self;
        let mut time = String::new();
        // A time that cannot be told is left out, as the library does.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut out = String::new();
        // A String takes everything.
        let _ = match format {
            Format::Text => write!(out, "{time} {level:>5} {}", one_line(message)),
            Format::Json => write!(
                out,
                "{{\"timestamp\":{},\"level\":\"{level}\",\"message\":{},\"target\":{}",
                json(&time),
                json(message),
                json(TARGET)
            ),
        };
        for (name, value) in *fields {
            let _ = match format {
                Format::Text => write!(out, " {name}={}", one_line(value)),
                Format::Json => write!(out, ",{}:{}", json(name), json(value)),
            };
        }
        out.push_str(if format == Format::Json { "}\n" } else { "\n" });
        out
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A control character would forge a line, or steer a terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => line.extend(char.escape_default()),
            false => line.push(char),
        }
    }
    line
}

const TARGET: &str = "tokenward::telemetry::log";
