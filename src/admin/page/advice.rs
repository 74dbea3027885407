//! What whoever looks at the page should do next.

use std::fmt::Write as _;

use crate::token::budget::Remaining;
use crate::token::store::Condition;
use crate::token::{LastRefresh, Outcome};

use super::markup::Said;
use super::{Seen, words};

/// In the order of urgency; nothing while all is well.
pub(super) fn of(seen: &Seen, store: &Condition) -> Vec<String> {
    let token = &seen.token;
    let mut told = Vec::new();
    match (&token.account.plea, &token.last) {
        // It names the command that helps.
        (Some(plea), _) => told.push(format!("Only a person can help. {}", sentence(plea))),
        (None, Some(last)) if !last.outcome.is_success() => told.extend(after(last, seen)),
        _ if !store.up => told.push(STORE_DOWN.to_owned()),
        _ => {}
    }
    told.extend(token.warnings.iter().map(|warning| sentence(warning)));
    let spent = token.last.as_ref().is_some_and(|last| last.outcome == Outcome::Budget);
    if budget_is_low(&token.budget) && !spent {
        let left = token.budget.left().unwrap_or(0);
        told.push(format!(
            "Only {} left of the vendor's day. {WHO_REJECTS}",
            words::many(left.into(), "refresh call")
        ));
    }
    told
}

/// Within the tenth that is kept for rejections.
pub(super) fn budget_is_low(budget: &Remaining) -> bool {
    budget.left().is_some_and(|left| u64::from(left) * 10 < u64::from(budget.limit))
}

pub(super) fn html(advice: &[String]) -> String {
    if advice.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"advice\"><h3>What to do</h3>\n<ul>");
    for one in advice {
        let _ = writeln!(html, "<li>{}</li>", Said(one));
    }
    html + "</ul></div>\n"
}

fn after(last: &LastRefresh, seen: &Seen) -> Option<String> {
    let advice = match last.outcome {
        Outcome::Ok | Outcome::Adopted => return None,
        Outcome::Refused => {
            "The vendor refuses. It is tried again by itself, more and more rarely. Look whether the \
             credentials in the config are still good at the vendor."
        }
        Outcome::Unreachable => {
            "The token endpoint cannot be reached, or is in trouble. It is tried again by itself. Look \
             whether this machine reaches it (name, network, TLS), and at the vendor's own status page."
        }
        Outcome::Malformed => {
            "What answers at the token endpoint is not what the vendor's description expects. Perhaps \
             something else answers in its place (`base_url`, a proxy), or the vendor has changed its API."
        }
        Outcome::Budget if seen.token.budget.left() == Some(0) => {
            return Some(format!("The vendor's day is spent. {WHO_REJECTS}"));
        }
        Outcome::Budget => {
            "The renewal was put off to keep to the vendor's limits, and comes by itself. Many rejections a \
             minute cause this: look at Rejections below."
        }
        Outcome::Unsaved => {
            "A new token came and could not be saved: mend the store before this process ends, or that \
             token is lost."
        }
        Outcome::Store => STORE_DOWN,
        Outcome::Waiting => {
            "Another replica is renewing the token. If this stays for minutes, look at that replica's log; \
             its name is under Account."
        }
        Outcome::Same => {
            "The vendor called the token dead and handed out the same one again. Either it errs, or a rule \
             takes an answer for a rejection: `tokenward classify` tells which."
        }
    };
    Some(advice.to_owned())
}

/// With a capital and a full stop: the log's words have neither.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let sentence: String = first.chain(letters).collect();
    if sentence.ends_with(['.', '!', '?']) { sentence } else { sentence + "." }
}

pub(super) const STORE_DOWN: &str = "Mend the token store: tokens in hand are served while they live, and none is renewed before it is \
     back.";
const WHO_REJECTS: &str = "Find out why so many are needed: `tokenward_token_refreshes_total` counts them by reason, and \
     another program that uses the same app id makes them necessary.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_a_sentence() {
        assert_eq!(sentence("the vendor refused"), "The vendor refused.");
        assert_eq!(sentence("Ask it!"), "Ask it!");
        assert_eq!(sentence(""), ".");
        assert_eq!(html(&[]), "");
        assert!(html(&["a <b>".to_owned()]).contains("<li><bdi>a &lt;b&gt;</bdi></li>"));
    }

    #[test]
    fn p16_the_last_tenth_of_a_budget_is_little() {
        for (used, limit, low) in
            [(0, 0, false), (270, 300, false), (271, 300, true), (300, 300, true), (1, 1, true)]
        {
            let budget = Remaining { used, limit, resets_at: None };
            assert_eq!(budget_is_low(&budget), low, "{used} of {limit}");
        }
    }
}
