//! Redis slow, gone, restarted empty, read-only: served from memory, no refresh storm (p17, p15).

use std::time::Duration;

use tokenward::sandbox::{Sandbox, Settings, Vendor};
use tokio::time::Instant;

use crate::support::redis::Redis;
use crate::support::{Stage, soon, until};

const CALL: &str = "/openapi/v1/account/info";

fn rotating(settings: &mut Settings) {
    settings.aiclk.tokens.rotate = true;
    settings.aiclk.tokens.access_life = Duration::from_secs(3600);
}

async fn gateway(redis: &Redis) -> Stage {
    let plan = Stage::plan().config(&redis.store()).sandbox(rotating);
    // Callers who meet a dead token are not the point here.
    plan.config("upstream.aiclk.refresh.wait = '2s'").start().await
}

fn asked(sandbox: &Sandbox) -> u64 {
    sandbox.counts(Vendor::Aiclk).token_calls()
}

/// Requests pass, and none waits for Redis.
async fn serves_from_memory(stage: &Stage) {
    for _ in 0..20 {
        let began = Instant::now();
        let answer = stage.get("aiclk", CALL).await;
        assert_eq!(answer.json()["code"], 200, "{answer:?}");
        assert_eq!(answer.one("tokenward-retry"), None);
        assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
    }
    assert!(stage.gateway.readiness.is_ready());
}

