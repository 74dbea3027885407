//! Tokens that die young: who counts them, and what is said.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

impl Fixture {
    /// The metrics' line that begins so.
    pub(super) fn metric(&self, start: &str) -> Option<String> {
        let text = String::from_utf8(self.metrics.encode().expect("metrics")).expect("text");
        text.lines().find_map(|line| Some(line.strip_prefix(start)?.trim().to_owned()))
    }
}

/// A caller whose token has worked for this long, and is then called dead.
async fn token_dies_after(fixture: &Fixture, age: Duration) {
    let live = fixture.tokens.current().await.expect("a token");
    live.note_worked();
    tokio::time::sleep(age).await;
    fixture.tokens.newer_than(live.generation).await.expect("a newer token");
}

fn warnings(fixture: &Fixture) -> Vec<String> {
    fixture.tokens.status().warnings
}

fn counted(fixture: &Fixture) -> Option<String> {
    fixture.metric("tokenward_token_early_deaths_total{upstream=\"vendor\"}")
}

#[tokio::test(start_paused = true)]
async fn p19_three_early_deaths_in_a_row_are_said_in_words() {
    let fixture = start(Script::new(2 * HOUR), None).await;
    for age in [4, 6] {
        token_dies_after(&fixture, age * MINUTE).await;
        assert_eq!(warnings(&fixture), [""; 0], "a vendor that restarts may end all tokens");
    }
    token_dies_after(&fixture, 5 * MINUTE).await;
    let told = "the last 3 tokens died after 4m, 6m and 5m of a promised 2h: another system \
                probably uses the same app id";
    assert!(warnings(&fixture)[0].starts_with(told), "{:?}", warnings(&fixture));
    assert_eq!(counted(&fixture).as_deref(), Some("3"));

    // A restart does not forget.
    fixture.stop.cancel();
    fixture.task.await.expect("no panic");
    let fixture = start_on(fixture.store, Script::new(2 * HOUR), 0).await;
    fixture.tokens.current().await.expect("the stored token");
    assert!(warnings(&fixture)[0].starts_with(told));
    assert_eq!(counted(&fixture).as_deref(), Some("0"), "it counted none itself");

    // One that lived its time ends the row.
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(warnings(&fixture), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn p19_replicas_count_a_death_once_together() {
    let store = Arc::new(Store::from(MemoryStore::default()));
    let script = Script::new(2 * HOUR);
    let replicas: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|holder| {
            let config = Config { holder: holder.into(), ..config() };
            start_as(config, store.clone(), script.clone())
        })
        .collect();
    for _ in 0..4 {
        for replica in &replicas {
            replica.tokens.current().await.expect("a token").note_worked();
        }
        tokio::time::sleep(10 * MINUTE).await;
        let dead = replicas[0].tokens.current().await.expect("a token").generation;
        let newer = replicas.iter().map(|replica| replica.tokens.newer_than(dead));
        for newer in newer.collect::<Vec<_>>() {
            newer.await.expect("a newer token");
        }
    }
    tokio::time::sleep(10 * MINUTE).await;
    let sum: u32 = replicas
        .iter()
        .map(|one| counted(one).expect("a number").parse::<u32>().expect("a number"))
        .sum();
    assert_eq!((sum, script.calls()), (4, 5));
    for replica in &replicas {
        assert!(warnings(replica)[0].contains("(4 in a row)"), "{:?}", warnings(replica));
    }
}

#[tokio::test(start_paused = true)]
async fn p19_what_we_have_ended_ourselves_is_no_early_death() {
    let script = Script::new(2 * HOUR);
    script.state().can_mint = true;
    let fixture = start(script, None).await;
    for _ in 0..4 {
        let live = fixture.tokens.current().await.expect("a token");
        live.note_worked();
        tokio::time::sleep(MINUTE).await;
        fixture.tokens.refresh_now().await.expect("by hand");
        // Requests that were under way are rejected: their token is known to be replaced.
        fixture.tokens.newer_than(live.generation).await.expect("the newer token");
    }
    // A mint that ends the token of before, since its refresh token was refused.
    fixture.script.state().answers.push_back(Err(Denied::Refused("spent".into())));
    let live = fixture.tokens.current().await.expect("a token");
    fixture.tokens.refresh_now().await.expect("minted");
    fixture.tokens.newer_than(live.generation).await.expect("the newer token");
    assert_eq!(counted(&fixture).as_deref(), Some("0"));
    assert_eq!(warnings(&fixture), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn p19_a_vendor_that_calls_everything_dead_is_not_another_system() {
    let fixture = start(Script::new(2 * HOUR), None).await;
    for _ in 0..5 {
        let live = fixture.tokens.current().await.expect("a token");
        tokio::time::sleep(SECOND).await;
        fixture.tokens.newer_than(live.generation).await.expect("a newer token");
    }
    assert!(
        warnings(&fixture)[0].contains("none of them was ever seen to work"),
        "{:?}",
        warnings(&fixture)
    );
}

#[tokio::test(start_paused = true)]
async fn p19_a_token_that_is_rejected_near_its_end_has_lived_its_time() {
    let fixture = start(Script::new(2 * HOUR), None).await;
    for _ in 0..3 {
        token_dies_after(&fixture, MINUTE).await;
    }
    assert_eq!(warnings(&fixture).len(), 1);
    token_dies_after(&fixture, 2 * HOUR - 6 * MINUTE).await;
    assert_eq!(warnings(&fixture), [""; 0]);
    // The same token again has not died.
    for _ in 0..3 {
        let stored = fixture.stored().await.tokens.access.expect("a token");
        let same = grant(stored.expose(), None, HOUR);
        fixture.script.state().answers.push_back(Ok(same));
        tokio::time::sleep(MINUTE).await;
        let live = fixture.tokens.current().await.expect("a token");
        let _ = fixture.tokens.newer_than(live.generation).await;
    }
    assert_eq!(counted(&fixture).as_deref(), Some("3"));
}
