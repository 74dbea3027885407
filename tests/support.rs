//! What the tests of the whole gateway stand on: a stage, callers and a vendor of raw bytes.

#![allow(unreachable_pub, reason = "every test file is a user of these")]
pub mod authority;
pub mod bulk;
pub mod caller;
pub mod chromium;
pub mod clients;
pub mod differential;
pub mod flood;
pub mod front;
pub mod h2;
pub mod hand;
pub mod kubernetes;
pub mod leaks;
pub mod logs;
pub mod memory;
pub mod message;
pub mod metrics;
pub mod pod;
pub mod process;
pub mod redis;
pub mod reloading;
pub mod running;
pub mod servers;
#[cfg(feature = "otlp")]
pub mod spans;
pub mod stage;
pub mod strangers;
pub mod switch;
pub mod systemd;
pub mod vendor;
pub mod vendors;

use std::time::Duration;

use tokio::time::{sleep, timeout};

pub use caller::Caller;
pub use message::Message;
pub use stage::Stage;
pub use vendor::{Answer, RawVendor};

/// Waits for what must come, and fails the test when it does not.
#[track_caller]
pub fn soon<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(DEADLINE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{caller}: {what}: not within {DEADLINE:?}"),
        }
    }
}

/// Waits until a condition holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    soon(what, async move {
        while !holds() {
            sleep(LOOK_AGAIN).await;
        }
    })
}

/// A recorded answer of a vendor, with its placeholders filled in.
pub fn recording(name: &str, values: &[(&str, &str)]) -> String {
    let path = format!("{}/tests/vendors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let usual = [("trace_id", "trace-1"), ("request_id", "request-1"), ("now_ms", "1700000000000")];
    let filled = values
        .iter()
        .chain(&usual)
        .fold(text, |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
    filled.trim_end().to_owned()
}

/// Long enough for a busy machine; nothing waits for it unless the test fails.
const DEADLINE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Nothing moves any more. Too short on a busy machine, it ends a writing early, and no test fails for
/// that.
const STANDSTILL: Duration = Duration::from_millis(300);
