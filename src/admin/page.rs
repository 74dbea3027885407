//! The status page, for people: rendered here, so that it is whole without JavaScript. What a vendor
//! has said stands on it, so nothing is put into it but by [`markup`], which escapes, and nothing runs
//! in it but the one script whose hash the policy names.

mod advice;
mod card;
mod markup;
mod plot;
mod words;

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};

use crate::clock;
use crate::telemetry::metrics::Totals;
use crate::token::store::Condition;
use crate::token::{Outcome, Status};

use super::answer::{self, Answer};
use super::live::{Now, as_made_by};
use markup::{Text, fill};

/// What the page shows.
pub(super) struct Sight {
    pub(super) stopping: bool,
    pub(super) store: Condition,
    /// The id of the key that the store is sealed with.
    pub(super) sealed_with: Option<String>,
    pub(super) upstreams: Vec<Seen>,
    pub(super) up_for: Duration,
}

/// One upstream at one moment.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) vendor: String,
    pub(super) base_url: String,
    /// Why it is not ready; `None`: it is.
    pub(super) waits_for: Option<String>,
    pub(super) token: Status,
    pub(super) in_flight: i64,
    /// The last hour, the minute that runs being the last.
    pub(super) minutes: Vec<Totals>,
}

/// How an upstream is, in a word and a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mood {
    Good,
    /// It serves, but a person should look.
    Odd,
    Bad,
}

/// The whole document.
pub(super) fn answer(sight: &Sight, made_by: &str) -> Answer {
    let now = now(sight);
    let mut parts = String::new();
    for (id, html) in &now.parts {
        // Of all that changes, one sentence is read aloud.
        let role = if id == VERDICT { " role=\"status\"" } else { "" };
        let _ = writeln!(parts, "<div id=\"{id}\" class=\"part\"{role}>{html}</div>");
    }
    let up_since = words::moment(clock::wall() - sight.up_for);
    let page = fill(PAGE, |name| match name {
        "style" => STYLE.to_owned(),
        "script" => SCRIPT.to_owned(),
        "made_by" => as_made_by(made_by, now.parts.len()),
        "title" => Text(&now.title).to_string(),
        "icon" => Text(&now.icon).to_string(),
        "version" => env!("CARGO_PKG_VERSION").to_owned(),
        "at" => now.at.clone(),
        "up_since" => up_since.clone(),
        "parts" => parts.clone(),
        _ => String::new(),
    });
    let mut answer = answer::whole(StatusCode::OK, "text/html; charset=utf-8", page.into_bytes());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy().clone());
    // For browsers that do not know `frame-ancestors`.
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    answer
}

/// What changes on the page.
pub(super) fn now(sight: &Sight) -> Now {
    let moods: Vec<Mood> = sight.upstreams.iter().map(|seen| mood(seen, &sight.store)).collect();
    let worst = moods.iter().copied().max().unwrap_or(Mood::Good);
    let worst = if sight.stopping { Mood::Bad } else { worst };
    let ready = sight.upstreams.iter().filter(|seen| seen.waits_for.is_none()).count();
    let all = sight.upstreams.len();
    let state = if sight.stopping { "stopping".to_owned() } else { format!("{ready}/{all} ready") };

    let cards = sight.upstreams.iter().zip(&moods).enumerate();
    let mut parts = vec![(VERDICT.to_owned(), verdict(sight, &moods, worst))];
    parts.extend(cards.map(|(place, (seen, mood))| {
        (format!("upstream-{place}"), card::html(place, seen, *mood, &sight.store))
    }));
    parts.push(("store".to_owned(), store(sight)));
    Now {
        at: words::time(clock::wall()),
        title: format!("{} {state} · tokenward", worst.mark()),
        icon: worst.icon(),
        parts,
    }
}

