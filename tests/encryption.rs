//! Tokens at rest: sealed in the store, under keys that can be changed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokenward::sandbox::{Sandbox, Settings, Vendor};
use tokio::process::Command;

use crate::support::process::{Process, gateway, run, tokenward};
use crate::support::redis::Redis;
use crate::support::vendors::{Home, Vendors, client, get, get_until, send};
use crate::support::{Stage, until};

const CONFIG: &str = r#"
workers = 1
admin.listen = "127.0.0.1:0"
store.path = "tokens.json"

[upstream.jing]
vendor = "jing"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials = { app_id = "sandbox-app-id", app_secret = "sandbox-app-secret" }

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials = { client_id = "sandbox-client-id", refresh_token = "sandbox-aiclk-refresh-first" }
"#;

const CALL: &str = "/openapi/v1/account/info?account_id=1";
const UPSTREAMS: [(&str, Vendor); 2] = [("jing", Vendor::Jing), ("aiclk", Vendor::Aiclk)];
const OLD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f1";
const NEW: &str = "8f0e1d2c3b4a59687786958493a2b1c0d00e1d2c3b4a59687786958493a2b1c0";

/// A gateway before both vendors, with these keys; the first seals.
fn with_keys(vendors: &Vendors, home: &Home, keys: &[&str]) -> Command {
    let mut command = gateway(&home.config());
    let at = format!("http://{}", vendors.address);
    command.env("TOKENWARD__UPSTREAM__JING__BASE_URL", &at);
    command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", &at);
    if !keys.is_empty() {
        command.env("TOKENWARD__STORE__ENCRYPTION_KEY", format!("{keys:?}"));
    }
    command
}

async fn ready(process: &Process) -> String {
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    admin
}

/// Everything that the vendors have handed out until now and still take.
fn remember(secrets: &mut BTreeSet<String>, sandbox: &Sandbox) {
    for (_, vendor) in UPSTREAMS {
        let current = sandbox.current(vendor);
        secrets.extend(current.access_token.into_iter().chain(current.refresh_token));
    }
}

fn store(home: &Home) -> Vec<u8> {
    std::fs::read(home.path().join("tokens.json")).expect("the store")
}

fn holds(store: &[u8], text: &str) -> bool {
    store.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The id of a key, as anybody finds it: the hash of its hex digits.
async fn id(key: &str) -> String {
    let mut hash = Command::new("sh");
    hash.args(["-c", "printf %s \"$0\" | sha256sum | cut -c1-16", key]);
    let output = hash.output().await.expect("sha256sum");
    String::from_utf8(output.stdout).expect("hex").trim().to_owned()
}

#[tokio::test]
async fn p26_no_token_stands_in_the_store_and_its_key_can_be_changed() {
    let mut settings = Settings::default().with_access_life(Duration::from_secs(3600));
    settings.aiclk.tokens.rotate = true;
    let (home, vendors) = (Home::with(CONFIG), Vendors::start(settings).await);
    let mut secrets = BTreeSet::from([OLD.to_owned(), NEW.to_owned()]);
    secrets.insert("sandbox-aiclk-refresh-first".to_owned());
    secrets.insert("sandbox-app-secret".to_owned());

    let first = Process::start(with_keys(&vendors, &home, &[OLD]));
    let admin = ready(&first).await;
    remember(&mut secrets, &vendors.sandbox);
    for (upstream, _) in UPSTREAMS {
        let refreshed = send(client().post(format!("{admin}/-/refresh/{upstream}"))).await;
        assert_eq!(refreshed.expect("an answer").status, 200);
    }
    remember(&mut secrets, &vendors.sandbox);
    assert!(secrets.len() >= 7, "{secrets:?}");
    let status = get(format!("{admin}/status")).await;
    assert_eq!(status.json()["store"]["sealed_with"], id(OLD).await, "{}", status.body);
    for secret in &secrets {
        assert!(!status.body.contains(secret.as_str()), "{secret} is shown");
        assert!(!holds(&store(&home), secret), "{secret} is in the store");
    }
    first.kill().await;
    assert!(holds(&store(&home), &id(OLD).await));

    // The new key seals what the old one opens, without a call of any vendor.
    let calls = || UPSTREAMS.map(|(_, vendor)| vendors.sandbox.counts(vendor).token_calls());
    let before = calls();
    let second = Process::start(with_keys(&vendors, &home, &[NEW, OLD]));
    ready(&second).await;
    for (upstream, _) in UPSTREAMS {
        let anew = |page: &str| page.starts_with(upstream);
        second
            .logged(|it| {
                it["message"].as_str().is_some_and(|it| it.contains("sealed anew"))
                    && it["page"].as_str().is_some_and(anew)
            })
            .await;
    }
    second.kill().await;
    assert!(holds(&store(&home), &id(NEW).await) && !holds(&store(&home), &id(OLD).await));

    let third = Process::start(with_keys(&vendors, &home, &[NEW]));
    ready(&third).await;
    for (upstream, _) in UPSTREAMS {
        assert_eq!(get(third.upstream(upstream).await + CALL).await.status, 200);
    }
    third.signal("TERM").await;
    let ended = third.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for secret in &secrets {
        assert!(!ended.stderr.contains(secret.as_str()), "{secret} is in the log");
        assert!(!holds(&store(&home), secret), "{secret} is in the store");
    }
    assert_eq!(calls(), before, "a token was fetched though the store had it");
}

#[tokio::test]
async fn p26_without_its_key_a_store_is_left_as_it_is_and_says_which_one_is_wanted() {
    let (home, vendors) = (Home::with(CONFIG), Vendors::start(Settings::default()).await);
    let first = Process::start(with_keys(&vendors, &home, &[OLD]));
    ready(&first).await;
    first.kill().await;
    let (sealed, wanted) = (store(&home), id(OLD).await);
    let calls = || UPSTREAMS.map(|(_, vendor)| vendors.sandbox.counts(vendor).token_calls());
    let before = calls();

    for (keys, remedy) in
        [(&[][..], "set `store.encryption_key`"), (&[NEW][..], "add the wanted key to its list")]
    {
        let process = Process::start(with_keys(&vendors, &home, keys));
        let admin = process.admin().await;
        let told = get_until(format!("{admin}/readyz"), |it| it.body.contains(&wanted)).await;
        assert_eq!(told.status, 503);
        for (upstream, _) in UPSTREAMS {
            let why = get_until(format!("{admin}/readyz"), |it| {
                it.json()["upstreams"][upstream]["reason"]
                    .as_str()
                    .is_some_and(|why| why.contains(&wanted) && why.contains(remedy))
            });
            why.await;
            let answer = get(process.upstream(upstream).await + CALL).await;
            assert_eq!(answer.status, 503, "{answer:?}");
        }
        process.logged(|it| it["level"] == "ERROR" && it.to_string().contains(&wanted)).await;
        let detail = get(format!("{admin}/status")).await.json()["store"]["detail"].clone();
        assert!(detail.as_str().is_some_and(|it| it.contains(remedy)), "{detail}");
        process.signal("TERM").await;
        assert_eq!(process.ended().await.code, Some(0));
        assert!(store(&home) == sealed, "a store that could not be read was written");
    }
    assert_eq!(calls(), before, "a token was fetched, and could not have been saved");

    // `seed` neither reads nor replaces what it cannot open.
    let token = home.put("seed", "another-refresh-token");
    let mut seed = tokenward();
    seed.args(["seed", "aiclk", "--force", "--config"]).arg(home.config());
    seed.arg("--refresh-token-file").arg(token);
    let ended = run(seed).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&wanted), "{}", ended.stderr);
    assert!(store(&home) == sealed);

    let last = Process::start(with_keys(&vendors, &home, &[NEW, OLD]));
    ready(&last).await;
    assert_eq!(calls(), before);
}

