//! `tokenward probe`: shows how a vendor says that a token is none, and which rule takes it for that.

mod rule;

use std::io;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::uri::PathAndQuery;
use http::{HeaderName, Method};

use crate::app::probe::{self, Answer, Question};
use crate::config::{UpstreamConfig, parse};
use crate::secret::Secret;

use super::progress::Progress;
use super::{ConfigFile, Failure, block_on, classify, environment, say, seed};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The upstream, as the config names it.
    upstream: String,

    /// A path of the vendor's, perhaps with a query, that needs a token.
    #[arg(long, value_parser = parse_path)]
    path: PathAndQuery,

    /// The method of the call, which has no body.
    #[arg(long, default_value = "GET")]
    method: Method,

    /// A field to send, `Name: value`; may be given more than once.
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,

    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn probe(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { upstream: name, path, method, headers, file } = arguments;
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    let upstream = seed::upstream(&config, name)?;
    let headers = classify::headers(headers)?;
    let wrong = wrong_token();
    let question = Question { method: method.clone(), target: path.clone(), headers };
    let mut progress = Progress::new();
    progress.show(&format!("{name}: waiting for the vendor's answer"));
    let answer =
        block_on(async { probe::ask(upstream, question, &wrong).await.map_err(Failure::failed) });
    progress.clear();
    let answer = answer?;
    out(&format!("{method} {}{path}", upstream.base_url.to_string().trim_end_matches('/')));
    out(&format!("  with {wrong} in the place of the token\n"));
    show(&answer, upstream);
    judge(&answer, upstream);
    Ok(())
}

fn show(answer: &Answer, upstream: &UpstreamConfig) {
    out(&format!("HTTP {}", answer.status));
    for (name, value) in answer.headers.iter().filter(|(name, _)| is_of_interest(name)) {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        out(&format!("{name}: {}", masked(value, upstream)));
    }
    let body = masked(String::from_utf8_lossy(&answer.body).into_owned(), upstream);
    let body: String = body.chars().filter(|c| !c.is_control() || "\n\t".contains(*c)).collect();
    out(&format!("\n{}\n", if body.is_empty() { "(no body)" } else { body.trim_end() }));
}

fn judge(answer: &Answer, upstream: &UpstreamConfig) {
    let (status, name) = (answer.status, &upstream.name);
    if classify::explain(&upstream.rules, status, &answer.headers, &answer.body) {
        return;
    }
    let json = serde_json::from_slice(&answer.body).ok();
    if json
        .as_ref()
        .is_some_and(|json| status.is_success() && upstream.vendor.answer.is_success(json))
    {
        return out("The vendor has accepted the call: take a path that needs a token.");
    }
    match rule::for_answer(&upstream.vendor, status, json.as_ref()) {
        Some(rule) => out(&format!(
            "If this is how the vendor calls a token dead, add to the config:\n\n\
             [[upstream.{name}.reject]]\n{}",
            masked(rule, upstream)
        )),
        None => out("There is no code in this answer that a rule could go by."),
    }
}

fn parse_path(text: &str) -> Result<PathAndQuery, String> {
    match text.starts_with('/') {
        true => text.parse().map_err(|error| format!("{error}")),
        false => Err("a path begins with `/`".to_owned()),
    }
}

fn is_of_interest(name: &HeaderName) -> bool {
    const EXACT: [HeaderName; 5] =
        [CONTENT_TYPE, CONTENT_ENCODING, WWW_AUTHENTICATE, RETRY_AFTER, LOCATION];
    const ENDS: [&str; 3] = ["request-id", "trace-id", "logid"];
    let text = name.as_str();
    EXACT.contains(name) || ENDS.iter().any(|end| text.ends_with(end)) || text.contains("ratelimit")
}

/// Without the credentials, should the vendor repeat one.
fn masked(mut text: String, upstream: &UpstreamConfig) -> String {
    let secrets = upstream.credentials.values().chain(&upstream.seed).map(Secret::expose);
    for secret in secrets.filter(|secret| secret.len() >= SHORTEST_MASKED) {
        text = text.replace(secret, "***");
    }
    text
}

/// No vendor has given this one out.
fn wrong_token() -> String {
    format!("tokenward-probe-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

fn out(line: &str) {
    say(io::stdout(), line);
}

/// Shorter values would blot out ordinary words.
const SHORTEST_MASKED: usize = 6;
