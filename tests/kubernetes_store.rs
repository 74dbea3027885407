//! One Secret as a store: what is written, who wins, and what is said when the API says no (p15,
//! p17, p26).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokenward::causes::causes;
use tokenward::secret::Secret;
use tokenward::token::Outcome;
use tokenward::token::page::Failure;
use tokenward::token::store::{Pages, Seen, Store, StoreError, Swap};

use crate::support::kubernetes::{Fault, SECRET};
use crate::support::pod::Pod;

const PAGE: &str = "aiclk-0123456789abcdef";

/// Puts another refresh token onto a page.
async fn save(store: &Store, name: &str, refresh_token: &str) -> Result<Swap, StoreError> {
    let seen = store.load(name).await?;
    replace(store, name, seen, refresh_token).await
}

async fn replace(store: &Store, name: &str, seen: Seen, token: &str) -> Result<Swap, StoreError> {
    let Seen { mut page, revision } = seen;
    page.generation += 1;
    page.tokens.refresh = Some(Secret::new(token));
    store.swap(name, revision, &page).await
}

async fn load(store: &Store, name: &str) -> String {
    let page = store.load(name).await.expect("a page").page;
    page.tokens.refresh.map(|token| token.expose().to_owned()).unwrap_or_default()
}

#[track_caller]
fn done(swap: Result<Swap, StoreError>) {
    assert!(matches!(swap, Ok(Swap::Done(_))), "{swap:?}");
}

#[track_caller]
fn told<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    causes(&result.expect_err("it fails"))
}

#[tokio::test]
async fn p17_the_first_write_makes_the_secret_and_later_ones_change_one_page_of_it() {
    let pod = Pod::new().await;
    let store = pod.store();
    assert_eq!(load(&store, PAGE).await, "");
    done(save(&store, PAGE, "very-secret-1").await);
    let object = pod.cluster.secret(SECRET);
    assert_eq!(object["type"], "Opaque");
    assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "tokenward");
    let data = object["data"][PAGE].as_str().expect("a value");
    let tokens: Value =
        serde_json::from_slice(&STANDARD.decode(data).expect("base64")).expect("JSON");
    assert_eq!(tokens["refresh_token"], "very-secret-1");
    assert!(!object["metadata"].to_string().contains("secret-1"), "p26: only in data");
    assert!(object["metadata"]["annotations"][format!("tokenward.dev/{PAGE}")].is_string());

    done(save(&store, "other", "very-secret-2").await);
    done(save(&pod.store(), PAGE, "very-secret-3").await);
    assert_eq!(load(&store, PAGE).await, "very-secret-3");
    assert_eq!(load(&store, "other").await, "very-secret-2");
    assert_eq!((pod.cluster.count("create"), pod.cluster.count("patch")), (1, 2));
}

#[tokio::test]
async fn p17_what_others_keep_in_the_secret_stays_as_it_is() {
    let pod = Pod::new().await;
    let theirs = json!({
        "metadata": {
            "labels": { "app.kubernetes.io/managed-by": "Helm" },
            "annotations": { "example.com/note": "mine" },
        },
        "type": "example.com/own",
        "data": { "password": "aHVudGVyMg==" },
    });
    pod.cluster.put(SECRET, theirs.clone());
    let store = pod.store();
    assert_eq!(load(&store, PAGE).await, "");
    done(save(&store, PAGE, "r1").await);
    let object = pod.cluster.secret(SECRET);
    for part in
        ["/metadata/labels", "/metadata/annotations/example.com~1note", "/type", "/data/password"]
    {
        assert_eq!(object.pointer(part), theirs.pointer(part), "{part}");
    }
    assert_eq!(pod.cluster.count("create"), 0, "the right to create is not needed");
}

#[tokio::test]
async fn p17_of_two_who_have_seen_the_same_page_one_writes_it() {
    let pod = Pod::new().await;
    let (one, other) = (pod.store(), pod.store());
    // The first time both would create the Secret, and then both would patch it.
    for round in 1..=20 {
        let seen = (one.load(PAGE).await.expect("seen"), other.load(PAGE).await.expect("seen"));
        let (first, second) =
            tokio::join!(replace(&one, PAGE, seen.0, "one"), replace(&other, PAGE, seen.1, "two"));
        let winner = match (first.expect("an answer"), second.expect("an answer")) {
            (Swap::Done(_), Swap::Stale(seen)) => ("one", seen),
            (Swap::Stale(seen), Swap::Done(_)) => ("two", seen),
            both => panic!("round {round}: {both:?}"),
        };
        assert_eq!(load(&one, PAGE).await, winner.0);
        assert_eq!(winner.1.page.generation, round, "the loser is told what is there");
    }
}

