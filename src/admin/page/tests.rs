use std::time::Duration;

use http_body_util::BodyExt;

use super::*;
use crate::clock::BootTime;
use crate::token::budget::Remaining;
use crate::token::{Account, LastRefresh, Reason};

const HOSTILE: &str = "</p><script>alert(1)</script><img src=x onerror='alert(2)'>{{script}}";

fn store() -> Condition {
    let since = clock::wall() - Duration::from_secs(3600);
    Condition { kind: "memory", up: true, since, detail: None }
}

fn sight(upstreams: Vec<Seen>) -> Sight {
    let up_for = Duration::from_secs(3600);
    Sight { stopping: false, store: store(), sealed_with: None, upstreams, up_for }
}

/// With half of its token's life left.
fn seen(name: &str) -> Seen {
    let half = Duration::from_secs(3600);
    let last = LastRefresh {
        at: clock::wall() - half,
        reason: Reason::Schedule,
        outcome: Outcome::Ok,
        detail: "".into(),
    };
    Seen {
        name: name.to_owned(),
        vendor: "vendor".to_owned(),
        base_url: "https://api.example".to_owned(),
        token: Status {
            generation: 7,
            obtained_at: Some(clock::wall() - half),
            expires_at: Some(clock::wall() + half),
            over_at: Some(BootTime::now() + half),
            last: Some(last),
            budget: Remaining { used: 12, limit: 300, resets_at: Some(clock::wall() + half) },
            account: Account { page: name.to_owned(), ..Account::default() },
            ..Status::default()
        },
        ..Seen::default()
    }
}

fn failed(outcome: Outcome, detail: &str) -> Seen {
    let mut seen = seen("x");
    if let Some(last) = &mut seen.token.last {
        (last.outcome, last.detail) = (outcome, detail.into());
    }
    seen
}

fn html(sight: &Sight) -> String {
    now(sight).parts.into_iter().map(|(_, html)| html).collect()
}

async fn whole(sight: &Sight) -> String {
    let body = answer(sight, "me").into_body().collect().await.expect("no error").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test(start_paused = true)]
async fn p29_the_page_says_who_is_ready_and_why_not() {
    let now = now(&sight(vec![seen("one"), seen("two")]));
    assert_eq!(now.title, "✓ 2/2 ready · tokenward");
    let all = sight(vec![seen("one"), Seen { waits_for: Some("no token".into()), ..seen("two") }]);
    let text = html(&all);
    assert!(text.contains("<strong>Not ready.</strong>"), "{text}");
    assert!(text.contains("<a href=\"#h-1\">two</a>") && !text.contains("#h-0\">one"), "{text}");
    assert!(text.contains("<p class=\"reason\"><bdi>no token</bdi></p>"), "{text}");
    let stopping = Sight { stopping: true, ..sight(vec![seen("one")]) };
    assert!(html(&stopping).contains("<strong>Stopping.</strong>"));
}

#[tokio::test(start_paused = true)]
async fn the_card_tells_a_token_s_life() {
    let text = html(&sight(vec![seen("one")]));
    for part in [
        "in 1 h 0 min <svg class=\"meter \"",
        "<rect width=\"50\"",
        "<dt>Generation</dt><dd>7</dd>",
        "<span class=\"fine\">ok</span> <span class=\"more\">1 h 0 min ago",
        "by schedule</span>",
        "12 of 300 used",
        "resets in 1 h 0 min",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("What to do"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_there_is_something_to_do() {
    for outcome in [
        Outcome::Refused,
        Outcome::Unreachable,
        Outcome::Malformed,
        Outcome::Budget,
        Outcome::Unsaved,
        Outcome::Store,
        Outcome::Same,
    ] {
        let text = html(&sight(vec![failed(outcome, "why")]));
        assert!(text.contains("What to do") && text.contains("Serving, but look"), "{text}");
        assert!(text.contains("<bdi>why</bdi>"), "{text}");
    }
    let plea = Account { plea: Some("run `tokenward seed x`".into()), ..Account::default() };
    let mut pleads = failed(Outcome::Refused, "no");
    pleads.token.account = plea;
    let text = html(&sight(vec![pleads]));
    assert!(text.contains("Only a person can help. Run <code>tokenward seed x</code>."), "{text}");
    // What is only a matter of time is no fault.
    let text = html(&sight(vec![failed(Outcome::Waiting, "another replica refreshes")]));
    assert!(text.contains("Another replica is renewing") && !text.contains("but look"), "{text}");
    let down = Condition { up: false, detail: Some("gone".into()), ..store() };
    let text = html(&Sight { store: down, ..sight(vec![seen("one")]) });
    assert!(text.contains("Mend the token store") && text.contains("Down since"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn p26_what_others_say_is_text_wherever_it_stands() {
    let mut seen = failed(Outcome::Refused, HOSTILE);
    seen.name = HOSTILE.to_owned();
    seen.vendor = HOSTILE.to_owned();
    seen.base_url = HOSTILE.to_owned();
    seen.waits_for = Some(HOSTILE.to_owned());
    seen.token.warnings = vec![HOSTILE.to_owned()];
    seen.token.account = Account {
        page: HOSTILE.to_owned(),
        lease: Some(HOSTILE.to_owned()),
        plea: Some(HOSTILE.into()),
        ..Account::default()
    };
    let condition = Condition { up: false, detail: Some(HOSTILE.to_owned()), ..store() };
    let sealed_with = Some(HOSTILE.to_owned());
    let page = whole(&Sight { store: condition, sealed_with, ..sight(vec![seen]) }).await;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(page.matches("<script").count(), 1, "{page}");
    assert!(!page.contains("<img") && !page.contains("onerror='"), "{page}");
    // The template's own places have been filled, and no others.
    assert_eq!(page.matches(SCRIPT).count(), 1);
    assert!(page.contains("{{script}}"));
}

#[tokio::test(start_paused = true)]
async fn p22_nothing_runs_in_the_page_but_its_own_script() {
    let answer = answer(&sight(vec![seen("one")]), "me");
    let headers = answer.headers();
    let policy = headers["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    // No style or handler of an element's own, which the policy would stop, and nothing from elsewhere.
    let page = whole(&sight(vec![seen("one")])).await;
    for part in [" style=", " onclick=", " onload=", "src=", "<form", "<button", "@import"] {
        assert!(!page.contains(part), "{part} in {page}");
    }
}
