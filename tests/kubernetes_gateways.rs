//! Gateways that share one Secret of a cluster (p15, p17, p20, p26).

use serde_json::Value;
use tokenward::sandbox::{Fault, FaultKind, Scope, Settings, Vendor};

use crate::support::kubernetes::{self, SECRET, TOKEN};
use crate::support::pod::Pod;
use crate::support::process::{gateway, run, tokenward};
use crate::support::vendors::{Home, Vendors};
use crate::support::{Stage, logs, soon, until};

/// A token endpoint whose refresh tokens are good once.
fn rotating() -> Settings {
    let mut settings = Settings::default();
    settings.aiclk.tokens.rotate = true;
    settings
}

async fn replica(pod: &Pod, vendors: &Vendors) -> Stage {
    Stage::plan().before(vendors.address).config(&pod.config()).start().await
}

/// A page of the Secret as anybody sees it who may not see `data`.
fn page(pod: &Pod, vendor: &str) -> Value {
    let annotations = pod.cluster.secret(SECRET)["metadata"]["annotations"].clone();
    let annotations = annotations.as_object().cloned().unwrap_or_default();
    let prefix = format!("tokenward.dev/{vendor}");
    let found = annotations.iter().find(|(key, _)| key.starts_with(&prefix));
    found
        .map(|(_, text)| serde_json::from_str(text.as_str().expect("a text")).expect("JSON"))
        .unwrap_or_default()
}

/// Every replica gets a good answer; all are asked at once.
async fn all_are_served(stages: &[Stage], upstream: &str) {
    let calls = stages.iter().map(|stage| stage.get(upstream, target(upstream)));
    let mut calls: Vec<_> = calls.map(|call| Some(Box::pin(call))).collect();
    std::future::poll_fn(|context| {
        for call in &mut calls {
            let Some(running) = call else { continue };
            if let std::task::Poll::Ready(answer) = running.as_mut().poll(context) {
                assert_eq!(answer.status(), 200, "{}", answer.text());
                assert!(!answer.text().contains("expired"), "{}", answer.text());
                *call = None;
            }
        }
        match calls.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

fn target(upstream: &str) -> &'static str {
    if upstream == "jing" { "/v1/x" } else { "/openapi/v1/account/info?account_id=1" }
}

async fn one_refresh_for_each_death(replicas: usize) {
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    let mut stages = Vec::new();
    for _ in 0..replicas {
        stages.push(replica(&pod, &vendors).await);
    }
    for (upstream, vendor) in [("aiclk", Vendor::Aiclk), ("jing", Vendor::Jing)] {
        let calls = || vendors.sandbox.counts(vendor).token_calls();
        assert_eq!(calls(), 1, "one for all of them at the start");
        for death in 1..=3 {
            vendors.sandbox.expire(vendor);
            soon("all are served", all_are_served(&stages, upstream)).await;
            assert_eq!(calls(), 1 + death, "{upstream}: one for each death");
        }
        let newest = stages.iter().map(|stage| stage.generation(upstream)).max();
        until("all have the newest token", || {
            stages.iter().all(|stage| Some(stage.generation(upstream)) == newest)
        })
        .await;
        assert_eq!(page(&pod, upstream)["generation"].as_u64(), newest);
        assert_eq!(vendors.sandbox.counts(vendor).refused, 0);
    }
    let created = pod.cluster.calls().iter().filter(|call| call.code == 201).count();
    assert_eq!(created, 1, "others find the Secret there, or lose the race");
}

#[tokio::test]
async fn p17_two_gateways_on_one_secret_refresh_once_for_each_death() {
    one_refresh_for_each_death(2).await;
}

#[tokio::test]
async fn p17_four_gateways_on_one_secret_refresh_once_for_each_death() {
    one_refresh_for_each_death(4).await;
}

#[tokio::test]
async fn p17_a_token_that_one_gateway_has_is_the_others_at_once() {
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    let (one, other) = (replica(&pod, &vendors).await, replica(&pod, &vendors).await);
    for generation in 2..=4 {
        assert_eq!(one.refresh("aiclk").await.status(), 200);
        // The next look by the clock is farther away than this waits.
        until("the other has it, too", || other.generation("aiclk") == generation).await;
    }
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 4);
}

#[tokio::test]
async fn p17_without_a_watch_a_dead_token_is_replaced_by_the_stored_one() {
    let pod = Pod::new().await;
    pod.cluster.allow(&["get", "create", "patch"]);
    let vendors = Vendors::start(rotating()).await;
    let stages = [replica(&pod, &vendors).await, replica(&pod, &vendors).await];
    assert_eq!(stages[0].refresh("aiclk").await.status(), 200);
    assert_eq!(stages[1].generation("aiclk"), 1, "nobody has told it");
    soon("all are served", all_are_served(&stages, "aiclk")).await;
    assert_eq!(stages[1].generation("aiclk"), 2);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 2);
}