/// The one sentence to read at night.
fn verdict(sight: &Sight, moods: &[Mood], worst: Mood) -> String {
    let of = |wanted: Mood| -> Vec<String> {
        let places = moods.iter().zip(&sight.upstreams).enumerate();
        let found = places.filter(|(_, (mood, _))| **mood == wanted);
        let link = |place, name: &str| format!("<a href=\"#h-{place}\">{}</a>", Text(name));
        found.map(|(place, (_, seen))| link(place, &seen.name)).collect()
    };
    let (bad, odd) = (of(Mood::Bad), of(Mood::Odd));
    let mut said = match (sight.stopping, bad.is_empty()) {
        // How many is told by the cards: this is read aloud whenever it changes.
        (true, _) => "<strong>Stopping.</strong> Nothing new is begun; what is under way comes to \
                      its end."
            .to_owned(),
        (false, true) if sight.upstreams.len() == 1 => {
            "<strong>Ready.</strong> The upstream has a living token.".to_owned()
        }
        (false, true) => {
            let all = match sight.upstreams.len() {
                2 => "Both".to_owned(),
                all => format!("All {all}"),
            };
            format!("<strong>Ready.</strong> {all} upstreams have a living token.")
        }
        (false, false) => {
            format!("<strong>Not ready.</strong> No living token: {}.", bad.join(", "))
        }
    };
    if !odd.is_empty() {
        let _ = write!(said, " Serving, but look at {}.", odd.join(", "));
    }
    format!("<p class=\"verdict {}\">{} {said}</p>", worst.class(), worst.badge())
}

fn store(sight: &Sight) -> String {
    let Condition { kind, up, since, detail } = &sight.store;
    let (class, state) = if *up { ("good", "up") } else { ("bad", "down") };
    let mut html = format!(
        "<section class=\"card {class}\" aria-labelledby=\"h-store\">\n\
         <h2 id=\"h-store\">Token store <span class=\"state\">{state}</span></h2>\n"
    );
    if !up {
        html += &advice::html(&[advice::STORE_DOWN.to_owned()]);
    }
    html += "<dl class=\"facts\">";
    markup::fact(&mut html, "Kind", &Text(kind));
    let whole = words::when(*since);
    markup::fact(&mut html, if *up { "Up since" } else { "Down since" }, &whole);
    if let Some(detail) = detail {
        markup::fact(&mut html, "What is wrong", &markup::Said(detail));
    }
    // What is nowhere but in memory needs no seal.
    if *kind != "memory" {
        let sealed = sight.sealed_with.as_deref().unwrap_or("no: tokens lie there in the clear");
        markup::fact(&mut html, "Sealed", &Text(sealed));
    }
    html + "</dl></section>"
}

fn mood(seen: &Seen, store: &Condition) -> Mood {
    let Status { last, warnings, account, budget, .. } = &seen.token;
    // A renewal that waits for another replica is as it should be.
    let failed = last
        .as_ref()
        .is_some_and(|last| !last.outcome.is_success() && last.outcome != Outcome::Waiting);
    let low = advice::budget_is_low(budget);
    let odd = failed || low || !warnings.is_empty() || account.plea.is_some() || !store.up;
    if seen.waits_for.is_some() {
        Mood::Bad
    } else if odd {
        Mood::Odd
    } else {
        Mood::Good
    }
}

// === impl Mood ===

impl Mood {
    /// Said beside each colour, for those who do not see it.
    fn mark(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Odd => '!',
            Self::Bad => '✕',
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Odd => "odd",
            Self::Bad => "bad",
        }
    }

    fn badge(self) -> String {
        format!("<span class=\"mark\" aria-hidden=\"true\">{}</span>", self.mark())
    }

    /// For the tab among many.
    fn icon(self) -> String {
        let colour = match self {
            Self::Good => "1a7f4b",
            Self::Odd => "b26a00",
            Self::Bad => "c62828",
        };
        format!(
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E\
             %3Ccircle cx='4' cy='4' r='4' fill='%23{colour}'/%3E%3C/svg%3E"
        )
    }
}

/// Nothing is loaded from anywhere but what is in the page, and it asks nobody but this address.
fn policy() -> &'static HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    POLICY.get_or_init(|| {
        let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(SCRIPT),
            hash(STYLE),
        );
        // Letters, digits and marks: this is always a value.
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    })
}

/// How long before now, or from now.
fn apart(time: SystemTime) -> Result<Duration, Duration> {
    let now = clock::wall();
    now.duration_since(time).map_err(|ahead| ahead.duration())
}

const VERDICT: &str = "verdict";
const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

#[cfg(test)]
mod tests;
