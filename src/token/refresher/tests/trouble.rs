//! What a store that fails, a spent budget and a wrong clock must not cost.

use std::fs;
use std::path::Path;

use super::super::super::store::file::FileStore;
use super::*;

fn refused() -> Result<Grant, Denied> {
    Err(Denied::Refused("HTTP 200, spent".into()))
}

fn file_store(path: &Path) -> Arc<Store> {
    Arc::new(FileStore::open(path).expect("a store").into())
}

/// A page that descends from another seed than the one that is configured.
fn with_another_seed(page: Page) -> Page {
    Page { seeds: vec![Secret::new("the seed before").fingerprint()], ..page }
}

/// A folder for the store that can be taken away: then saves fail.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(folder.0.path().join("here")).expect("a folder");
        folder
    }

    fn store(&self) -> std::path::PathBuf {
        self.0.path().join("here/tokens.json")
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.0.path().join(from), self.0.path().join(to)).expect("renamed");
    }

    /// A refresher whose first new pair, with this life, cannot be saved.
    async fn with_unsaved_pair(&self, life: Duration) -> Fixture {
        let script = Script::new(HOUR).then(Ok(grant("access", Some("r-new"), life)));
        script.state().delay = SECOND;
        let fixture = start_on(file_store(&self.store()), script, 0).await;
        while fixture.script.calls() == 0 {
            tokio::task::yield_now().await;
        }
        self.rename("here", "gone");
        advance(SECOND).await;
        while fixture.tokens.status().last.is_none() {
            tokio::task::yield_now().await;
        }
        let last = fixture.tokens.status().last.expect("a renewal");
        assert_eq!(last.outcome, Outcome::Unsaved);
        fixture
    }
}

#[tokio::test(start_paused = true)]
async fn p15_a_pair_that_could_not_be_saved_is_saved_before_a_stop() {
    let folder = Folder::new();
    let fixture = folder.with_unsaved_pair(HOUR).await;
    folder.rename("gone", "here");
    fixture.stop.cancel();
    let Fixture { task, store, .. } = fixture;
    task.await.expect("no panic");
    let page = store.load("account").await.expect("a page").page;
    assert_eq!(page.tokens.refresh, Some(Secret::new("r-new")));
}

#[tokio::test(start_paused = true)]
async fn p15_a_pair_that_ended_before_it_could_be_saved_is_renewed_at_once() {
    let folder = Folder::new();
    let fixture = folder.with_unsaved_pair(SECOND).await;
    advance(2 * SECOND).await;
    folder.rename("gone", "here");
    let live = loop {
        match fixture.tokens.current().await {
            Ok(live) => break live,
            Err(error) => assert!(!error.to_string().contains("same one"), "{error}"),
        }
    };
    assert_eq!(live.generation, 2);
    assert_eq!(fixture.script.state().presented, ["seed", "r-new"]);
}

#[tokio::test(start_paused = true)]
async fn p20_a_store_that_can_be_read_at_last_makes_ready_without_a_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens.json");
    let store = file_store(&path);
    let stored = page(9, "r9", HOUR);
    put(&store, &stored).await;
    let good = fs::read(&path).expect("the file");
    fs::write(&path, "cut off").expect("written");

    let fixture = start_on(store, Script::new(HOUR), 0).await;
    while fixture.tokens.status().last.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!fixture.readiness.is_ready());
    fs::write(&path, good).expect("written");
    while !fixture.readiness.is_ready() {
        advance(SECOND).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.tokens.current().await.expect("the stored token").generation, 9);
    assert_eq!(fixture.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn p16_a_schedule_that_is_out_of_budget_leaves_the_reserve_to_rejections() {
    let limits = Limits { per_day: 10, day_offset: 0, per_minute: 20 };
    let mut stored = page(7, "r7", 100 * SECOND);
    for _ in 0..9 {
        stored.ledger = limits.spend(&stored.ledger, Reason::Schedule, clock::wall());
    }
    let fixture = start_with(Script::new(HOUR), Some(stored), 10).await;
    fixture.tokens.current().await.expect("the stored token");
    advance(90 * SECOND).await;
    while fixture.tokens.status().last.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.tokens.status().last.expect("tried").outcome, Outcome::Budget);
    assert_eq!(fixture.script.calls(), 0);
    fixture.tokens.newer_than(7).await.expect("the reserve is for this");
}

#[tokio::test(start_paused = true)]
async fn p16_one_renewal_does_not_call_beyond_the_cap() {
    let stored = with_another_seed(page(2, "r2", Duration::ZERO));
    let fixture = start_with(Script::new(HOUR).then(refused()), Some(stored), 1).await;
    let error = fixture.tokens.current().await.expect_err("one call a day, and it was refused");
    assert_eq!((error.kind, fixture.script.calls()), (NoTokenKind::Budget, 1));
}

