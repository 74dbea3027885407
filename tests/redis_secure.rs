//! TLS, users and passwords of a Redis store, and nothing of them in what we say (p26).

use tokenward::sandbox::Vendor;

use crate::support::authority::Authority;
use crate::support::process::{Process, gateway, run, tokenward};
use crate::support::redis::Redis;
use crate::support::vendors::{Home, Vendors, get};
use crate::support::{Stage, logs};

const CALL: &str = "/openapi/v1/account/info";
const PASSWORD: &str = "very-secret-redis-password";
/// What a user needs, and no more.
const USER: &str = "user tokenward on >very-secret-redis-password ~tokenward:* &tokenward:* \
                    -@all +ping +select +hello +hmget +hset +pexpire +persist +publish +eval \
                    +evalsha +subscribe";

/// A server that speaks TLS alone, wants to see a certificate, and knows one user.
async fn guarded(folder: &std::path::Path, authority: &Authority) -> Redis {
    let (certificate, key) = authority.server_pem(&["localhost", "127.0.0.1"]);
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (client, client_key) = authority.client("tokenward");
    put("client.pem", &client);
    put("client.key", &client_key);
    Redis::with(&[
        &format!("tls-cert-file {}", put("server.pem", &certificate)),
        &format!("tls-key-file {}", put("server.key", &key)),
        &format!("tls-ca-cert-file {}", put("ca.pem", &authority.pem())),
        "tls-auth-clients yes",
        USER,
    ])
    .await
}

fn store(redis: &Redis, folder: &std::path::Path) -> String {
    let folder = folder.display();
    format!(
        "[store]\nkind = 'redis'\nurl = 'rediss://localhost:{}/3'\nusername = 'tokenward'\n\
         password = '{PASSWORD}'\ntls.ca_file = '{folder}/ca.pem'\n\
         tls.client_cert = '{folder}/client.pem'\ntls.client_key = '{folder}/client.key'\n",
        redis.port
    )
}

#[tokio::test]
async fn p26_redis_by_tls_with_a_user_who_may_do_no_more_than_needed() {
    logs::capture();
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("redis");
    let redis = guarded(folder.path(), &authority).await;
    let one = Stage::plan().config(&store(&redis, folder.path())).start().await;
    let two = Stage::plan().config(&store(&redis, folder.path())).beside(&one).start().await;
    assert_eq!(one.refresh("aiclk").await.status(), 200);
    crate::support::until("it is told", || two.generation("aiclk") == 2).await;
    let status = one.admin("/status").await.text();
    let denied: Vec<redis::Value> = redis.ask(redis::cmd("ACL").arg("LOG")).await;
    assert!(denied.is_empty(), "{denied:?}");

    // What goes wrong is said without what is secret.
    let mut said = vec![status];
    let right = store(&redis, folder.path());
    for (wrong, told) in [
        (right.replace(PASSWORD, "very-wrong-password"), "did not accept the password"),
        (right.replace("username = 'tokenward'\n", ""), "did not accept the password"),
        (right.replace("tls.ca_file", "#"), "UnknownIssuer"),
        (right.replace("tls.client_", "#"), "store.tls"),
        (right.replace("[store]", "[store]\nkey_prefix = 'other:'"), "too little"),
    ] {
        let stage = Stage::plan().config(&wrong).beside(&one).without_tokens().start().await;
        assert_eq!(stage.get("aiclk", CALL).await.status(), 503, "{told}");
        let status = stage.admin("/status").await.text();
        assert!(status.contains(told), "{told}: {status}");
        said.push(status);
    }
    assert_eq!(one.sandbox.counts(Vendor::Aiclk).token_calls(), 2);
    said.push(logs::captured());
    for text in said {
        assert!(!text.contains(PASSWORD) && !text.contains("very-wrong-password"), "{text}");
    }
}

#[tokio::test]
async fn p20_seed_puts_a_refresh_token_into_redis_while_a_gateway_runs() {
    let redis = Redis::with(&[USER]).await;
    let url = format!("redis://tokenward:{PASSWORD}@127.0.0.1:{}", redis.port);
    let vendors = Vendors::start(tokenward::sandbox::Settings::default()).await;
    let home = Home::with(&format!(
        "admin.listen = '127.0.0.1:0'\n[store]\nkind = 'redis'\nurl = '{url}'\n\
         [upstream.aiclk]\nvendor = 'aiclk'\nlisten = '127.0.0.1:0'\n\
         base_url = 'http://{}'\ncredentials.client_id = 'sandbox-client-id'\n",
        vendors.address
    ));
    let running = Process::start(gateway(&home.config()));
    let at = running.upstream("aiclk").await;
    assert_eq!(get(at.clone() + CALL).await.status, 503, "no token yet");

    let seed = home.put("seed", "sandbox-aiclk-refresh-first");
    let mut command = tokenward();
    command.arg("seed").arg("aiclk").arg("--refresh-token-file").arg(&seed);
    command.arg("--config").arg(home.config());
    let ended = run(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("aiclk is seeded"), "{}", ended.stdout);
    let answer = crate::support::vendors::get_until(at + CALL, |answer| answer.status == 200).await;
    assert_eq!(answer.json()["code"], 200);

    let mut check = tokenward();
    check.arg("check").arg("--config").arg(home.config());
    let checked = run(check).await;
    assert!(checked.stdout.contains("redis at 127.0.0.1"), "{}", checked.stdout);
    for text in [checked.stdout, checked.stderr, ended.stdout, ended.stderr] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}