#[tokio::test]
async fn p17_without_its_cluster_a_gateway_serves_on_and_gives_back_what_was_lost() {
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    let stage = replica(&pod, &vendors).await;
    let old = pod.cluster.secret(SECRET);
    assert_eq!(stage.refresh("aiclk").await.status(), 200);
    assert_eq!(page(&pod, "aiclk")["generation"], 2);

    pod.cluster.leave();
    for _ in 0..3 {
        assert_eq!(stage.get("aiclk", target("aiclk")).await.status(), 200);
    }
    let answer = stage.refresh("aiclk").await;
    assert_ne!(answer.status(), 200, "{}", answer.text());
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 2, "nothing is begun");
    assert_eq!(stage.get("aiclk", target("aiclk")).await.status(), 200);

    // It comes back as it was before the last token. The refresh that was asked for may follow.
    pod.cluster.put(SECRET, old);
    assert_eq!(page(&pod, "aiclk")["generation"], 1);
    pod.cluster.come_back().await;
    let given_back = || page(&pod, "aiclk")["generation"] == stage.generation("aiclk");
    until("the newer token is given back", given_back).await;
    assert!(stage.generation("aiclk") >= 2);

    // And once with nothing at all.
    pod.cluster.put(SECRET, Value::Null);
    until("it is given back, too", given_back).await;
    stage.gateway.stop().await;
    let refreshes = vendors.sandbox.counts(Vendor::Aiclk).refreshes;
    let stage = replica(&pod, &vendors).await;
    assert_eq!(stage.get("aiclk", target("aiclk")).await.status(), 200);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, refreshes);
}

