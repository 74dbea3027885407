//! `tokenward status`: how a gateway is, for people or for programs.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::clock;

use super::admin::{self, Answer};
use super::people::{Cell, Colour, coloured, plain, span, table};
use super::{Failure, block_on, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Hand on what the gateway says, in JSON, as it is.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: admin::Whereabouts,
}

/// Exit code 1 where the gateway is not ready: what was found out is said all the same.
pub(super) fn status(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let admin = arguments.admin.admin()?;
    let answer =
        block_on(async { admin.get("/status", LONGEST_LOOK).await.map_err(Failure::failed) })?;
    let status = read(&answer).ok_or_else(|| {
        let problem = format!("{admin}: HTTP {}, which is no gateway's status", answer.status);
        Failure::Failed(problem.into())
    })?;
    if arguments.json {
        say(io::stdout(), String::from_utf8_lossy(&answer.body).trim_end());
    } else {
        say(io::stdout(), &shown(&status, coloured()));
    }
    Ok(if status["ready"] == true { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn read(answer: &Answer) -> Option<Value> {
    let status: Value = serde_json::from_slice(&answer.body).ok()?;
    let is_one = answer.status == 200 && status["upstreams"].is_object();
    is_one.then_some(status)
}

fn shown(status: &Value, coloured: bool) -> String {
    let mut parts = vec![heading(status, coloured)];
    let upstreams: Vec<_> = status["upstreams"].as_object().into_iter().flatten().collect();
    let titles = ["UPSTREAM", "READY", "TOKEN", "ENDS", "BUDGET", "LAST REFRESH"];
    let titles = titles.map(|title| Cell::in_colour(title, Colour::Heading)).to_vec();
    let rows: Vec<_> = upstreams.iter().map(|(name, upstream)| row(name, upstream)).collect();
    parts.push(table(&[vec![titles], rows].concat(), coloured));
    let notes: Vec<_> = upstreams.iter().flat_map(|(name, one)| notes(name, one)).collect();
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n")
}

fn heading(status: &Value, coloured: bool) -> String {
    let version = plain(text(&status["version"]));
    let up = span(Duration::from_secs(status["uptime_seconds"].as_u64().unwrap_or_default()));
    let ready = match (status["ready"] == true, status["stopping"] == true) {
        (true, _) => Colour::Good.paint("ready", coloured),
        (false, true) => Colour::Doubtful.paint("stopping", coloured),
        (false, false) => Colour::Bad.paint("not ready", coloured),
    };
    let store = &status["store"];
    let kind = plain(text(&store["kind"]));
    let store = match (store["up"] == true, plain(text(&store["detail"]))) {
        (true, _) => kind,
        (false, detail) => format!("{kind}, {}: {detail}", Colour::Bad.paint("down", coloured)),
    };
    format!("tokenward {version}, up {up}: {ready}; store: {store}")
}

fn row(name: &str, upstream: &Value) -> Vec<Cell> {
    let ready = match upstream["ready"] == true {
        true => Cell::in_colour("yes", Colour::Good),
        false => Cell::in_colour("no", Colour::Bad),
    };
    let (token, budget) = (&upstream["token"], &upstream["budget"]);
    let generation = token["generation"].as_u64().map(|number| format!("no. {number}"));
    let left = token["seconds_left"].as_u64().map(Duration::from_secs);
    let ends = match left {
        None => Cell::new("-"),
        Some(Duration::ZERO) => Cell::in_colour("over", Colour::Bad),
        Some(left) => Cell::new(format!("in {}", span(left))),
    };
    let used = budget["used"].as_u64().unwrap_or_default();
    let budget = match budget["limit"].as_u64().unwrap_or_default() {
        0 => Cell::new("no cap"),
        limit if used >= limit => Cell::in_colour(format!("{used} of {limit}"), Colour::Bad),
        limit => Cell::new(format!("{used} of {limit}")),
    };
    let generation = generation.unwrap_or_else(|| "none".to_owned());
    vec![Cell::new(name), ready, Cell::new(generation), ends, budget, last_refresh(upstream)]
}

fn last_refresh(upstream: &Value) -> Cell {
    let last = &upstream["last_refresh"];
    if last.is_null() {
        return Cell::new("none by this process");
    }
    let (outcome, reason) = (text(&last["outcome"]), text(&last["reason"]));
    let ago = match humantime::parse_rfc3339(text(&last["at"])) {
        // The clocks of two machines differ a little.
        Ok(at) => span(clock::wall().duration_since(at).unwrap_or_default()),
        Err(_) => "?".to_owned(),
    };
    let line = format!("{outcome} ({reason}), {ago} ago");
    match outcome {
        "ok" | "adopted" => Cell::new(line),
        _ => Cell::in_colour(line, Colour::Doubtful),
    }
}

/// What a person should know beyond the table, a line each.
fn notes(name: &str, upstream: &Value) -> Vec<String> {
    let (last, account) = (&upstream["last_refresh"], &upstream["account"]);
    let mut notes = Vec::new();
    let (waits_for, plea) = (text(&upstream["reason"]), text(&account["plea"]));
    if !waits_for.is_empty() && waits_for != plea {
        notes.push(format!("not ready: {waits_for}"));
    }
    if !plea.is_empty() {
        notes.push(format!("a person must act: {plea}"));
    }
    let detail = text(&last["detail"]);
    if !detail.is_empty() && detail != plea && !waits_for.contains(detail) {
        notes.push(format!("last refresh: {detail}"));
    }
    if let Some(holder) = account["lease"].as_str() {
        notes.push(format!("being refreshed by the replica {holder}"));
    }
    if let Some(since) = account["answer_missing_since"].as_str() {
        notes.push(format!("an answer of the token endpoint is missing since {since}"));
    }
    if account["seeded_by_hand"] == true {
        notes.push("a refresh token was put in by hand, and not presented yet".to_owned());
    }
    if let Some(at) = upstream["budget"]["resets_at"].as_str().filter(|_| is_spent(upstream)) {
        notes.push(format!("the day's budget is spent; it opens at {at}"));
    }
    let warnings = upstream["warnings"].as_array().into_iter().flatten();
    notes.extend(warnings.map(|warning| format!("warning: {}", text(warning))));
    notes.iter().map(|note| plain(&format!("{name}: {note}"))).collect()
}

fn is_spent(upstream: &Value) -> bool {
    let budget = &upstream["budget"];
    let limit = budget["limit"].as_u64().unwrap_or_default();
    limit > 0 && budget["used"].as_u64().unwrap_or_default() >= limit
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

const LONGEST_LOOK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn p29_each_upstream_has_a_line_and_what_is_wrong_a_line_of_its_own() {
        let at = humantime::format_rfc3339_seconds(clock::wall() - Duration::from_secs(150));
        let at = at.to_string();
        let status = json!({
            "version": "1.2.3", "uptime_seconds": 11_520, "ready": false, "stopping": false,
            "store": { "kind": "redis", "up": false, "detail": "gone" },
            "upstreams": {
                "one": {
                    "ready": true, "reason": null,
                    "token": { "generation": 4, "seconds_left": 4_320 },
                    "budget": { "used": 3, "limit": 0 },
                    "last_refresh": { "at": at, "reason": "schedule", "outcome": "ok", "detail": "" },
                    "account": { "lease": "pod-1:7", "plea": null }, "warnings": ["look\u{1b}[2J"],
                },
                "two": {
                    "ready": false, "reason": "refused: seed it", "token": null,
                    "budget": { "used": 300, "limit": 300, "resets_at": "2030-01-01T00:00:00Z" },
                    "last_refresh": null, "account": { "plea": "refused: seed it" }, "warnings": [],
                },
            },
        });
        let lines = shown(&status, false);
        let told: Vec<_> = lines.lines().collect();
        assert_eq!(told[0], "tokenward 1.2.3, up 3 h 12 min: not ready; store: redis, down: gone");
        assert_eq!(
            &told[2..5],
            [
                "UPSTREAM  READY  TOKEN  ENDS           BUDGET      LAST REFRESH",
                "one       yes    no. 4  in 1 h 12 min  no cap      ok (schedule), 2 min 30 s ago",
                "two       no     none   -              300 of 300  none by this process",
            ]
        );
        assert_eq!(
            &told[6..],
            [
                "one: being refreshed by the replica pod-1:7",
                "one: warning: look [2J",
                "two: a person must act: refused: seed it",
                "two: the day's budget is spent; it opens at 2030-01-01T00:00:00Z",
            ]
        );
        assert!(shown(&status, true).contains("\u{1b}[31mno\u{1b}[0m"));
    }
}
