//! One upstream on the page.

use std::fmt::Write as _;

use crate::telemetry::metrics::Totals;
use crate::token::store::Condition;
use crate::token::{LastRefresh, Status};

use super::markup::{Said, Text, fact};
use super::{Mood, Seen, advice, plot, words};

/// The card of the upstream that has this place among all.
pub(super) fn html(place: usize, seen: &Seen, mood: Mood, store: &Condition) -> String {
    let state = match mood {
        Mood::Good => "ready",
        Mood::Odd => "ready, but look",
        Mood::Bad => "not ready",
    };
    let mut html = format!(
        "<section class=\"card {class}\" aria-labelledby=\"h-{place}\">\n\
         <h2 id=\"h-{place}\" tabindex=\"-1\">{name} <span class=\"state\">{mark} {state}</span></h2>\n\
         <p class=\"where\">{vendor} at {base_url}</p>\n",
        class = mood.class(),
        name = Text(&seen.name),
        mark = mood.badge(),
        vendor = Text(&seen.vendor),
        base_url = Text(&seen.base_url),
    );
    if let Some(reason) = &seen.waits_for {
        let _ = writeln!(html, "<p class=\"reason\">{}</p>", Said(reason));
    }
    html += &advice::html(&advice::of(seen, store));
    html += "<dl class=\"facts\">\n";
    facts(&mut html, seen);
    html += "</dl>\n";
    html += &hour(&seen.name, &seen.minutes);
    html + "</section>"
}

fn facts(html: &mut String, seen: &Seen) {
    let Status { generation, budget, account, last, .. } = &seen.token;
    fact(html, "Token ends", &end(&seen.token));
    fact(html, "Generation", &words::number(*generation));
    let plea = account.plea.as_deref();
    let last = last.as_ref().map_or_else(|| "none yet".to_owned(), |last| refresh(last, plea));
    fact(html, "Last refresh", &last);
    if let Some(time) = seen.token.last_success.filter(|_| failed(&seen.token)) {
        fact(html, "Last success", &words::when(time));
    }
    let (used, limit) = (words::number(budget.used.into()), words::number(budget.limit.into()));
    if budget.limit == 0 {
        fact(html, "Budget", &format!("{used} used today, no limit"));
    } else {
        let part = f64::from(budget.used) / f64::from(budget.limit);
        let class = if advice::budget_is_low(budget) { "odd" } else { "" };
        let resets = budget.resets_at.map_or_else(String::new, |at| {
            format!(" <span class=\"more\">resets {}</span>", words::when(at))
        });
        let meter = plot::meter(part, class);
        fact(html, "Budget", &format!("{used} of {limit} used {meter}{resets}"));
    }
    fact(html, "In flight", &words::many(seen.in_flight.max(0), "request"));
    let lease = account.lease.as_deref().map_or_else(String::new, |holder| {
        format!(" <span class=\"more\">being renewed by {}</span>", Text(holder))
    });
    let by_hand = if account.seeded_by_hand {
        " <span class=\"more\">a seed put in by hand waits to be used</span>"
    } else {
        ""
    };
    fact(html, "Account", &format!("{}{lease}{by_hand}", Text(&account.page)));
    if let Some(since) = account.answer_missing_since {
        fact(html, "Answer missing", &words::when(since));
    }
    if account.early_deaths > 0 {
        fact(html, "Died young", &words::many(account.early_deaths.into(), "token"));
    }
}

fn failed(token: &Status) -> bool {
    token.last.as_ref().is_some_and(|last| !last.outcome.is_success())
}

/// As a countdown, a bar and a time.
fn end(token: &Status) -> String {
    let Some(over_at) = token.over_at else { return "there is none".to_owned() };
    let left = over_at.left();
    let moment = token.expires_at.map(words::moment).unwrap_or_default();
    if left.is_zero() {
        return format!("it is over <span class=\"dim\">{moment}</span>");
    }
    let life = token.expires_at.zip(token.obtained_at);
    let life = life.and_then(|(end, begin)| end.duration_since(begin).ok());
    let part =
        life.filter(|life| !life.is_zero()).map(|life| left.as_secs_f64() / life.as_secs_f64());
    let class = if part.is_some_and(|part| part < NEAR) { "odd" } else { "" };
    let meter = part.map(|part| plot::meter(part, class)).unwrap_or_default();
    format!("in {} {meter} <span class=\"dim\">{moment}</span>", words::span(left))
}

/// What a person must do stands above already, in the same words.
fn refresh(last: &LastRefresh, plea: Option<&str>) -> String {
    let class = if last.outcome.is_success() { "fine" } else { "wrong" };
    let mut html = format!(
        "<span class=\"{class}\">{}</span> <span class=\"more\">{}, {}</span>",
        last.outcome.as_str(),
        words::when(last.at),
        last.reason.as_words(),
    );
    if !last.detail.is_empty() && plea != Some(&*last.detail) {
        let _ = write!(html, " <span class=\"more\">{}</span>", Said(&last.detail));
    }
    html
}

/// The last hour, as a table whose plots are its third column.
fn hour(name: &str, minutes: &[Totals]) -> String {
    let mut html = format!(
        "<table><caption>Last hour <span class=\"hidden\">of {}</span></caption>\n<thead><tr>\
         <td></td><th scope=\"col\">5 min</th><th scope=\"col\">hour</th>\
         <th scope=\"col\">by the minute</th></tr></thead>\n<tbody>",
        Text(name)
    );
    let rows: [Row; 3] = [
        ("Requests", "fine", |minute| minute.requests),
        ("5xx answers", "wrong", |minute| minute.failures),
        ("Rejections", "odd", |minute| minute.rejections),
    ];
    for (what, class, count) in rows {
        let counts: Vec<u64> = minutes.iter().map(count).collect();
        let recent = counts.iter().rev().take(5).sum();
        let said = format!("{what}: {}", plot::said(&counts));
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{what}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            words::short(recent),
            words::short(counts.iter().sum()),
            plot::bars(&counts, class, &said),
        );
    }
    html + "</tbody></table>"
}

/// What is counted, the class of its bars, and which of the totals it is.
type Row = (&'static str, &'static str, fn(&Totals) -> u64);

/// Of its life: a renewal should have come by then.
const NEAR: f64 = 0.1;
