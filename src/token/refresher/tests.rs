mod clocks;
mod deaths;
mod keep_alive;
mod pace;
mod script;
mod shown;
mod trouble;

use std::time::SystemTime;

use tokio::task::JoinHandle;
use tokio::time::advance;
use tokio_util::sync::CancellationToken;

use super::super::NoTokenKind;
use super::super::page::{Intent, Life, Tokens as Secrets};
use super::super::store::memory::MemoryStore;
use super::super::store::{Store, Swap};
use super::super::wire::{Denied, Grant};
use super::*;
use crate::readiness::Readiness;
use crate::telemetry::metrics::Metrics;
use script::Script;

fn grant(access: &str, refresh: Option<&str>, life: Duration) -> Grant {
    Grant {
        access_token: Secret::new(access),
        refresh_token: refresh.map(Secret::new),
        expires_at: clock::wall() + life,
        refresh_expires_at: None,
    }
}

/// A page of the store, whose pair was had now and descends from the seed.
fn page(generation: u64, refresh: &str, life: Duration) -> Page {
    Page {
        generation,
        tokens: Secrets {
            access: Some(Secret::new(format!("stored-access-{generation}"))),
            refresh: Some(Secret::new(refresh)),
            spares: Vec::new(),
        },
        life: Some(Life {
            obtained_at: clock::wall(),
            expires_at: clock::wall() + life,
            refresh_expires_at: None,
            no_gain_at: None,
            keeps_refresh: false,
        }),
        seeds: vec![Secret::new("seed").fingerprint()],
        ..Page::default()
    }
}

/// Puts a page into the store, whatever is there.
async fn put(store: &Store, page: &Page) {
    let seen = store.load("account").await.expect("a page");
    let page = Page { fence: seen.page.fence.max(page.fence), ..page.clone() };
    let swap = store.swap("account", seen.revision, &page).await.expect("saved");
    assert!(matches!(swap, Swap::Done(_)), "{swap:?}");
}

struct Fixture {
    tokens: Tokens,
    script: Script,
    store: Arc<Store>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(script: Script, stored: Option<Page>) -> Fixture {
    start_with(script, stored, 0).await
}

async fn start_with(script: Script, stored: Option<Page>, per_day: u32) -> Fixture {
    let store = Arc::new(Store::from(MemoryStore::default()));
    if let Some(page) = stored {
        put(&store, &page).await;
    }
    start_on(store, script, per_day).await
}

async fn start_on(store: Arc<Store>, script: Script, per_day: u32) -> Fixture {
    let config = config();
    start_as(Config { limits: Limits { per_day, ..config.limits }, ..config }, store, script)
}

fn config() -> Config {
    Config {
        upstream: "vendor".into(),
        page: "account".into(),
        holder: "this".into(),
        lease: 10 * SECOND,
        inject: Vec::new(),
        seed: Some(Secret::new("seed")),
        old_access_token: OldToken::Dies,
        schedule: Schedule { margin: 300 * SECOND, min_interval: SECOND, keep_alive: None },
        limits: Limits { per_day: 0, day_offset: 0, per_minute: 20 },
        vendor_interval: Duration::ZERO,
        wait: 10 * SECOND,
    }
}

fn start_as(config: Config, store: Arc<Store>, script: Script) -> Fixture {
    let readiness = Readiness::default();
    let metrics = Metrics::new("0", "test").expect("metrics");
    let part = readiness.register("vendor");
    let of_token = metrics.token_of("vendor");
    let (refresher, tokens) = Refresher::new(config, script.clone(), store.clone(), part, of_token);
    let stop = CancellationToken::new();
    let task = tokio::spawn(refresher.run(stop.clone().cancelled_owned()));
    Fixture { tokens, script, store, readiness, metrics, stop, task }
}

impl Fixture {
    async fn stored(&self) -> Page {
        self.store.load("account").await.expect("a page").page
    }

