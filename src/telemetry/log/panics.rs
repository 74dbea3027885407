//! What is said of a panic: the thread, the place and the message, as a record like any other.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing::Level;

use super::line::Line;
use super::screen::{Gap, Source};
use super::{Format, format};

/// Takes the place of the default report, which would write the message whatever it holds. There is
/// no backtrace: the released program has no symbols for one.
pub fn tell_panics() {
    panic::set_hook(Box::new(|panic| tell(panic, format(), io::stderr())));
}

fn tell(panic: &PanicHookInfo<'_>, format: Format, to: impl Write) {
    let (place, source) = match panic.location() {
        Some(at) => {
            let source = Source::new("panic", Some(at.file()), Some(at.line()));
            (format!("{}:{}:{}", at.file(), at.line(), at.column()), source)
        }
        None => (String::new(), Source::new("panic", None, None)),
    };
    let thread = thread::current();
    let fields = [
        ("thread", thread.name().unwrap_or("unnamed")),
        ("place", place.as_str()),
        ("panic", panic.payload_as_str().unwrap_or("it has no text")),
    ];
    let line = Line { level: Level::ERROR, message: "a thread panicked", fields: &fields };
    // Nobody is left to be told that stderr is closed.
    let _ = Gap::new(format, to, source).write_all(line.render(format).as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::secret::Secret;

    /// What is said when a thread panics with this message.
    fn said(format: Format, message: &str) -> String {
        static ONE_HOOK: Mutex<()> = Mutex::new(());
        let _one = ONE_HOOK.lock();
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = said.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if thread::current().name() == Some("doomed") {
                tell(panic, format, &mut *kept.lock().expect("a lock"));
            }
        }));
        let message = message.to_owned();
        let doomed = thread::Builder::new().name("doomed".to_owned());
        let doomed = doomed.spawn(move || panic!("{message}")).expect("a thread");
        doomed.join().expect_err("a panic");
        panic::set_hook(before);
        String::from_utf8(said.lock().expect("a lock").clone()).expect("text")
    }

    #[test]
    fn p26_a_panic_says_its_thread_place_and_message_and_no_secret() {
        let text = said(Format::Text, "two\nlines");
        assert!(text.contains(r"ERROR a thread panicked thread=doomed place=src/"), "{text}");
        assert!(text.ends_with("panic=two\\nlines\n") && text.lines().count() == 1, "{text}");
        let json = said(Format::Json, "\"quoted\"");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&json["level"], &json["panic"]), (&"ERROR".into(), &"\"quoted\"".into()));

        let secret = Secret::new("what-a-panic-must-not-say");
        for format in [Format::Text, Format::Json] {
            let said = said(format, &format!("no entry for {:?}", secret.expose()));
            assert!(said.contains("withheld") && said.contains("panics.rs"), "{said}");
            assert!(!said.contains(secret.expose()), "{said}");
        }
    }
}
