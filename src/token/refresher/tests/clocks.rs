//! What sleeps of the machine and jumps of the wall clock must not cost.

use super::super::super::budget::Ledger;
use super::super::super::page::Refusal;
use super::super::super::store::{Revision, Seen, StoreError};
use super::*;
use crate::clock::hand;

const DAY: Duration = Duration::from_secs(86_400);

fn some_day() -> SystemTime {
    humantime::parse_rfc3339("2026-11-22T03:00:00Z").expect("a time")
}

impl Fixture {
    /// Waits, with the clock running, until so many calls have been made.
    pub(super) async fn calls_reach(&self, calls: usize) {
        while self.script.calls() < calls {
            tokio::time::sleep(SECOND / 10).await;
        }
    }
}

/// A refresher with a token of an hour in store.
async fn with_an_hour() -> Fixture {
    hand::begin(some_day());
    let fixture = start(Script::new(HOUR), Some(page(7, "r7", HOUR))).await;
    assert_eq!(fixture.tokens.current().await.expect("the stored token").generation, 7);
    fixture
}

#[tokio::test(start_paused = true)]
async fn p12_a_token_that_ended_in_a_sleep_is_not_served_and_is_renewed_once() {
    let fixture = with_an_hour().await;
    hand::sleep(2 * HOUR);
    assert!(fixture.tokens.cache.living(BootTime::now()).is_none(), "it is over at once");
    let awoke = Instant::now();
    fixture.calls_reach(1).await;
    assert!(awoke.elapsed() <= 13 * SECOND, "renewed after {:?}", awoke.elapsed());
    advance(60 * SECOND).await;
    assert_eq!(fixture.tokens.current().await.expect("a token").generation, 8);
    assert_eq!((fixture.script.calls(), fixture.readiness.is_ready()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn p12_a_request_after_a_sleep_is_not_held_up() {
    let fixture = with_an_hour().await;
    hand::sleep(2 * HOUR);
    let awoke = Instant::now();
    assert_eq!(fixture.tokens.current().await.expect("a token").generation, 8);
    assert!(awoke.elapsed() < SECOND, "{:?}", awoke.elapsed());
    advance(60 * SECOND).await;
    assert_eq!(fixture.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn p12_renewals_that_came_due_in_a_sleep_are_spread() {
    hand::begin(some_day());
    let mut fixtures = Vec::new();
    for _ in 0..50 {
        let fixture = start(Script::new(HOUR), Some(page(7, "r7", HOUR))).await;
        fixture.tokens.current().await.expect("the stored token");
        fixtures.push(fixture);
    }
    hand::sleep(HOUR - 200 * SECOND);
    let mut by_second = Vec::new();
    for _ in 0..14 {
        tokio::time::sleep(SECOND).await;
        by_second.push(fixtures.iter().map(|one| one.script.calls()).sum::<usize>());
    }
    assert_eq!(by_second.last(), Some(&50), "each renews once: {by_second:?}");
    let most = by_second.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(most.is_some_and(|most| most <= 20), "{by_second:?}");
}

#[tokio::test(start_paused = true)]
async fn p12_a_clock_set_forward_by_days_costs_a_living_token_nothing() {
    let fixture = with_an_hour().await;
    hand::set_forward(3 * DAY);
    advance(60 * SECOND).await;
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(fixture.tokens.current().await.expect("the token lives").generation, 7);
    assert_eq!((fixture.script.calls(), fixture.readiness.is_ready()), (0, true));
    let status = fixture.tokens.status();
    let left = status.over_at.expect("an end").left();
    assert!(left > HOUR - 100 * SECOND && left < HOUR, "{left:?}");
    let shown = status.expires_at.expect("an end").duration_since(clock::wall());
    assert!(shown.is_ok_and(|shown| shown.abs_diff(left) < SECOND), "shown by the clock of now");
    // It is renewed when it would have been.
    tokio::time::sleep(HOUR - 380 * SECOND).await;
    assert_eq!(fixture.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn p12_a_clock_set_back_by_days_does_not_revive_a_dead_token() {
    let mut script = Script::new(HOUR);
    for _ in 0..100 {
        script = script.then(unreachable());
    }
    hand::begin(some_day());
    let fixture = start(script, Some(page(7, "r7", 100 * SECOND))).await;
    fixture.tokens.current().await.expect("the stored token");
    hand::set_back(3 * DAY);
    tokio::time::sleep(99 * SECOND).await;
    assert_eq!(fixture.tokens.current().await.expect("it lives").generation, 7);
    tokio::time::sleep(2 * SECOND).await;
    for _ in 0..60 {
        fixture.tokens.current().await.expect_err("it is over, whatever the clock says");
        tokio::time::sleep(SECOND).await;
    }
    assert!(!fixture.readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn p12_a_clock_set_back_does_not_bring_a_dead_token_back_from_the_store() {
    let fixture = with_an_hour().await;
    hand::set_back(3 * DAY);
    hand::sleep(2 * HOUR);
    // Whoever has no token takes any that lives: the store's does not, whatever the clock says.
    let live = fixture.tokens.current().await.expect("a token");
    assert_eq!((live.generation, fixture.script.calls()), (8, 1));
}

#[tokio::test(start_paused = true)]
async fn p12_after_a_jump_a_restart_costs_one_renewal_at_most() {
    for back in [false, true] {
        let first = with_an_hour().await;
        match back {
            true => hand::set_back(30 * DAY),
            false => hand::set_forward(30 * DAY),
        }
        first.stop.cancel();
        first.task.await.expect("no panic");
        let second = start_on(first.store, Script::new(HOUR), 0).await;
        second.tokens.current().await.expect("a token");
        tokio::time::sleep(60 * SECOND).await;
        let calls = second.script.calls();
        assert_eq!(calls, usize::from(!back), "set back: {back}");
        // It lives no longer than it was promised, and then it is renewed.
        tokio::time::sleep(HOUR).await;
        assert_eq!(second.script.calls(), calls + 1, "set back: {back}");
    }
}

#[tokio::test(start_paused = true)]
async fn p16_a_budget_that_a_wrong_clock_has_closed_opens_when_the_clock_is_right() {
    // Before it hears of the time, a machine begins in 1970.
    hand::begin(SystemTime::UNIX_EPOCH + 300 * SECOND);
    let fixture = start_with(Script::new(HOUR).then(unreachable()), None, 1).await;
    tokio::time::sleep(600 * SECOND).await;
    let error = fixture.tokens.current().await.expect_err("the one call of the day is spent");
    assert!(error.retry_after > 20 * HOUR, "{error:?}");
    hand::set_wall(some_day());
    let corrected = Instant::now();
    fixture.calls_reach(2).await;
    assert!(corrected.elapsed() <= 13 * SECOND, "{:?}", corrected.elapsed());
    fixture.tokens.current().await.expect("a token");
}

/// A page without a token, written by a clock that was days ahead.
fn ahead(change: impl FnOnce(&mut Page, SystemTime)) -> Page {
    let mut page = page(7, "r7", Duration::ZERO);
    change(&mut page, clock::wall() + 3 * DAY);
    page
}

#[tokio::test(start_paused = true)]
async fn p16_the_interval_after_a_call_in_the_future_is_waited_for_once() {
    hand::begin(some_day());
    for interval in [SECOND, 30 * SECOND] {
        let store = Arc::new(Store::from(MemoryStore::default()));
        put(&store, &ahead(|page, at| page.ledger.last_call = Some(at))).await;
        let config = Config { vendor_interval: interval, ..config() };
        let fixture = start_as(config, store, Script::new(HOUR));
        let began = Instant::now();
        fixture.calls_reach(1).await;
        assert!(began.elapsed() <= 2 * interval, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn p16_rejections_in_the_future_close_the_minute_for_a_minute() {
    hand::begin(some_day());
    let stored = page(7, "r7", HOUR);
    let at = clock::wall() + 3 * DAY;
    let ledger = Ledger { rejections: vec![at; 20], ..Ledger::default() };
    let fixture = start(Script::new(HOUR), Some(Page { ledger, ..stored })).await;
    fixture.tokens.current().await.expect("the stored token");
    let error = fixture.tokens.newer_than(7).await.expect_err("the minute is spent");
    assert_eq!(error.kind, NoTokenKind::Budget);
    tokio::time::sleep(61 * SECOND).await;
    fixture.tokens.newer_than(7).await.expect("a minute later it is not");
}

#[tokio::test(start_paused = true)]
async fn p16_a_day_in_the_future_closes_the_budget_until_midnight() {
    hand::begin(some_day());
    let spent = |page: &mut Page, _| {
        (page.ledger.day, page.ledger.used) = (100_000, 300);
    };
    let fixture = start_with(Script::new(HOUR), Some(ahead(spent)), 300).await;
    tokio::time::sleep(SECOND).await;
    let error = fixture.tokens.current().await.expect_err("what was spent stays spent");
    assert!(error.retry_after <= 21 * HOUR, "{error:?}");
    tokio::time::sleep(21 * HOUR + SECOND).await;
    fixture.tokens.current().await.expect("a new day");
}

#[tokio::test(start_paused = true)]
async fn p14_a_refusal_in_the_future_closes_a_refresh_token_no_longer_than_another() {
    hand::begin(some_day());
    let script = Script::new(HOUR).then(Err(Denied::Refused("HTTP 200, a mistake".into())));
    let token = Secret::new("r7").fingerprint();
    let refused = |page: &mut Page, at| {
        page.refusals.push(Refusal { token, at, times: 1, lost_at: None });
    };
    // A new process tries once, whatever has failed before, and then keeps to the pauses.
    let fixture = start(script, Some(ahead(refused))).await;
    fixture.calls_reach(1).await;
    hand::set_back(3 * DAY);
    let began = Instant::now();
    fixture.calls_reach(2).await;
    assert!(began.elapsed() <= 600 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn p13_a_failure_that_lasts_for_days_by_a_wrong_clock_is_not_believed() {
    hand::begin(some_day());
    let mut script = Script::new(HOUR);
    for _ in 0..5 {
        script = script.then(unreachable());
    }
    let fixture = start(script, Some(page(7, "r7", Duration::ZERO))).await;
    fixture.calls_reach(5).await;
    hand::set_back(3 * DAY);
    let began = Instant::now();
    fixture.calls_reach(6).await;
    assert!(began.elapsed() <= 61 * SECOND, "{:?}", began.elapsed());
    fixture.tokens.current().await.expect("a token");
}

/// A store whose machine falls asleep after each of its first writes.
#[derive(Debug)]
struct Sleepy {
    store: Arc<Store>,
    sleeps: std::sync::atomic::AtomicUsize,
}

impl Pages for Sleepy {
    async fn load(&self, name: &str) -> Result<Seen, StoreError> {
        self.store.load(name).await
    }

    async fn swap(&self, name: &str, seen: Revision, next: &Page) -> Result<Swap, StoreError> {
        let swapped = self.store.swap(name, seen, next).await;
        if self.sleeps.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            hand::sleep(20 * SECOND);
        }
        swapped
    }

    async fn changed(&self, name: &str) {
        self.store.changed(name).await;
    }

    fn poll(&self) -> Duration {
        self.store.poll()
    }
}

#[tokio::test(start_paused = true)]
async fn p17_a_holder_that_slept_presents_nothing_under_its_old_lease() {
    hand::begin(some_day());
    let store = Arc::new(Store::from(MemoryStore::default()));
    put(&store, &page(7, "r7", Duration::ZERO)).await;
    let sleepy = Sleepy { store: store.clone(), sleeps: 1.into() };
    let metrics = Metrics::new("0", "test").expect("metrics").token_of("vendor");
    let part = Readiness::default().register("vendor");
    let script = Script::new(HOUR);
    let limits = Limits { per_day: 300, ..config().limits };
    let config = Config { limits, ..config() };
    let sleepy = Arc::new(sleepy);
    let (refresher, tokens) = Refresher::new(config, script.clone(), sleepy, part, metrics);
    tokio::spawn(refresher.run(CancellationToken::new().cancelled_owned()));
    let error = tokens.current().await.expect_err("the lease may be lost");
    assert!(error.to_string().contains("the machine has slept"), "{error}");
    assert_eq!(script.calls(), 0);
    let page = store.load("account").await.expect("a page").page;
    assert_eq!((page.ledger.used, &page.intent, &page.lease), (0, &None, &None));
    while script.calls() == 0 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(tokens.current().await.expect("a token").generation, 8);
}
