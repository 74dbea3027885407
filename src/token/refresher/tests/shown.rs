//! What operators are shown of a token, its page and its store.

use tokio::time::sleep;

use super::super::super::page::Lease;
use super::super::super::store::file::FileStore;
use super::*;
use crate::telemetry::kept::Lines;

fn leased(page: Page) -> Page {
    let (holder, fence) = ("other/vendor".to_owned(), page.fence + 1);
    Page { fence, lease: Some(Lease { holder, fence, beat: 0 }), ..page }
}

#[tokio::test(start_paused = true)]
async fn p31_the_wait_for_anothers_lease_is_a_gauge() {
    let fixture = start(Script::new(HOUR), Some(leased(page(3, "r3", Duration::ZERO)))).await;
    let waited = || fixture.metrics.token_of("vendor").lock_wait.get();
    sleep(3 * SECOND).await;
    put(&fixture.store, &Page { lease: None, ..page(4, "r4", HOUR) }).await;
    let live = fixture.tokens.current().await.expect("the other's token");
    assert_eq!((live.generation, fixture.script.calls()), (4, 0));
    assert!((2.9..4.1).contains(&waited()), "{}", waited());
    fixture.tokens.refresh_now().await.expect("a token of its own");
    assert_eq!(waited(), 0.0, "nobody had the lease");
}

#[tokio::test(start_paused = true)]
async fn p17_what_the_page_says_is_shown() {
    let at = clock::whole_millis(clock::wall());
    let presented = Secret::new("another").fingerprint();
    let stored = leased(page(3, "r3", HOUR));
    let intent = Some(Intent { presented, fence: stored.fence, at, doubt: None });
    let fixture = start(Script::new(HOUR), Some(Page { intent, early_deaths: 2, ..stored })).await;
    fixture.tokens.current().await.expect("the stored token");
    let account = fixture.tokens.status().account;
    assert_eq!(account.page, "account");
    assert_eq!(account.lease.as_deref(), Some("other/vendor"));
    assert_eq!((account.answer_missing_since, account.early_deaths), (Some(at), 2));
    assert!(account.plea.is_none() && !account.seeded_by_hand);

    let script = Script::new(HOUR).then(Err(Denied::Refused("spent".into())));
    let fixture = start(script, Some(page(3, "r3", Duration::ZERO))).await;
    fixture.tokens.current().await.expect_err("refused");
    let plea = fixture.tokens.status().account.plea.expect("a plea");
    assert!(plea.contains("tokenward seed vendor"), "{plea}");
}

#[tokio::test(start_paused = true)]
async fn p17_a_store_that_is_away_is_not_told_of_at_every_try() {
    let lines = Lines::default();
    let _log = tracing::subscriber::set_default(lines.log());
    let folder = tempfile::tempdir().expect("a folder");
    let (here, away) = (folder.path().join("here"), folder.path().join("away"));
    std::fs::create_dir(&here).expect("a folder");
    let store: Store = FileStore::open(here.join("tokens.json")).expect("a store").into();
    let store = Arc::new(store);
    put(&store, &page(3, "r3", Duration::ZERO)).await;
    std::fs::rename(&here, &away).expect("renamed");
    let fixture = start_on(store, Script::new(HOUR), 0).await;
    sleep(HOUR).await;
    assert_eq!(fixture.script.calls(), 0, "nothing is presented without its note");
    std::fs::rename(&away, &here).expect("renamed");
    while fixture.tokens.current().await.is_err() {
        sleep(SECOND).await;
    }
    let told = lines.all();
    let about = |text: &str| told.iter().filter(|line| line.contains(text)).count();
    assert_eq!(about("the token store fails"), 1, "{told:#?}");
    assert_eq!(about("the token store is back"), 1, "{told:#?}");
    assert_eq!(about("token not renewed"), 1, "{told:#?}");
    assert_eq!(about("WARN"), 2, "{told:#?}");
}
