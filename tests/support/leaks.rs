//! Every secret that went in, and the search for it in every byte of ours that comes out: the log at
//! its last detail, the admin address, our own answers, what child processes say.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem;
use tokenward::telemetry::log::WITHHELD_MESSAGE;
use toml::{Table, Value};

use super::message::Message;

/// Searches the log when it is dropped, at the end of a test that has not failed otherwise.
#[derive(Debug, Default)]
pub struct Watch(());

struct State {
    secrets: BTreeSet<String>,
    found: Vec<String>,
}

/// One that a test gives to the gateway.
pub fn secret(text: impl Into<String>) {
    let text = text.into();
    if text.len() >= SHORTEST {
        state().secrets.insert(text);
    }
}

/// The secrets that stand in a config.
pub fn secrets_of(config: &Table) {
    for (key, value) in config {
        match value {
            Value::Table(table) if key == "credentials" => {
                let texts = table.iter().filter(|(name, _)| !ACCOUNTS.contains(&name.as_str()));
                texts.filter_map(|(_, value)| value.as_str()).for_each(secret);
            }
            Value::Table(table) => secrets_of(table),
            Value::String(text) if SECRET_KEYS.contains(&key.as_str()) => secret(text),
            _ => {}
        }
    }
}

/// An answer that a caller has got. Only our own are searched: a vendor may say what it likes.
pub fn answered(answer: &Message) {
    let ours = |name: &str| name.eq_ignore_ascii_case("tokenward-error");
    if answer.fields.iter().any(|(name, _)| ours(name)) {
        look_into("an answer of ours", &answer.raw);
    }
}

/// Looks for every secret that is known by now, and for every token of the simulated vendors, in a
/// text of ours. What is found fails the test at its end.
pub fn look_into(what: &str, text: &[u8]) {
    let mut state = state();
    let mut found = Vec::new();
    for secret in &state.secrets {
        found.extend(memmem::find(text, secret.as_bytes()).map(|at| line_at(text, at)));
    }
    found.extend(token_in(text).map(|at| line_at(text, at)));
    // The screen is for others' records. Of ours none may need it.
    for at in memmem::find_iter(text, WITHHELD_MESSAGE) {
        let line = line_at(text, at);
        let ours = ["record_target=tokenward", "\"record_target\":\"tokenward"];
        found.extend(ours.iter().any(|ours| line.contains(ours)).then_some(line));
    }
    state.found.extend(found.into_iter().map(|line| format!("in {what}: {line}")));
}

/// What was found in texts that were called so, which is then forgotten.
pub fn found_in(what: &str) -> Vec<String> {
    let start = format!("in {what}: ");
    state().found.extract_if(.., |found| found.starts_with(&start)).collect()
}

/// Fails the test if anything was found. Not while it fails already.
pub fn assert_none() {
    let found = std::mem::take(&mut state().found);
    if !std::thread::panicking() {
        assert!(found.is_empty(), "secrets came to light:\n{}", found.join("\n"));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        look_into("the log", super::logs::captured().as_bytes());
        assert_none();
    }
}

/// Where a token stands that one of the vendors here has handed out: `…-access-` or `…-refresh-`, and
/// forty letters and digits, or a number `-of-` another.
fn token_in(text: &[u8]) -> Option<usize> {
    let is_token = |rest: &[u8]| {
        let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        word == RANDOM || word > 0 && rest[word..].starts_with(b"-of-")
    };
    ["-access-", "-refresh-"].into_iter().find_map(|kind| {
        let mut places = memmem::find_iter(text, kind);
        places.find(|at| is_token(&text[at + kind.len()..]))
    })
}

fn line_at(text: &[u8], at: usize) -> String {
    let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| at + end);
    String::from_utf8_lossy(&text[start..end]).into_owned()
}

fn state() -> MutexGuard<'static, State> {
    static STATE: Mutex<State> = Mutex::new(State { secrets: BTreeSet::new(), found: Vec::new() });
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is shorter is no secret, but a word that happens to be given as one.
const SHORTEST: usize = 8;
/// Letters and digits of a simulated vendor's token.
const RANDOM: usize = 40;
const ACCOUNTS: [&str; 3] = ["app_id", "client_id", "appid"];
const SECRET_KEYS: [&str; 2] = ["password", "encryption_key"];
