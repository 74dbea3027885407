//! What others change in the Secret is told at once, whatever becomes of the watch (p17).

use tokenward::secret::Secret;
use tokenward::token::store::{Pages, Seen, Store, Swap};

use crate::support::kubernetes::{Cluster, Fault, SECRET};
use crate::support::pod::Pod;
use crate::support::{logs, soon, until};

const PAGE: &str = "aiclk-0123456789abcdef";

async fn save(store: &Store, name: &str, refresh_token: &str) {
    let Seen { mut page, revision } = store.load(name).await.expect("a page");
    page.generation += 1;
    page.tokens.refresh = Some(Secret::new(refresh_token));
    let swap = store.swap(name, revision, &page).await.expect("an answer");
    assert!(matches!(swap, Swap::Done(_)), "{swap:?}");
}

/// Waits for the change that the watch's own beginning tells, so that later ones stand out.
async fn watching(pod: &Pod) -> (Store, Store) {
    let (reader, writer) = (pod.store(), pod.store());
    save(&writer, PAGE, "r0").await;
    soon("the beginning", reader.changed(PAGE)).await;
    (reader, writer)
}

/// Somebody changes the page while it is waited for; the next look by the clock is far away.
async fn told_of_a_change(reader: &Store, writer: &Store, token: &str) {
    let ((), ()) = tokio::join!(soon("a change", reader.changed(PAGE)), save(writer, PAGE, token));
    let page = reader.load(PAGE).await.expect("a page").page;
    assert_eq!(page.tokens.refresh.expect("a token").expose(), token);
}

/// The targets of all watches so far.
fn watches(cluster: &Cluster) -> Vec<String> {
    let calls = cluster.calls().into_iter().filter(|call| call.verb == "watch");
    calls.map(|call| call.target).collect()
}

async fn another_watch(cluster: &Cluster, act: impl FnOnce()) -> String {
    let before = watches(cluster).len();
    act();
    until("another watch", || watches(cluster).len() > before).await;
    watches(cluster).pop().expect("a watch")
}

#[tokio::test]
async fn p17_a_change_is_told_at_once_and_own_writes_are_not() {
    let pod = Pod::new().await;
    let (reader, writer) = watching(&pod).await;
    for round in 0..10 {
        told_of_a_change(&reader, &writer, &format!("r{round}")).await;
    }
    // One that comes while nobody waits is kept for whoever waits next.
    save(&writer, PAGE, "in between").await;
    soon("it is kept", reader.changed(PAGE)).await;

    // What the reader writes itself wakes it not; another's page is seen after that.
    save(&reader, PAGE, "own").await;
    let ((), ()) =
        tokio::join!(soon("it is seen", reader.changed("other")), save(&writer, "other", "r"));
    let waiting = reader.changed(PAGE);
    tokio::pin!(waiting);
    assert!(!is_over(waiting.as_mut()).await, "an own write, or another page, woke the reader");
    save(&writer, PAGE, "last").await;
    soon("another's", waiting).await;

    let target = &watches(&pod.cluster)[0];
    assert!(target.contains("fieldSelector=metadata.name%3Dtokenward-tokens"), "{target}");
    assert!(target.contains("allowWatchBookmarks=true") && !target.contains("resourceVersion"));
    assert_eq!(pod.cluster.count("list"), 0, "the right to list is not needed");
}

/// Whether a future is over already.
async fn is_over(future: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = future => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test]
async fn p17_a_watch_that_ends_goes_on_where_it_was() {
    let pod = Pod::new().await;
    let (reader, writer) = watching(&pod).await;
    let version = pod.cluster.secret(SECRET)["metadata"]["resourceVersion"].clone();
    let version = version.as_str().expect("a version");
    let cluster = &pod.cluster;
    let target = another_watch(cluster, || cluster.end_watches()).await;
    assert!(target.ends_with(&format!("resourceVersion={version}")), "{target}");
    // What happened between the two is told by the second.
    cluster.end_watches();
    told_of_a_change(&reader, &writer, "between").await;
}

