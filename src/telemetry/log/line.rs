//! A line of the log that is written without the library: what it says itself must not pass through it
//! once more.

use std::fmt::{Display, Write};

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

/// The same, field by field.
#[derive(Debug)]
pub struct Fields {
    format: Format,
    out: String,
}

impl Line<'_> {
    pub(super) fn render(&self, format: Format) -> String {
        let Self { level, message, fields } = self;
        let mut line = Fields::new(format, *level, message, TARGET);
        for (name, value) in *fields {
            line.text(name, value);
        }
        line.end()
    }
}

impl Fields {
    /// A record of now. Only JSON says the target, as with all others.
    pub fn new(format: Format, level: Level, message: &str, target: &str) -> Self {
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
                json(target)
            ),
        };
        Self { format, out }
    }

    pub fn text(&mut self, name: &str, value: &str) {
        let _ = match self.format {
            Format::Text => write!(self.out, " {name}={}", one_line(value)),
            Format::Json => write!(self.out, ",{}:{}", json(name), json(value)),
        };
    }

    pub fn number(&mut self, name: &str, value: impl Display) {
        let _ = match self.format {
            Format::Text => write!(self.out, " {name}={value}"),
            Format::Json => write!(self.out, ",{}:{value}", json(name)),
        };
    }

    /// The whole line.
    pub fn end(mut self) -> String {
        self.out.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
        self.out
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