#[tokio::test(start_paused = true)]
async fn p13_tries_that_reach_nobody_are_not_spread_over_the_day() {
    let mut script = Script::new(HOUR);
    for _ in 0..200 {
        script = script.then(Err(Denied::NotSent("connection refused".into())));
    }
    let fixture = start_with(script, None, 300).await;
    for _ in 0..60 {
        let error = fixture.tokens.current().await.expect_err("nobody is there");
        assert!(error.retry_after <= LONGEST_RETRY, "{error:?}");
        advance(30 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p12_a_token_that_is_rejected_and_handed_out_again_is_asked_for_ever_more_seldom() {
    let mut script = Script::new(HOUR);
    for _ in 0..1000 {
        script = script.then(Ok(grant("the-same", None, HOUR)));
    }
    let fixture = start(script, None).await;
    let dead = fixture.tokens.current().await.expect("a token").generation;
    for _ in 0..600 {
        fixture.tokens.newer_than(dead).await.expect_err("there is no newer one");
        advance(SECOND).await;
    }
    let calls = fixture.script.calls();
    assert!(calls <= 60, "{calls} calls in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn p29_a_token_that_ends_while_it_is_being_renewed_is_not_ready() {
    let script = Script::new(HOUR);
    script.state().delay = HOUR;
    let stored = page(3, "r3", 100 * SECOND);
    let fixture = start(script, Some(stored)).await;
    fixture.tokens.current().await.expect("the stored token");
    advance(90 * SECOND).await;
    while fixture.script.calls() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(fixture.readiness.is_ready());
    advance(11 * SECOND).await;
    tokio::time::timeout(SECOND, async {
        while fixture.readiness.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("not ready while the token is over");
    advance(HOUR).await;
    while !fixture.readiness.is_ready() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn p14_one_refresh_token_in_two_places_is_presented_once() {
    let stored = with_another_seed(page(2, "seed", Duration::ZERO));
    let fixture = start(Script::new(HOUR).then(refused()), Some(stored)).await;
    fixture.tokens.current().await.expect_err("it was refused");
    assert_eq!(fixture.script.state().presented, ["seed"]);
}

#[tokio::test(start_paused = true)]
async fn p14_a_refresh_token_that_seems_to_have_lapsed_is_tried_where_nothing_else_is_left() {
    for can_mint in [false, true] {
        let script = Script::new(HOUR);
        script.state().can_mint = can_mint;
        let mut stored = page(2, "r2", Duration::ZERO);
        stored.life.as_mut().expect("a life").refresh_expires_at = Some(clock::wall());
        let fixture = start(script, Some(stored)).await;
        fixture.tokens.current().await.expect("a token");
        let state = fixture.script.state();
        assert_eq!((state.presented.len(), state.mints), (1 - state.mints, usize::from(can_mint)));
    }
}

/// One lost answer and one mistaken refusal do not cost a refresh token that no call can spend.
#[tokio::test(start_paused = true)]
async fn p14_a_refresh_token_that_the_vendor_lets_stand_is_not_taken_to_be_spent() {
    for rotates in [false, true] {
        let first = grant("access-a", rotates.then_some("rotated"), HOUR);
        let script = Script::new(HOUR).then(Ok(first)).then(unreachable()).then(refused());
        let fixture = start(script, None).await;
        let live = fixture.tokens.current().await.expect("a token");
        let back = tokio::time::timeout(HOUR / 2, async {
            while fixture.tokens.newer_than(live.generation).await.is_err() {
                tokio::time::sleep(SECOND).await;
            }
        });
        assert_eq!(back.await.is_ok(), !rotates, "{:?}", fixture.stored().await.refusals);
    }
}

#[tokio::test(start_paused = true)]
async fn p13_a_refused_refresh_token_is_presented_ever_more_rarely() {
    let mut script = Script::new(HOUR);
    for _ in 0..3000 {
        script = script.then(refused());
    }
    let fixture = start(script, None).await;
    for _ in 0..(24 * 60) {
        advance(60 * SECOND).await;
        tokio::task::yield_now().await;
    }
    let calls = fixture.script.calls();
    // A minute after the first, then two, four … and at last every six hours.
    assert!((9..=13).contains(&calls), "{calls} calls in a day without a cap");
}

#[tokio::test(start_paused = true)]
async fn p15_the_same_pair_again_does_not_mean_that_refresh_tokens_stay_good() {
    let pair = || Ok(grant("the-same", Some("r1"), HOUR));
    let fixture = start(Script::new(HOUR).then(pair()).then(pair()), None).await;
    let dead = fixture.tokens.current().await.expect("a token").generation;
    fixture.tokens.newer_than(dead).await.expect_err("there is no newer one");
    assert_eq!(fixture.script.calls(), 2);
    assert!(fixture.stored().await.life.is_some_and(|life| !life.keeps_refresh));
}