#[tokio::test]
async fn p15_nothing_is_begun_that_could_not_be_noted() {
    logs::capture();
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    let stage = replica(&pod, &vendors).await;
    pod.cluster.allow(&["get", "watch"]);
    vendors.sandbox.expire(Vendor::Aiclk);
    stage.get("aiclk", target("aiclk")).await;
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 1);
    let text = "forbids to patch the Secret tokenward-tokens in the namespace apps";
    until("it is told what is missing", || logs::captured().contains(text)).await;

    pod.cluster.allow(&["get", "patch", "watch"]);
    soon("the right is used", async {
        while vendors.sandbox.counts(Vendor::Aiclk).refreshes == 1 {
            stage.get("aiclk", target("aiclk")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn p15_a_token_is_saved_before_a_request_carries_it() {
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    let stage = replica(&pod, &vendors).await;
    let accepted = || vendors.sandbox.counts(Vendor::Aiclk).accepted;
    // The lease and the intent are noted, and the vendor answers; then the save fails.
    let fault = kubernetes::Fault::new(500).of("patch");
    pod.cluster.fault(kubernetes::Fault { after: 1, ..fault });
    vendors.sandbox.expire(Vendor::Aiclk);
    stage.get("aiclk", target("aiclk")).await;
    assert_eq!((vendors.sandbox.counts(Vendor::Aiclk).refreshes, accepted()), (2, 0));
    assert_eq!(page(&pod, "aiclk")["generation"], 1);

    soon("it is saved in the end", async {
        while accepted() == 0 {
            stage.get("aiclk", target("aiclk")).await;
        }
    })
    .await;
    assert_eq!(page(&pod, "aiclk")["generation"], 2);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 2, "the pair in hand was kept");
}

#[tokio::test]
async fn p20_a_new_replica_is_ready_with_the_stored_token_whatever_the_vendor_does() {
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    replica(&pod, &vendors).await.gateway.stop().await;
    for vendor in Vendor::ALL {
        vendors.sandbox.fault(vendor, Fault::new(FaultKind::Silent).on(Scope::Token));
    }
    let stage = replica(&pod, &vendors).await;
    assert_eq!(stage.get("aiclk", target("aiclk")).await.status(), 200);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).token_calls(), 1);
}

#[tokio::test]
async fn p26_no_secret_is_in_annotations_logs_or_pages() {
    logs::capture();
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    let stage = replica(&pod, &vendors).await;
    let mut secrets = vec![TOKEN.to_owned()];
    let mut seen = String::new();
    for round in 0..3 {
        for vendor in Vendor::ALL {
            let now = vendors.sandbox.current(vendor);
            secrets.extend(now.access_token.into_iter().chain(now.refresh_token));
        }
        let object = pod.cluster.secret(SECRET);
        let data = object["data"].as_object().expect("data");
        secrets.extend(data.values().map(|value| value.as_str().expect("text").to_owned()));
        seen += &object["metadata"].to_string();
        for path in ["/metrics", "/status", "/readyz", "/"] {
            seen += &stage.admin(path).await.text();
        }
        match round {
            0 => pod.cluster.fault(kubernetes::Fault::new(400).of("patch")),
            1 => pod.cluster.accept_tokens(&["another"]),
            _ => {}
        }
        seen += &stage.refresh("aiclk").await.text();
        vendors.sandbox.expire(Vendor::Jing);
        seen += &stage.get("jing", "/v1/x").await.text();
    }
    let log = logs::captured();
    assert!(log.contains("token renewed") && log.contains("does not know who we are"));
    seen += &log;
    assert!(secrets.len() > 5 && secrets.iter().all(|secret| secret.len() >= 8));
    for secret in secrets {
        assert!(!seen.contains(&secret), "{secret} came to light");
    }
}

#[tokio::test]
async fn p20_a_seed_is_put_into_the_secret_and_the_program_says_where_that_is() {
    let pod = Pod::new().await;
    let vendors = Vendors::start(rotating()).await;
    let upstream = format!(
        "[upstream.aiclk]\nvendor = \"aiclk\"\nlisten = \"127.0.0.1:0\"\n\
         base_url = \"http://{}\"\ncredentials.client_id = \"c\"\n",
        vendors.address
    );
    let home = Home::with(&format!("{}\n{upstream}", pod.config()));
    let mut check = tokenward();
    let ended = run({
        check.args(["check", "--config"]).arg(home.config());
        check
    })
    .await;
    let place = "kubernetes: the Secret tokenward-tokens in apps, at https://localhost:";
    assert!(ended.stdout.contains(place), "{} {}", ended.stdout, ended.stderr);

    let seed = async |token: &str, more: &[&str]| {
        let mut command = tokenward();
        command.args(["seed", "aiclk", "--refresh-token-file"]).arg(home.put("seed", token));
        command.arg("--config").arg(home.config()).args(more);
        run(command).await
    };
    assert_eq!(seed("first-of-all", &[]).await.code, Some(0));
    assert_eq!(page(&pod, "aiclk")["page"]["unproven"], true);
    let refused = seed("second", &[]).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(seed("second", &["--force"]).await.code, Some(0));

    pod.cluster.allow(&["get"]);
    let refused = seed("third", &["--force"]).await;
    assert!(refused.stderr.contains("forbids to patch"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("third"), "{}", refused.stderr);

    // Mistakes are shown in their place.
    for (key, value, expected) in [
        ("secret", "Tokens", "no Secret can have this name"),
        ("namespace", "a.b", "no namespace can have this name"),
        ("url", "http://10.0.0.1", "without TLS others could read the tokens"),
        ("url", "10.0.0.1:443", "lacks its scheme"),
        ("service_account", "nowhere", "no service account's token in"),
    ] {
        let store = "[store]\nkind = \"kubernetes\"\n";
        let url = if key == "url" { "" } else { "url = \"https://10.0.0.1\"\n" };
        let namespace = if key == "namespace" { "" } else { "namespace = \"apps\"\n" };
        let mistaken = format!("{store}{url}{namespace}{key} = \"{value}\"\n{upstream}");
        let home = Home::with(&mistaken);
        let ended = run(gateway(&home.config())).await;
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
    // A test is no pod.
    let home = Home::with(&format!("[store]\nkind = \"kubernetes\"\n{upstream}"));
    let ended = soon("it ends", run(gateway(&home.config()))).await;
    assert!(ended.stderr.contains("this is no pod"), "{}", ended.stderr);
}
