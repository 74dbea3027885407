use std::error::Error;
use std::fmt;

use tracing::subscriber::with_default;
use tracing::{Subscriber, debug, info, info_span};

use super::*;
use crate::causes::causes;
use crate::secret::Secret;
use crate::telemetry::kept::Lines;

#[derive(Debug)]
struct Chain(&'static str, Option<Box<Chain>>);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Chain {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|source| source as _)
    }
}

fn log(format: Format, lines: &Lines) -> Box<dyn Subscriber + Send + Sync> {
    // A second subscriber in the process; see `Lines::log`.
    drop(lines.log());
    let log = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
    let log = log.with_writer(Screen::new(format, lines.clone()));
    match format {
        Format::Text => Box::new(log.with_target(false).finish()),
        Format::Json => Box::new(log.json().flatten_event(true).finish()),
    }
}

#[test]
fn p26_a_record_with_a_secret_is_withheld_and_names_its_place() {
    let secret = Secret::new("live-secret-of-this-test");
    let text = secret.expose();
    for format in [Format::Text, Format::Json] {
        let (lines, before) = (Lines::default(), WITHHELD.get());
        with_default(log(format, &lines), || {
            info!("nothing to hide");
            info!("token {text}");
            info!(token = text, "a field");
            debug!(target: "elsewhere", token = ?[text], "a field of a list");
            let error = Chain("outer", Some(Box::new(Chain("live-secret-of-this-test", None))));
            info!(error = causes(&error), "an error's chain");
            let span = info_span!("call", token = text);
            span.in_scope(|| info!("within a span"));
            info!(bytes = ?text.as_bytes(), "its bytes");
            info!("nothing to hide");
        });
        let lines = lines.all();
        assert_eq!((lines.len(), WITHHELD.get() - before), (8, 6), "{lines:#?}");
        for line in [&lines[0], &lines[7]] {
            assert!(line.contains("nothing to hide"), "{line}");
        }
        for line in &lines[1..7] {
            assert!(line.contains(WITHHELD_MESSAGE) && line.contains("WARN"), "{line}");
            assert!(line.contains("screen/tests.rs") && !line.contains(text), "{line}");
        }
        assert!(lines[3].contains("elsewhere"), "{}", lines[3]);
        if format == Format::Json {
            for line in &lines {
                let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
                assert!(record["timestamp"].is_string() && record["target"].is_string(), "{line}");
            }
        }
    }
}

#[test]
fn p26_what_is_looked_for_is_what_lives_now() {
    let secret = Secret::new("rotated-every-so-often-1");
    assert!(holds_secret(b"<rotated-every-so-often-1>"));
    assert!(!holds_secret(b"<rotated-every-so-often-2>"));
    let next = Secret::new("rotated-every-so-often-2");
    drop(secret);
    assert!(!holds_secret(b"<rotated-every-so-often-1>"));
    assert!(holds_secret(b"<rotated-every-so-often-2>"));
    drop(next);
    assert!(!holds_secret(b"<rotated-every-so-often-2>"));
}
