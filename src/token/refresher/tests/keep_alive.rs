//! Refresh tokens that would lapse before the access token's end comes near.

use super::super::super::budget::Ledger;
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// Access tokens of sixty hours and refresh tokens of thirty.
fn idle() -> Script {
    let script = Script::new(60 * HOUR);
    script.state().refresh_life = Some(30 * HOUR);
    script
}

async fn first_renewal(fixture: &Fixture) -> Duration {
    let began = Instant::now();
    let calls = fixture.script.calls();
    while fixture.script.calls() == calls {
        tokio::time::sleep(60 * SECOND).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn p18_a_gateway_without_callers_renews_before_the_refresh_token_lapses() {
    let fixture = start(idle(), None).await;
    fixture.tokens.current().await.expect("a token");
    for round in 2..5 {
        let after = first_renewal(&fixture).await;
        assert!(after >= 18 * HOUR && after <= 20 * HOUR + 120 * SECOND, "{after:?}");
        let last = fixture.tokens.status().last.expect("a renewal");
        assert_eq!((last.reason, last.outcome), (Reason::KeepAlive, Outcome::Ok));
        assert_eq!(fixture.tokens.current().await.expect("a token").generation, round);
    }
    let counted =
        "tokenward_token_refreshes_total{outcome=\"ok\",reason=\"keepalive\",upstream=\"vendor\"}";
    assert_eq!(fixture.metric(counted).as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn p18_the_operator_says_how_often_at_least() {
    for (refresh_life, keep_alive, longest) in [
        (None, 10 * HOUR, 10 * HOUR),
        (Some(30 * HOUR), 25 * HOUR, 25 * HOUR),
        (Some(30 * HOUR), 40 * HOUR, 27 * HOUR),
    ] {
        let script = Script::new(60 * HOUR);
        script.state().refresh_life = refresh_life;
        let schedule = Schedule { keep_alive: Some(keep_alive), ..config().schedule };
        let config = Config { schedule, ..config() };
        let store = Arc::new(Store::from(MemoryStore::default()));
        let fixture = start_as(config, store, script);
        fixture.tokens.current().await.expect("a token");
        let after = first_renewal(&fixture).await;
        let least = longest.mul_f64(0.9);
        assert!(after >= least && after <= longest + 120 * SECOND, "{after:?} of {longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p18_a_keep_alive_that_fails_goes_on_with_growing_pauses_and_costs_nothing() {
    let fixture = start_with(idle(), None, 300).await;
    fixture.tokens.current().await.expect("a token");
    for _ in 0..40 {
        fixture.script.state().answers.push_back(unreachable());
    }
    first_renewal(&fixture).await;
    let last = fixture.tokens.status().last.expect("a renewal");
    assert_eq!((last.reason, last.outcome), (Reason::KeepAlive, Outcome::Unreachable));
    while fixture.tokens.current().await.expect("it serves on").generation == 1 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(fixture.script.calls(), 42, "forty failures, and then it is kept alive");
    let last = fixture.tokens.status().last.expect("a renewal");
    assert_eq!((last.reason, last.outcome), (Reason::KeepAlive, Outcome::Ok));
}

#[tokio::test(start_paused = true)]
async fn p18_a_keep_alive_leaves_the_reserve_to_rejections() {
    let fixture = start_with(idle(), None, 10).await;
    fixture.tokens.current().await.expect("a token");
    tokio::time::sleep(17 * HOUR).await;
    let limits = Limits { per_day: 10, ..config().limits };
    // Somebody spends all day long what is not in reserve, and of the next day too.
    while fixture.tokens.status().last.is_none_or(|last| last.reason != Reason::KeepAlive) {
        let mut ledger = Ledger::default();
        for _ in 0..9 {
            ledger = limits.spend(&ledger, Reason::Schedule, clock::wall() + DAY);
        }
        put(&fixture.store, &Page { ledger, ..fixture.stored().await }).await;
        tokio::time::sleep(600 * SECOND).await;
    }
    let last = fixture.tokens.status().last.expect("a renewal");
    assert_eq!((last.reason, last.outcome), (Reason::KeepAlive, Outcome::Budget));
    assert_eq!(fixture.script.calls(), 1);
    fixture.tokens.newer_than(1).await.expect("the reserve is for this");
}

#[tokio::test(start_paused = true)]
async fn p18_an_end_of_the_refresh_token_that_does_not_move_is_no_reason_to_spin() {
    let end = clock::wall() + 30 * HOUR;
    let script = Script::new(HOUR);
    for number in 0..100 {
        let grant = grant(&format!("access-{number}"), None, 90 * HOUR);
        script.state().answers.push_back(Ok(Grant { refresh_expires_at: Some(end), ..grant }));
    }
    let fixture = start(script, None).await;
    tokio::time::sleep(60 * HOUR).await;
    let calls = fixture.script.calls();
    assert!((3..=20).contains(&calls), "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn p18_a_refresh_token_that_lapsed_during_a_long_stop_is_told_of_exactly() {
    for can_mint in [true, false] {
        let mut stored = page(7, "r7", Duration::ZERO);
        let lapsed_at = clock::wall() - 5 * HOUR;
        if let Some(life) = &mut stored.life {
            life.refresh_expires_at = Some(lapsed_at);
        }
        let refused = || Err(Denied::Refused("HTTP 400, invalid_grant".into()));
        let script = Script::new(HOUR);
        script.state().can_mint = can_mint;
        if !can_mint {
            script.state().answers.push_back(refused());
        }
        let fixture = start(script, Some(stored)).await;
        let current = fixture.tokens.current().await;
        let state = fixture.script.state();
        if can_mint {
            assert_eq!(current.expect("a minted token").generation, 8);
            assert_eq!((state.mints, state.presented.len()), (1, 0));
        } else {
            let error = current.expect_err("refused").to_string();
            let day = humantime::format_rfc3339_seconds(lapsed_at).to_string();
            assert_eq!(state.presented, ["r7"], "our clock may be wrong: it is tried");
            assert!(error.contains(&format!("it has lapsed at {day}")), "{error}");
            assert!(error.contains("tokenward seed vendor"), "{error}");
        }
    }
}
