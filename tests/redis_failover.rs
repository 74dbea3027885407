//! The master dies, and sentinels make a replica the master (p17).

use std::time::Duration;

use tokenward::sandbox::Vendor;

use crate::support::redis::Redis;
use crate::support::{Stage, soon, until};

const CALL: &str = "/openapi/v1/account/info";

#[tokio::test]
async fn p17_gateways_follow_a_failover_and_no_token_is_lost() {
    let mut master = Redis::start().await;
    let replica = Redis::replica_of(&master).await;
    let sentinel = Redis::sentinel(&master).await;
    soon("the sentinel knows the replica", async {
        let mut replicas = redis::cmd("SENTINEL");
        replicas.arg("replicas").arg("main");
        while sentinel.ask::<Vec<redis::Value>>(&replicas).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The first sentinel is not there.
    let store = format!(
        "store.kind = 'redis'\nstore.master = 'main'\n\
         store.sentinels = ['127.0.0.1:1', '127.0.0.1:{}']",
        sentinel.port
    );
    let rotating = |settings: &mut tokenward::sandbox::Settings| {
        settings.aiclk.tokens.rotate = true;
        settings.aiclk.tokens.access_life = Duration::from_secs(3600);
    };
    let one = Stage::plan().config(&store).sandbox(rotating).start().await;
    let two = Stage::plan().config(&store).sandbox(rotating).beside(&one).start().await;
    assert_eq!(one.refresh("aiclk").await.status(), 200);
    until("both have it", || two.generation("aiclk") == 2).await;
    // What the master has acknowledged, the replica has a moment later, or never.
    soon("the replica has it", async {
        while replica.page("aiclk").await.generation != 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    master.kill();
    for stage in [&one, &two] {
        assert_eq!(stage.get("aiclk", CALL).await.json()["code"], 200, "served from memory");
    }
    let sandbox = one.sandbox.clone();
    sandbox.expire(Vendor::Aiclk);
    soon("requests pass again, by the new master", async {
        for stage in [&one, &two] {
            while stage.get("aiclk", CALL).await.json()["code"] != 200 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let counts = sandbox.counts(Vendor::Aiclk);
    assert_eq!((counts.token_calls(), counts.refused), (3, 0), "one refresh for the death");
    assert_eq!(replica.page("aiclk").await.generation, 3);

    // The former master comes back, empty, and is made a replica: nobody writes to it.
    master.restart().await;
    soon("the former master follows", async {
        while master.page("aiclk").await.generation != 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(two.refresh("aiclk").await.status(), 200);
    until("both have it", || one.generation("aiclk") == 4).await;
    // On a busy machine the sentinel may have changed its mind, and the first is the master again.
    soon("both servers have it", async {
        for server in [&master, &replica] {
            while server.page("aiclk").await.generation != 4 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn p17_a_sentinel_that_knows_nothing_is_told_with_what_to_do() {
    let master = Redis::start().await;
    let sentinel = Redis::sentinel(&master).await;
    let store = format!(
        "store.kind = 'redis'\nstore.master = 'another'\nstore.sentinels = ['127.0.0.1:{}']",
        sentinel.port
    );
    let stage = Stage::plan().config(&store).without_tokens().start().await;
    let answer = stage.get("aiclk", CALL).await;
    assert_eq!(answer.status(), 503);
    let status = stage.admin("/status").await.text();
    assert!(status.contains("store.master") && status.contains("another"), "{status}");
    assert_eq!(stage.sandbox.counts(Vendor::Aiclk).token_calls(), 0);
}