    async fn stored_refresh_token(&self) -> String {
        let token = self.stored().await.tokens.refresh.expect("a refresh token");
        token.expose().to_owned()
    }
}

fn unreachable() -> Result<Grant, Denied> {
    Err(Denied::Unreachable("no answer".into()))
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn p12_a_token_is_renewed_before_it_ends_and_no_call_waits_for_it() {
    let fixture = start(Script::new(100 * SECOND), None).await;
    let first = fixture.tokens.current().await.expect("a token").generation;
    advance(75 * SECOND).await;
    assert_eq!(fixture.tokens.current().await.expect("a token").generation, first);
    advance(10 * SECOND).await;
    while fixture.tokens.current().await.expect("a token").generation == first {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn p09_a_thousand_callers_with_a_dead_token_cost_one_refresh() {
    let script = Script::new(HOUR);
    let fixture = start(script.clone(), None).await;
    let dead = fixture.tokens.current().await.expect("a token").generation;
    script.state().delay = SECOND;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let tokens = fixture.tokens.clone();
        callers.spawn(async move { tokens.newer_than(dead).await });
    }
    while let Some(caller) = callers.join_next().await {
        let live = caller.expect("no panic").expect("a newer token");
        assert_eq!(live.generation, dead + 1);
    }
    assert_eq!(script.calls(), 2, "one at the start, one for all");
    // Someone who was rejected with the token before costs nothing.
    fixture.tokens.newer_than(dead).await.expect("the newer token");
    assert_eq!(script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn p13_a_failing_endpoint_costs_nothing_while_the_token_lives() {
    let mut script = Script::new(100 * SECOND);
    for _ in 0..200 {
        script = script.then(unreachable());
    }
    let stored = page(7, "r7", 100 * SECOND);
    let fixture = start(script, Some(stored)).await;
    for _ in 0..99 {
        let live = fixture.tokens.current().await.expect("the stored token");
        assert_eq!(live.generation, 7);
        advance(SECOND).await;
    }
    let tried = fixture.script.calls();
    assert!((1..=15).contains(&tried), "{tried} calls in 20 seconds of failure");
    advance(2 * SECOND).await;
    let error = fixture.tokens.current().await.expect_err("it is really over now");
    assert!(error.retry_after <= LONGEST_RETRY && error.to_string().contains("no answer"));
    while fixture.readiness.is_ready() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn p13_waiters_share_one_failure() {
    let script = Script::new(HOUR).then(unreachable()).then(unreachable());
    script.state().delay = SECOND;
    let fixture = start(script.clone(), None).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let tokens = fixture.tokens.clone();
        callers.spawn(async move { tokens.current().await });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic").expect_err("the endpoint is down");
    }
    assert_eq!(script.calls(), 1, "nobody tries for himself");
}

#[tokio::test(start_paused = true)]
async fn p13_a_caller_is_held_for_a_bounded_time() {
    let script = Script::new(HOUR);
    script.state().delay = HOUR;
    let fixture = start(script, None).await;
    let began = Instant::now();
    let error = fixture.tokens.current().await.expect_err("the endpoint is silent");
    assert_eq!((error.kind, began.elapsed()), (NoTokenKind::Slow, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn p12_the_same_token_again_is_neither_a_spin_nor_a_new_generation() {
    let mut script = Script::new(HOUR);
    for _ in 0..40 {
        script = script.then(Ok(grant("the-same", None, 100 * SECOND)));
    }
    let fixture = start(script, None).await;
    let first = fixture.tokens.current().await.expect("a token").generation;
    advance(99 * SECOND).await;
    let calls = fixture.script.calls();
    assert!(calls <= 8, "{calls} calls for one token");
    let error = fixture.tokens.newer_than(first).await.expect_err("there is no newer one");
    assert!(error.to_string().contains("same one again"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn p14_refresh_then_store_then_mint_then_say_so() {
    let refused = || Err(Denied::Refused("HTTP 200, spent".into()));
    let script = Script::new(HOUR).then(refused());
    script.state().can_mint = true;
    let stored = page(3, "r3", Duration::ZERO);
    let fixture = start(script, Some(stored.clone())).await;
    let live = fixture.tokens.current().await.expect("a minted token");
    assert_eq!((live.generation, fixture.script.state().mints), (4, 1));

    let script = Script::new(HOUR).then(refused());
    let fixture = start(script, Some(stored)).await;
    let error = fixture.tokens.current().await.expect_err("there is no way left").to_string();
    assert!(error.contains("spent") && error.contains("tokenward seed vendor"), "{error}");
    assert_eq!(fixture.stored_refresh_token().await, "r3", "a credential is never deleted");
}

#[tokio::test(start_paused = true)]
async fn p14_after_a_refusal_the_store_is_read_again() {
    let script = Script::new(HOUR).then(Err(Denied::Refused("spent".into())));
    script.state().delay = SECOND;
    let stored = page(3, "r3", Duration::ZERO);
    let fixture = start(script, Some(stored)).await;
    while fixture.script.calls() == 0 {
        tokio::task::yield_now().await;
    }
    // Somebody else has presented r3 first and saved what came of it.
    put(&fixture.store, &page(4, "r4", HOUR)).await;
    let live = fixture.tokens.current().await.expect("the other's token");
    assert_eq!(live.generation, 4);
    assert_eq!(fixture.tokens.status().last.expect("a refresh").outcome, Outcome::Adopted);
}

#[tokio::test(start_paused = true)]
async fn p20_a_stored_living_token_makes_ready_whatever_the_endpoint_does() {
    let script = Script::new(HOUR);
    script.state().delay = HOUR;
    let stored = page(9, "r9", HOUR);
    let fixture = start(script, Some(stored)).await;
    assert_eq!(fixture.tokens.current().await.expect("the stored token").generation, 9);
    assert!(fixture.readiness.is_ready());
    assert_eq!(fixture.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn p20_a_changed_seed_wins_and_an_unchanged_one_loses_to_the_store() {
    let stored = page(2, "r2", Duration::ZERO);
    let fixture = start(Script::new(HOUR), Some(stored.clone())).await;
    fixture.tokens.current().await.expect("a token");
    assert_eq!(fixture.script.state().presented, ["r2"]);

    let stored = Page { seeds: vec![Secret::new("the seed before").fingerprint()], ..stored };
    let fixture = start(Script::new(HOUR), Some(stored)).await;
    fixture.tokens.current().await.expect("a token");
    assert_eq!(fixture.script.state().presented, ["seed"]);
}

#[tokio::test(start_paused = true)]
async fn p15_the_new_pair_is_in_the_store_before_a_request_sees_it() {
    let fixture = start(Script::new(HOUR), None).await;
    let live = fixture.tokens.current().await.expect("a token");
    let page = fixture.stored().await;
    assert_eq!(page.generation, live.generation);
    assert_eq!(fixture.stored_refresh_token().await, "r1");
    assert!(page.intent.is_none(), "the intent is closed with the save");
}

#[tokio::test(start_paused = true)]
async fn p15_an_intent_is_noted_before_and_a_lost_answer_is_told_after_a_restart() {
    let script = Script::new(HOUR);
    script.state().delay = HOUR;
    let fixture = start(script, None).await;
    while fixture.script.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let page = fixture.stored().await;
    let presented = page.intent.clone().expect("an open intent").presented;
    assert_eq!(presented, Secret::new("seed").fingerprint());

    // The process ends here; the next one finds the intent, and the vendor has rotated.
    let at = SystemTime::UNIX_EPOCH;
    let intent = Some(Intent { presented, fence: 1, at, doubt: None });
    let stored = Page { intent, fence: 1, ..self::page(1, "seed", Duration::ZERO) };
    let script = Script::new(HOUR).then(Err(Denied::Refused("spent".into())));
    let fixture = start(script, Some(stored)).await;
    let error = fixture.tokens.current().await.expect_err("lost").to_string();
    assert!(error.contains("the answer to that was lost"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn p15_an_open_intent_renews_a_token_that_may_be_dead_but_serves_it_meanwhile() {
    let presented = Secret::new("r5").fingerprint();
    let intent = Some(Intent { presented, fence: 1, at: clock::wall(), doubt: None });
    let stored = Page { intent, fence: 1, ..page(5, "r5", HOUR) };
    let script = Script::new(HOUR);
    script.state().delay = SECOND;
    let fixture = start(script, Some(stored)).await;
    while fixture.tokens.cache.generation() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.tokens.current().await.expect("the stored token").generation, 5);
    advance(2 * SECOND).await;
    while fixture.tokens.current().await.expect("a token").generation == 5 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn p16_a_spent_budget_says_when_it_opens_and_an_outage_does_not_spend_it() {
    let mut script = Script::new(HOUR);
    for _ in 0..2000 {
        script = script.then(unreachable());
    }
    let fixture = start_with(script, None, 300).await;
    for _ in 0..(23 * 60) {
        let _ = fixture.tokens.current().await;
        advance(60 * SECOND).await;
    }
    let calls = fixture.script.calls();
    assert!((50..=320).contains(&calls), "{calls} calls in a day of outage");
}

#[tokio::test(start_paused = true)]
async fn p12_rejections_of_every_token_are_bounded_in_a_minute() {
    let fixture = start(Script::new(HOUR), None).await;
    let mut generation = fixture.tokens.current().await.expect("a token").generation;
    let refused = loop {
        match fixture.tokens.newer_than(generation).await {
            Ok(live) => generation = live.generation,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind, NoTokenKind::Budget);
    assert_eq!(fixture.script.calls(), 21, "one at the start, twenty in the minute");
    assert!(fixture.tokens.current().await.is_ok(), "the last token is still served");
}

#[tokio::test(start_paused = true)]
async fn p16_calls_that_were_never_sent_are_not_booked() {
    let mut script = Script::new(HOUR);
    for _ in 0..50 {
        script = script.then(Err(Denied::NotSent("connection refused".into())));
    }
    let fixture = start_with(script, None, 300).await;
    while fixture.script.calls() < 20 {
        advance(60 * SECOND).await;
    }
    // The last of them may still be under way.
    let page = loop {
        let page = fixture.stored().await;
        if page.intent.is_none() {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(page.ledger.used, 0);
}

#[tokio::test(start_paused = true)]
async fn p15_a_refusal_closes_the_intent_and_silence_leaves_it_open() {
    let lost = Denied::Unreachable("no answer".into());
    for (denied, open) in [(Denied::Refused("no".into()), false), (lost, true)] {
        let fixture = start(Script::new(HOUR).then(Err(denied)), None).await;
        fixture.tokens.current().await.expect_err("no token");
        let page = fixture.stored().await;
        assert_eq!(page.intent.is_some(), open);
    }
}