#[tokio::test]
async fn p26_a_plain_store_is_sealed_when_a_key_is_given() {
    let (home, vendors) = (Home::with(CONFIG), Vendors::start(Settings::default()).await);
    let plain = Process::start(with_keys(&vendors, &home, &[]));
    ready(&plain).await;
    let mut secrets = BTreeSet::new();
    remember(&mut secrets, &vendors.sandbox);
    plain.kill().await;
    assert!(secrets.iter().any(|secret| holds(&store(&home), secret)));

    let sealing = Process::start(with_keys(&vendors, &home, &[NEW]));
    ready(&sealing).await;
    for (upstream, _) in UPSTREAMS {
        let warned = sealing.logged(|it| {
            let page = it["page"].as_str().is_some_and(|page| page.starts_with(upstream));
            page && it["message"].as_str().is_some_and(|it| it.contains("plain text until now"))
        });
        assert_eq!(warned.await["level"], "WARN");
    }
    sealing.kill().await;
    for secret in &secrets {
        assert!(!holds(&store(&home), secret), "{secret} is in the store");
    }
}

/// While a fleet is brought from one order of keys to the other, both halves read what either writes.
#[tokio::test]
async fn p26_replicas_before_one_redis_share_sealed_tokens_while_their_keys_are_changed() {
    let redis = Redis::start().await;
    let plan = |keys: [&str; 2]| {
        let keys = format!("store.encryption_key = {keys:?}");
        Stage::plan().config(&redis.store()).config(&keys).sandbox(|settings| {
            settings.aiclk.tokens.rotate = true;
        })
    };
    let old = plan([OLD, NEW]).start().await;
    let new = plan([NEW, OLD]).beside(&old).start().await;
    let sandbox = old.sandbox.clone();
    let mut secrets = BTreeSet::from([OLD.to_owned(), NEW.to_owned()]);
    for (generation, stage) in (2..).zip([&old, &new, &old]) {
        remember(&mut secrets, &sandbox);
        assert_eq!(stage.refresh("aiclk").await.status(), 200);
        for stage in [&old, &new] {
            until("both have it", || stage.generation("aiclk") == generation).await;
        }
    }
    remember(&mut secrets, &sandbox);
    assert!(secrets.len() >= 9, "{secrets:?}");
    assert_eq!(sandbox.counts(Vendor::Aiclk).token_calls(), 4);
    let mut stored = Vec::new();
    let names: Vec<String> = redis.ask(redis::cmd("KEYS").arg("*")).await;
    for name in &names {
        let dump: Vec<Vec<u8>> = redis.ask(redis::cmd("HGETALL").arg(name)).await;
        stored.extend(dump.concat());
    }
    assert!(holds(&stored, "sealed:1:") && names.len() >= 2, "{names:?}");
    for secret in &secrets {
        assert!(!holds(&stored, secret), "{secret} is in the store");
    }
}
