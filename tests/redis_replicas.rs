//! Many gateways before one Redis: one refresh, and a token that all of them have at once (p17).

use std::time::Duration;

use tokenward::sandbox::{Fault, FaultKind, Scope, Settings, Vendor};
use tokenward::token::store::{Pages, Swap};
use tokio::time::Instant;

use crate::support::process::{Process, gateway};
use crate::support::redis::Redis;
use crate::support::vendors::{Home, Vendors, client, get, get_until};
use crate::support::{Stage, soon, until};

const CALL: &str = "/openapi/v1/account/info";

/// So many gateways before the same vendors and the same Redis, each with a token.
async fn gateways(count: usize, redis: &Redis) -> Vec<Stage> {
    let first = Stage::plan().config(&redis.store()).sandbox(rotating).start().await;
    let mut stages = vec![first];
    while stages.len() < count {
        let plan = Stage::plan().config(&redis.store()).sandbox(rotating).beside(&stages[0]);
        stages.push(plan.start().await);
    }
    stages
}

fn rotating(settings: &mut Settings) {
    settings.aiclk.tokens.rotate = true;
    settings.aiclk.tokens.access_life = Duration::from_secs(3600);
}

#[tokio::test]
async fn p17_a_death_costs_one_refresh_however_many_gateways_there_are() {
    for count in [1, 2, 4, 8] {
        let redis = Redis::start().await;
        let stages = gateways(count, &redis).await;
        let sandbox = stages[0].sandbox.clone();
        assert_eq!(sandbox.counts(Vendor::Aiclk).token_calls(), 1, "{count}: one at the start");
        for death in 1..=DEATHS {
            sandbox.expire(Vendor::Aiclk);
            let began = Instant::now();
            let mut callers = Vec::new();
            for stage in &stages {
                for _ in 0..CALLERS {
                    let mut caller = stage.caller("aiclk").await;
                    let head = format!("GET {CALL} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                    caller.send(head).await;
                    callers.push(caller);
                }
            }
            for caller in &mut callers {
                let answer = caller.answer().await;
                assert_eq!(answer.json()["code"], 200, "{count}, {death}: {answer:?}");
            }
            let took = began.elapsed();
            let calls = sandbox.counts(Vendor::Aiclk).token_calls();
            eprintln!("{count} gateways, death {death}: {} refresh, {took:?}", calls - death);
            assert_eq!(calls, 1 + death, "{count} gateways: one for each death");
            for stage in &stages {
                until("all have it", || stage.generation("aiclk") == 1 + death).await;
            }
        }
        let page = redis.page("aiclk").await;
        assert_eq!((page.generation, page.lease), (1 + DEATHS, None));
        assert_eq!(sandbox.counts(Vendor::Aiclk).refused, 0, "none was presented twice");
    }
}

#[tokio::test]
async fn p17_the_others_swap_at_once() {
    let redis = Redis::start().await;
    let stages = gateways(3, &redis).await;
    // Whoever has not subscribed yet would find it by reading.
    until_subscribed(&redis, 3).await;
    for generation in 2..10 {
        assert_eq!(stages[0].refresh("aiclk").await.status(), 200);
        let began = Instant::now();
        for stage in &stages {
            until("it is told", || stage.generation("aiclk") == generation).await;
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert_eq!(stages[0].sandbox.counts(Vendor::Aiclk).token_calls(), 9);
}

#[tokio::test]
async fn p17_what_nobody_tells_is_found_by_reading() {
    let redis =
        Redis::with(&["user deaf on >let-me-in-please ~tokenward:* +@all -subscribe"]).await;
    let deaf = "\nstore.username = 'deaf'\nstore.password = 'let-me-in-please'";
    let config = redis.store() + deaf;
    let one = Stage::plan().config(&config).start().await;
    let two = Stage::plan().config(&config).beside(&one).start().await;
    assert_eq!(one.refresh("aiclk").await.status(), 200);
    until("it is found", || two.generation("aiclk") == 2).await;
    assert_eq!(one.sandbox.counts(Vendor::Aiclk).token_calls(), 2);
}

#[tokio::test]
async fn p17_a_late_writer_is_refused() {
    let redis = Redis::start().await;
    let stage = Stage::plan().config(&redis.store()).start().await;
    let keys: Vec<String> = redis.ask(redis::cmd("KEYS").arg("*aiclk*")).await;
    let name = keys[0].split(['{', '}']).nth(1).expect("a name");
    let store = redis.pages();
    let late = store.load(name).await.expect("a page");
    assert_eq!(stage.refresh("aiclk").await.status(), 200);
    let swap = store.swap(name, late.revision, &late.page).await.expect("an answer");
    let Swap::Stale(now) = swap else { panic!("an older page replaced a newer") };
    assert_eq!(now.page.generation, 2);
    // And one that has seen the newer, and knows only the older.
    let swap = store.swap(name, now.revision, &late.page).await.expect("an answer");
    assert!(matches!(swap, Swap::Stale(_)), "an older token replaced a newer");
    assert_eq!(redis.page("aiclk").await, now.page);
}

#[tokio::test]
async fn p20_a_token_in_redis_makes_ready_whatever_the_token_endpoint_does() {
    let redis = Redis::start().await;
    let first = Stage::plan().config(&redis.store()).start().await;
    assert_eq!(first.refresh("aiclk").await.status(), 200);
    let down = || Fault::new(FaultKind::ServerError(503)).on(Scope::Token);
    for vendor in Vendor::ALL {
        first.sandbox.fault(vendor, down());
    }
    let before = first.sandbox.counts(Vendor::Aiclk).token_calls();
    let second = Stage::plan().config(&redis.store()).beside(&first).start().await;
    assert_eq!(second.get("aiclk", CALL).await.json()["code"], 200);
    assert_eq!(second.generation("aiclk"), 2);
    assert_eq!(first.sandbox.counts(Vendor::Aiclk).token_calls(), before);
}

#[tokio::test]
async fn p17_replicas_that_start_together_ask_once() {
    let redis = Redis::start().await;
    let first = Stage::plan().config(&redis.store()).without_tokens().sandbox(|settings| {
        settings.aiclk.tokens.token_latency = Duration::from_millis(200);
        settings.aiclk.tokens.rotate = true;
    });
    let first = first.start().await;
    let mut stages = vec![];
    for _ in 0..3 {
        let plan = Stage::plan().config(&redis.store()).beside(&first).without_tokens();
        stages.push(plan.start().await);
    }
    for stage in stages.iter().chain([&first]) {
        until("a token", || stage.generation("aiclk") == 1).await;
    }
    assert_eq!(first.sandbox.counts(Vendor::Aiclk).token_calls(), 1);
}

#[tokio::test]
async fn p17_a_thousand_callers_of_four_gateways_cost_one_refresh_and_none_without_redis() {
    let mut redis = Redis::start().await;
    let stages = gateways(4, &redis).await;
    let sandbox = stages[0].sandbox.clone();
    let (answered, took) = thousand(&stages, "code").await;
    eprintln!("a living token: the last of 1000 answers after {took:?}");
    assert_eq!(answered, 1000);
    sandbox.expire(Vendor::Aiclk);
    let (answered, took) = thousand(&stages, "code").await;
    eprintln!("a dead token: the last of 1000 answers after {took:?}");
    assert_eq!((answered, sandbox.counts(Vendor::Aiclk).token_calls()), (1000, 2));

    redis.kill();
    let (answered, took) = thousand(&stages, "code").await;
    eprintln!("a living token, Redis gone: the last of 1000 answers after {took:?}");
    assert_eq!(answered, 1000);
    sandbox.expire(Vendor::Aiclk);
    let (answered, took) = thousand(&stages, "message").await;
    eprintln!("a dead token, Redis gone: the last of 1000 answers after {took:?}");
    assert_eq!((answered, sandbox.counts(Vendor::Aiclk).token_calls()), (0, 2));
    assert!(took < Duration::from_secs(10), "nobody waits for Redis: {took:?}");
}

/// A thousand callers at once; how many of them the vendor has served, and when the last was
/// answered.
async fn thousand(stages: &[Stage], has: &str) -> (usize, Duration) {
    let mut callers = Vec::new();
    for number in 0..1000 {
        callers.push(stages[number % stages.len()].caller("aiclk").await);
    }
    let began = Instant::now();
    for caller in &mut callers {
        caller.send(format!("GET {CALL} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    }
    let mut served = 0;
    for caller in &mut callers {
        let answer = caller.answer().await.json();
        assert!(answer.get(has).is_some(), "{answer}");
        served += usize::from(answer["code"] == 200);
    }
    (served, began.elapsed())
}

/// A process that is stopped while the vendor thinks loses its lease. What it says when it goes on
/// neither replaces what another has had meanwhile, nor is it lost.
#[tokio::test]
async fn p17_a_holder_that_was_stopped_and_goes_on_replaces_nothing() {
    let redis = Redis::start().await;
    let mut settings = Settings::default();
    rotating(&mut settings);
    let vendors = Vendors::start(settings.clone()).await;
    let config = format!(
        "admin.listen = '127.0.0.1:0'\n{}\nstore.lease = '1s'\n[upstream.aiclk]\n\
         vendor = 'aiclk'\nlisten = '127.0.0.1:0'\nbase_url = 'http://{}'\n\
         credentials = {{ client_id = '{}', refresh_token = '{}' }}\n",
        redis.store(),
        vendors.address,
        settings.aiclk.client_id,
        settings.aiclk.first_refresh_token
    );
    let home = Home::with(&config);
    let (one, two) =
        (Process::start(gateway(&home.config())), Process::start(gateway(&home.config())));
    let (first, second) = (one.upstream("aiclk").await, two.upstream("aiclk").await);
    for at in [&first, &second] {
        assert_eq!(get(at.clone() + CALL).await.json()["code"], 200);
    }
    let sandbox = &vendors.sandbox;
    // The answer is given, and is long on its way.
    sandbox.fault(Vendor::Aiclk, Fault::new(FaultKind::Silent).on(Scope::Token).times(1));
    let refresh = one.admin().await + "/-/refresh/aiclk";
    let asked = tokio::spawn(client().post(refresh).send());
    soon("it asks", sandbox.until(Vendor::Aiclk, |counts| counts.refreshes == 2)).await;
    one.signal("STOP").await;

    sandbox.expire(Vendor::Aiclk);
    let began = Instant::now();
    let answer = get_until(second.clone() + CALL, |answer| answer.json()["code"] == 200).await;
    eprintln!("taken over after {:?}", began.elapsed());
    assert_eq!(answer.status, 200);
    let taken_over = redis.page("aiclk").await;
    assert_eq!((taken_over.generation, sandbox.counts(Vendor::Aiclk).refreshes), (2, 3));

    one.signal("CONT").await;
    let _ = soon("it hears that it is late", asked).await;
    let answer = get_until(first + CALL, |answer| answer.json()["code"] == 200).await;
    assert_eq!(answer.status, 200);
    let page = redis.page("aiclk").await;
    assert_eq!(page.tokens, taken_over.tokens, "it has replaced a newer token");
    assert!(page.fence > 1 && page.lease.is_none(), "{page:?}");
    assert_eq!(sandbox.counts(Vendor::Aiclk).refreshes, 3, "it has adopted the other's");
}

/// Waits until so many listen for changes.
async fn until_subscribed(redis: &Redis, count: u64) {
    let mut subscribers = redis::cmd("PUBSUB");
    subscribers.arg("NUMSUB").arg("tokenward:changes");
    soon("all listen", async {
        while redis.ask::<(String, u64)>(&subscribers).await.1 < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

const DEATHS: u64 = 5;
/// At each gateway.
const CALLERS: usize = 10;