#[tokio::test]
async fn p17_gateways_that_write_other_pages_are_waited_out_within_bounds() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "r1").await);
    pod.cluster.interfere(3);
    done(save(&store, PAGE, "r2").await);
    assert_eq!(pod.cluster.count("patch"), 4);

    pod.cluster.interfere(1000);
    let text = told(save(&store, PAGE, "r3").await);
    assert!(text.contains("others have changed the Secret tokenward-tokens"), "{text}");
    pod.cluster.interfere(0);
    assert_eq!(load(&store, PAGE).await, "r2");

    // Many at once, each with a page of its own.
    let stores: Vec<_> = (0..6).map(|_| pod.store()).collect();
    let saves = stores.iter().enumerate().map(|(number, store)| async move {
        let name = format!("page-{number}");
        for round in 0..5 {
            done(save(store, &name, &format!("{number}-{round}")).await);
        }
        assert_eq!(load(store, &name).await, format!("{number}-4"));
    });
    let mut saves: Vec<_> = saves.map(Box::pin).collect();
    let mut left = saves.len();
    std::future::poll_fn(|context| {
        saves.retain_mut(|save| save.as_mut().poll(context).is_pending());
        left = saves.len();
        if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn p17_a_secret_that_is_deleted_meanwhile_is_made_again() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "r1").await);
    let seen = store.load(PAGE).await.expect("seen");
    pod.cluster.put(SECRET, Value::Null);
    let swap = replace(&store, PAGE, seen, "r2").await.expect("an answer");
    assert!(matches!(&swap, Swap::Stale(seen) if seen.page.generation == 0), "{swap:?}");
    done(save(&store, PAGE, "r2").await);
    assert_eq!(load(&pod.store(), PAGE).await, "r2");
}

#[tokio::test]
async fn p17_a_replaced_service_account_token_is_taken_up() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "r1").await);
    pod.put("token", "service-account-token-2");
    pod.cluster.accept_tokens(&["service-account-token-2"]);
    assert_eq!(load(&store, PAGE).await, "r1");
    assert!(pod.cluster.calls().iter().all(|call| call.code != 401), "it is read every time");

    pod.cluster.fault(Fault::new(401));
    assert_eq!(load(&store, PAGE).await, "r1", "the kubelet was slower than the API: once more");
    let codes: Vec<_> = pod.cluster.calls().iter().rev().take(2).map(|call| call.code).collect();
    assert_eq!(codes, [200, 401]);

    pod.cluster.accept_tokens(&["service-account-token-3"]);
    let before = pod.cluster.calls().len();
    let text = told(store.load(PAGE).await);
    assert!(text.contains("/token") && text.contains("does not know who we are"), "{text}");
    assert!(!text.contains("service-account-token"), "{text}");
    assert_eq!(pod.cluster.calls().len() - before, 2, "and no more than once");
}

#[tokio::test]
async fn p17_a_missing_right_is_named_with_the_role_that_gives_it() {
    let pod = Pod::new().await;
    let store = pod.store();
    pod.cluster.allow(&["get", "patch", "watch"]);
    let text = told(save(&store, PAGE, "r1").await);
    for part in
        ["forbids to create", "namespace apps", "Role", "`create` on `secrets`", "cannot create"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    pod.cluster.allow(&["create"]);
    let text = told(store.load(PAGE).await);
    for part in ["forbids to get", "`get`, `patch` and `watch`", "resource name tokenward-tokens"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn p17_a_busy_server_is_asked_again_when_it_says_so_and_not_for_long() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "r1").await);
    for code in [429, 503] {
        pod.cluster.fault(Fault { retry_after: Some("1"), ..Fault::new(code) });
        assert_eq!(load(&store, PAGE).await, "r1");
    }
    for retry_after in [None, Some("60"), Some("Wed, 21 Oct 2026 07:28:00 GMT")] {
        let before = pod.cluster.calls().len();
        pod.cluster.fault(Fault { retry_after, ..Fault::new(503) });
        let text = told(store.load(PAGE).await);
        assert!(text.contains("503"), "{text}");
        assert_eq!(pod.cluster.calls().len() - before, 1);
    }
}