#[tokio::test]
async fn p17_a_bookmark_carries_the_watch_over_what_concerned_others() {
    let pod = Pod::new().await;
    let (reader, writer) = watching(&pod).await;
    let version = pod.cluster.secret(SECRET)["metadata"]["resourceVersion"].clone();
    let cluster = &pod.cluster;
    // A watch may end before it has told.
    soon("a watch from a later version", async {
        loop {
            cluster.bookmark();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let target = another_watch(cluster, || cluster.end_watches()).await;
            let after = target.rsplit_once("resourceVersion=").expect("a version").1.to_owned();
            if after != version {
                return;
            }
        }
    })
    .await;
    told_of_a_change(&reader, &writer, "later").await;
}

#[tokio::test]
async fn p17_a_version_that_is_forgotten_begins_the_watch_anew() {
    for as_event in [true, false] {
        let pod = Pod::new().await;
        let (reader, writer) = watching(&pod).await;
        let cluster = &pod.cluster;
        another_watch(cluster, || cluster.compact(as_event)).await;
        told_of_a_change(&reader, &writer, "after all").await;
        let begun = watches(cluster);
        assert!(begun.len() >= 3, "{begun:?}");
        assert!(
            begun.iter().skip(1).any(|target| !target.contains("resourceVersion")),
            "{begun:?}"
        );
    }
}

#[tokio::test]
async fn p17_a_secret_that_goes_and_comes_is_told() {
    let pod = Pod::new().await;
    let (reader, writer) = watching(&pod).await;
    let whole = pod.cluster.secret(SECRET);
    pod.cluster.put(SECRET, serde_json::Value::Null);
    soon("it is gone", reader.changed(PAGE)).await;
    assert_eq!(reader.load(PAGE).await.expect("no page").page.generation, 0);
    pod.cluster.put(SECRET, whole);
    soon("it is back", reader.changed(PAGE)).await;
    told_of_a_change(&reader, &writer, "and goes on").await;

    // A watch may begin before there is a Secret.
    let pod = Pod::new().await;
    let (reader, writer) = (pod.store(), pod.store());
    told_of_a_change(&reader, &writer, "first").await;
}

#[tokio::test]
async fn p17_a_server_that_goes_and_comes_is_watched_again() {
    logs::capture();
    let pod = Pod::new().await;
    let (reader, writer) = watching(&pod).await;
    pod.cluster.leave();
    let lost = format!(
        "the Secret is not watched; what others change is found by reading it \
                        server={}",
        pod.cluster.url()
    );
    until("it is told", || logs::captured().contains(&lost)).await;
    pod.cluster.come_back().await;
    told_of_a_change(&reader, &writer, "back").await;
    let again = format!("the Secret is watched again server={}", pod.cluster.url());
    until("that, too", || logs::captured().contains(&again)).await;
    assert_eq!(logs::captured().matches(&lost).count(), 1, "once for each change of state");
}

#[tokio::test]
async fn p17_a_watch_of_nonsense_is_given_up_and_tried_again() {
    for body in [
        "x".repeat(5 << 20),
        "{\"type\":\"MODIFIED\"}\n".to_owned(),
        "{\"type\":\"ADDED\",\"object\":{}}\n".to_owned(),
        "{\"type\":\"LATER\",\"object\":{}}\n".to_owned(),
        "{\"type\":\"ERROR\",\"object\":{\"code\":500}}\n".to_owned(),
        "\n".to_owned(),
    ] {
        let pod = Pod::new().await;
        pod.cluster.fault(Fault { body, ..Fault::new(200).of("watch") });
        pod.cluster.fault(Fault::new(403).of("watch"));
        let (reader, writer) = watching(&pod).await;
        told_of_a_change(&reader, &writer, "after all").await;
        assert_eq!(watches(&pod.cluster).len(), 3);
    }
}

#[tokio::test]
async fn p17_without_the_right_to_watch_pages_are_still_read() {
    logs::capture();
    let pod = Pod::new().await;
    pod.cluster.allow(&["get", "create", "patch"]);
    let (reader, writer) = (pod.store(), pod.store());
    let told = tokio::spawn(async move {
        reader.changed(PAGE).await;
        reader
    });
    save(&writer, PAGE, "r1").await;
    let text = "forbids to watch the Secret tokenward-tokens";
    until("it is told what is missing", || logs::captured().contains(text)).await;
    assert!(!told.is_finished());
    told.abort();
    let reader = pod.store();
    let page = reader.load(PAGE).await.expect("a page").page;
    assert_eq!(page.tokens.refresh.expect("a token").expose(), "r1");
    assert_eq!(reader.poll().as_secs(), 30, "the next look by the clock is not far");
}
