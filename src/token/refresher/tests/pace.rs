//! How often the vendor is called, whatever it answers and whoever asks.

use super::*;

fn calls_at(script: &Script) -> Vec<Instant> {
    script.state().called_at.clone()
}

fn least_gap(calls: &[Instant]) -> Duration {
    let gaps = calls.windows(2).map(|pair| pair[1].duration_since(pair[0]));
    gaps.min().unwrap_or(Duration::MAX)
}

#[tokio::test(start_paused = true)]
async fn p12_tokens_of_a_second_or_less_are_renewed_once_a_second() {
    for life in [SECOND, SECOND / 10, Duration::ZERO] {
        let fixture = start(Script::new(life), None).await;
        tokio::time::sleep(60 * SECOND).await;
        let calls = fixture.script.calls();
        assert!(calls <= 62, "{calls} calls in a minute for a life of {life:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p12_a_margin_longer_than_the_life_is_no_reason_to_renew_at_once() {
    let store = Arc::new(Store::from(MemoryStore::default()));
    let schedule = Schedule { margin: 24 * HOUR, ..config().schedule };
    let fixture = start_as(Config { schedule, ..config() }, store, Script::new(HOUR));
    for _ in 0..600 {
        fixture.tokens.current().await.expect("a token");
        tokio::time::sleep(60 * SECOND).await;
    }
    let calls = fixture.script.calls();
    assert!((12..=15).contains(&calls), "{calls} calls in ten hours");
}

#[tokio::test(start_paused = true)]
async fn p12_an_absurdly_long_life_is_served_and_not_renewed() {
    let fixture = start(Script::new(40 * 365 * 24 * HOUR), None).await;
    fixture.tokens.current().await.expect("a token");
    tokio::time::sleep(3 * 24 * HOUR).await;
    fixture.tokens.current().await.expect("a token");
    assert_eq!(fixture.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn p12_the_vendors_interval_is_kept_within_one_renewal() {
    for interval in [SECOND, 2 * SECOND, 30 * SECOND] {
        let script = Script::new(HOUR);
        script.state().can_mint = true;
        for _ in 0..3 {
            script.state().answers.push_back(Err(Denied::Refused("spent".into())));
        }
        let store = Arc::new(Store::from(MemoryStore::default()));
        // A spare, the pair's own and the credentials: three ways.
        let mut stored = page(7, "r7", Duration::ZERO);
        stored.tokens.spares.push(Secret::new("r6"));
        put(&store, &stored).await;
        let fixture = start_as(Config { vendor_interval: interval, ..config() }, store, script);
        while fixture.tokens.current().await.is_err() {
            tokio::time::sleep(SECOND).await;
        }
        let calls = calls_at(&fixture.script);
        assert!(calls.len() >= 4 && least_gap(&calls) >= interval, "{:?}", least_gap(&calls));
    }
}

#[tokio::test(start_paused = true)]
async fn p12_the_vendors_interval_is_kept_by_all_replicas_together() {
    const INTERVAL: Duration = Duration::from_millis(1500);
    let store = Arc::new(Store::from(MemoryStore::default()));
    let script = Script::new(HOUR);
    let replicas: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|holder| {
            let config = Config { holder: holder.into(), vendor_interval: INTERVAL, ..config() };
            start_as(config, store.clone(), script.clone())
        })
        .collect();
    let until = Instant::now() + 60 * SECOND;
    let mut callers = tokio::task::JoinSet::new();
    for replica in &replicas {
        let tokens = replica.tokens.clone();
        // Every token is called dead as soon as it is there.
        callers.spawn(async move {
            while Instant::now() < until {
                if let Ok(live) = tokens.current().await {
                    let _ = tokens.newer_than(live.generation).await;
                }
                tokio::time::sleep(SECOND / 5).await;
            }
        });
    }
    while callers.join_next().await.is_some() {}
    let calls = calls_at(&script);
    assert!(calls.len() > 10 && least_gap(&calls) >= INTERVAL, "{:?}", least_gap(&calls));
    assert!(calls.len() <= 21, "the minute's cap holds for all together: {}", calls.len());
}