#[tokio::test]
async fn p15_a_write_whose_answer_was_lost_is_known_by_its_revision() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "r1").await);
    let lost = Fault { retry_after: Some("1"), carried_out: true, ..Fault::new(504).of("patch") };
    pod.cluster.fault(lost.clone());
    done(save(&store, PAGE, "r2").await);
    assert_eq!(load(&store, PAGE).await, "r2");

    pod.cluster.fault(Fault { retry_after: None, ..lost });
    let text = told(save(&store, PAGE, "r3").await);
    assert!(text.contains("504"), "{text}");
    assert_eq!(load(&store, PAGE).await, "r3", "it may have been written all the same");
}

#[tokio::test]
async fn p15_a_page_that_is_too_large_is_refused_and_the_one_before_it_stays() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "r1").await);
    let Seen { mut page, revision } = store.load(PAGE).await.expect("seen");
    page.tokens.refresh = Some(Secret::new("very-secret".repeat(100_000)));
    let text = told(store.swap(PAGE, revision, &page).await);
    assert!(text.contains("a Secret holds 1 MiB") && !text.contains("very-secret"), "{text}");

    let Seen { mut page, revision } = store.load(PAGE).await.expect("seen");
    let (outcome, detail) = (Outcome::Refused, "x".repeat(300_000));
    let until = std::time::SystemTime::UNIX_EPOCH;
    page.failure = Some(Failure { outcome, detail, until, times: 1, needs_a_person: false });
    let text = told(store.swap(PAGE, revision, &page).await);
    assert!(text.contains("256 KiB of annotations"), "{text}");
    assert_eq!(load(&store, PAGE).await, "r1");
}

#[tokio::test]
async fn p15_half_a_page_is_left_as_it_is() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "very-secret-1").await);
    let whole = pod.cluster.secret(SECRET);
    for part in ["/data", "/metadata/annotations"] {
        let mut half = whole.clone();
        *half.pointer_mut(part).expect("a part") = json!({});
        pod.cluster.put(SECRET, half);
        let before = pod.cluster.secret(SECRET);
        let text = told(store.load(PAGE).await);
        assert!(text.contains(PAGE) && text.contains("left as it is"), "{text}");
        assert!(!text.contains("very-secret"), "{text}");
        assert_eq!(pod.cluster.secret(SECRET), before);
    }
}

#[tokio::test]
async fn p26_a_server_that_quotes_what_it_was_sent_is_not_quoted() {
    let pod = Pod::new().await;
    let store = pod.store();
    done(save(&store, PAGE, "very-secret-1").await);
    let data = STANDARD.encode("{\"refresh_token\":\"very-secret-2\"}");
    let body = json!({ "kind": "Status", "code": 400, "reason": "BadRequest",
        "message": format!("error found in #10 byte of ...|{data}|..., very-secret-2") });
    pod.cluster.fault(Fault { body: body.to_string(), ..Fault::new(400).of("patch") });
    let error = save(&store, PAGE, "very-secret-2").await.expect_err("refused");
    let text = format!("{} {error:?}", causes(&error));
    assert!(text.contains("400") && text.contains("BadRequest"), "{text}");
    assert!(!text.contains("very-secret") && !text.contains(&data), "{text}");
}

#[tokio::test]
async fn p17_what_is_no_api_server_is_told_from_one() {
    let pod = Pod::new().await;
    let store = pod.store();
    let page = "<html>login</html>".to_owned();
    pod.cluster.fault(Fault { body: page.clone(), ..Fault::new(200) });
    assert!(told(store.load(PAGE).await).contains("is not the Kubernetes API"));
    pod.cluster.fault(Fault { body: "x".repeat(5 << 20), ..Fault::new(200) });
    assert!(told(store.load(PAGE).await).contains("more than a Secret can hold"));

    let other = Pod::new().await;
    std::fs::copy(other.folder().join("ca.crt"), pod.folder().join("ca.crt")).expect("copied");
    let text = told(pod.store().load(PAGE).await);
    assert!(text.contains("no TLS with it") && text.contains("store.tls.ca_file"), "{text}");

    pod.cluster.leave();
    let text = told(store.load(PAGE).await);
    assert!(text.contains("cannot be reached"), "{text}");
}

#[tokio::test]
async fn p17_a_silent_server_is_given_up_after_five_seconds() {
    let pod = Pod::new().await;
    let store = pod.store();
    pod.cluster.pause();
    let began = tokio::time::Instant::now();
    let text = told(store.load(PAGE).await);
    assert!(text.contains("no answer within 5s"), "{text}");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    pod.cluster.go_on();
    done(save(&store, PAGE, "r1").await);
}
