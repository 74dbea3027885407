//! Two systems that use one app id end each other's tokens, and are told so (p19).

use std::sync::Arc;

use tokenward::sandbox::{Sandbox, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::{Stage, logs, until};

const UPSTREAM: [(&str, &str); 1] = [("upstream", "jing")];
const DEATHS: &str = "tokenward_token_early_deaths_total";

#[tokio::test]
async fn p19_two_gateways_with_stores_of_their_own_fight_over_one_app_id_and_both_say_so() {
    logs::capture();
    let sandbox: Arc<Sandbox> = Sandbox::new(Settings::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vendors = listener.local_addr().expect("an address");
    tokio::spawn(sandbox.serve(listener, CancellationToken::new()));
    let one = Stage::plan().before(vendors).without_tokens().start().await;
    until("a token", || one.generation("jing") == 1).await;
    let other = Stage::plan().before(vendors).without_tokens().start().await;
    until("a token", || other.generation("jing") == 1).await;

    // Each call finds its token ended by the other's renewal, and ends the other's in turn.
    for round in 0..5 {
        for stage in [&one, &other] {
            if round == 2 {
                assert_eq!(warnings(stage).await, [""; 0], "two deaths may be chance");
            }
            let answer = stage.get("jing", "/v1/user/list").await;
            assert_eq!((answer.status(), answer.one("tokenward-retry")), (200, Some("recovered")));
        }
    }
    for stage in [&one, &other] {
        stage.metric_becomes(DEATHS, &UPSTREAM, 5.0).await;
        let warnings = warnings(stage).await;
        let [warning] = warnings.as_slice() else { panic!("one warning: {warnings:?}") };
        assert!(warning.starts_with("the last 3 tokens died after "), "{warning}");
        assert!(warning.contains("of a promised 2h (5 in a row): another system"), "{warning}");
        assert!(warning.contains("uses the same app id"), "{warning}");
    }
    let log = logs::captured();
    let said = log.lines().filter(|line| line.contains("tokens die young, again and again"));
    assert_eq!(said.count(), 2, "once by each, and not for every death");
}

async fn warnings(stage: &Stage) -> Vec<String> {
    let status = stage.admin("/status").await.json();
    let warnings = status["upstreams"]["jing"]["warnings"].as_array().cloned();
    let warnings = warnings.expect("a list").into_iter();
    warnings.map(|one| one.as_str().expect("a text").to_owned()).collect()
}