/// The token dies while Redis is of no use: the vendor's answer goes to the callers, and the vendor
/// is not asked for another, however often they call.
async fn begins_nothing(stage: &Stage) {
    let before = asked(&stage.sandbox);
    stage.sandbox.expire(Vendor::Aiclk);
    let mut callers = Vec::new();
    for _ in 0..30 {
        let mut caller = stage.caller("aiclk").await;
        caller.send(format!("GET {CALL} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        callers.push(caller);
    }
    for caller in &mut callers {
        let answer = caller.answer().await;
        assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=no-token"), "{answer:?}");
    }
    assert_eq!(asked(&stage.sandbox), before, "without the store nothing is begun");
    let up = stage.metric("tokenward_store_up", &[]).await;
    assert_eq!(up, 0.0, "it is measured");
}

/// With Redis back, requests pass again, at the cost of one refresh.
async fn is_back(stage: &Stage) {
    let before = asked(&stage.sandbox);
    soon("requests pass again", async {
        while stage.get("aiclk", CALL).await.json()["code"] != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(asked(&stage.sandbox), before + 1);
    assert_eq!(stage.sandbox.counts(Vendor::Aiclk).refused, 0);
    stage.metric_becomes("tokenward_store_up", &[], 1.0).await;
}

#[tokio::test]
async fn p17_redis_killed_and_started_again_empty_gets_the_newest_token_back() {
    let mut redis = Redis::start().await;
    let stage = gateway(&redis).await;
    assert_eq!(stage.refresh("aiclk").await.status(), 200);
    let before = redis.page("aiclk").await;
    redis.kill();
    serves_from_memory(&stage).await;
    redis.restart().await;
    soon("the page is given back", async {
        while redis.page("aiclk").await.generation != 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let after = redis.page("aiclk").await;
    assert_eq!((after.tokens, after.life), (before.tokens, before.life));
    assert_eq!(asked(&stage.sandbox), 2, "the vendor has not noticed");
    redis.kill();
    begins_nothing(&stage).await;
    redis.restart().await;
    is_back(&stage).await;
    assert_eq!(redis.page("aiclk").await.generation, 3);
}

#[tokio::test]
async fn p17_an_emptied_redis_gets_the_newest_token_back() {
    let redis = Redis::start().await;
    let stage = gateway(&redis).await;
    redis.ask::<()>(&redis::cmd("FLUSHALL")).await;
    soon("the page is given back", async {
        while redis.page("aiclk").await.generation != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(asked(&stage.sandbox), 1);
}

#[tokio::test]
async fn p17_a_paused_redis_is_not_waited_for() {
    let redis = Redis::start().await;
    let stage = gateway(&redis).await;
    redis.pause();
    serves_from_memory(&stage).await;
    begins_nothing(&stage).await;
    redis.resume();
    is_back(&stage).await;
}

#[tokio::test]
async fn p15_a_pair_that_redis_did_not_take_is_not_used_before_it_has() {
    let redis = Redis::start().await;
    let plan = Stage::plan().config(&redis.store()).sandbox(rotating);
    let plan = plan.sandbox(|settings| {
        settings.aiclk.tokens.token_latency = Duration::from_millis(300);
    });
    let stage = plan.config("store.lease = '2s'").start().await;
    // In mid-lease: the intent is noted, and the vendor thinks.
    let tokens = stage.gateway.tokens("aiclk").expect("an upstream").clone();
    let refresh = tokio::spawn(async move { tokens.refresh_now().await });
    stage.sandbox.until(Vendor::Aiclk, |counts| counts.refreshes == 2).await;
    redis.pause();
    soon("the vendor grants", stage.sandbox.until(Vendor::Aiclk, |counts| counts.granted == 2))
        .await;
    soon("the refresh fails", refresh).await.expect("no panic").expect_err("it was not saved");
    for _ in 0..5 {
        let answer = stage.get("aiclk", CALL).await;
        assert_ne!(answer.json()["code"], 200, "with a token that only memory has: {answer:?}");
    }
    assert_eq!(stage.sandbox.counts(Vendor::Aiclk).accepted, 0);
    assert_eq!((stage.generation("aiclk"), asked(&stage.sandbox)), (1, 2));
    redis.resume();
    until("it is saved, and used", || stage.generation("aiclk") == 2).await;
    let page = redis.page("aiclk").await;
    let granted = stage.sandbox.current(Vendor::Aiclk);
    let refresh_token = page.tokens.refresh.expect("a refresh token").expose().to_owned();
    assert_eq!(Some(refresh_token), granted.refresh_token);
    assert_eq!(stage.get("aiclk", CALL).await.json()["code"], 200);
    assert_eq!(asked(&stage.sandbox), 2, "nothing was asked twice");
}

#[tokio::test]
async fn p17_a_read_only_redis_begins_nothing() {
    let redis = Redis::start().await;
    let stage = gateway(&redis).await;
    // A master that has become a replica, of nobody who answers.
    redis.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1)).await;
    serves_from_memory(&stage).await;
    begins_nothing(&stage).await;
    let detail = stage.admin("/status").await.text();
    assert!(detail.contains("read-only replica"), "{detail}");
    redis.ask::<()>(redis::cmd("REPLICAOF").arg("NO").arg("ONE")).await;
    is_back(&stage).await;
}

#[tokio::test]
async fn p17_a_slow_redis_holds_nobody_up() {
    let redis = Redis::start().await;
    let stage = gateway(&redis).await;
    for _ in 0..2 {
        redis.ask::<()>(redis::cmd("CLIENT").arg("PAUSE").arg(1500).arg("ALL")).await;
        serves_from_memory(&stage).await;
    }
    redis.ask::<()>(redis::cmd("CLIENT").arg("UNPAUSE")).await;
    stage.sandbox.expire(Vendor::Aiclk);
    is_back(&stage).await;
}

#[tokio::test]
async fn p17_many_gateways_without_redis_ask_no_more_than_one() {
    let mut redis = Redis::start().await;
    let first = gateway(&redis).await;
    let mut stages = Vec::new();
    for _ in 0..3 {
        let plan = Stage::plan().config(&redis.store()).sandbox(rotating).beside(&first);
        stages.push(plan.config("upstream.aiclk.refresh.wait = '2s'").start().await);
    }
    redis.kill();
    for stage in stages.iter().chain([&first]) {
        begins_nothing(stage).await;
    }
    redis.restart().await;
    let before = asked(&first.sandbox);
    let everybody = async {
        for stage in stages.iter().chain([&first]) {
            while stage.get("aiclk", CALL).await.json()["code"] != 200 {
                tokio::task::yield_now().await;
            }
        }
    };
    soon("all are back", everybody).await;
    assert_eq!(asked(&first.sandbox), before + 1, "one refresh for all");
    assert_eq!(first.sandbox.counts(Vendor::Aiclk).refused, 0);
}
