use tokio::time::advance;
use tracing::subscriber::with_default;

use super::super::Revision;
use super::*;
use crate::secret::Secret;
use crate::telemetry::kept::Lines;

fn health() -> Health {
    Health::new("file", StoreMetrics::default())
}

fn failed() -> StoreError {
    let source = std::io::Error::other("no space");
    StoreError::Io { path: "tokens.json".into(), doing: "writing", source }
}

fn page() -> Written {
    let (revision, tokens) = (Revision::fresh(), Secret::new("{}"));
    Written { revision, generation: 0, fence: 0, open: "{}".to_owned(), tokens, keep_until: None }
}

/// Runs with a log of its own. The runtime has one thread, so it is this test's alone.
fn logged(act: impl AsyncFnOnce(&Health)) -> Vec<String> {
    let lines = Lines::default();
    with_default(lines.log(), || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async { act(&health()).await });
    });
    lines.all()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn p17_each_change_of_state_is_one_line() {
    let lines = logged(async |health| {
        health.read(&Ok(None));
        for _ in 0..100 {
            health.read(&Err(failed()));
            advance(SECOND).await;
        }
        let condition = health.condition();
        assert!(!condition.up && condition.detail.is_some_and(|it| it.contains("no space")));
        for _ in 0..100 {
            health.read(&Ok(None));
            health.wrote(&Ok(Wrote::Done));
        }
        assert!(health.condition().up && health.condition().detail.is_none());
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("tokens.json: writing failed: no space")
    );
    assert!(lines[1].contains("INFO") && lines[1].contains("away=1m 40s"), "{}", lines[1]);
}

#[test]
fn p17_a_store_that_flaps_does_not_flood_the_log() {
    let lines = logged(async |health| {
        for _ in 0..1000 {
            health.read(&Err(failed()));
            advance(SECOND).await;
            health.read(&Ok(None));
            assert!(health.condition().up, "the gauge and the page follow at once");
            advance(SECOND).await;
        }
        advance(FLAPPING).await;
        health.read(&Ok(None));
    });
    assert_eq!(lines.len(), 4, "down, back, down again, and back at last: {lines:#?}");
    assert!(lines[3].contains("outages=999"), "{}", lines[3]);
}

#[test]
fn p17_a_store_that_can_only_be_read_is_down_until_a_write_succeeds() {
    let lines = logged(async |health| {
        health.wrote(&Err(failed()));
        health.read(&Ok(Some(page())));
        health.wrote(&Ok(Wrote::Stale(None)));
        assert!(!health.condition().up);
        assert!(!health.wants_a_write(), "others may be about to");
        advance(BETWEEN_TRIES).await;
        assert!(health.wants_a_write());
        assert!(!health.wants_a_write(), "once at a time");
        health.wrote(&Ok(Wrote::Done));
        assert!(health.condition().up);
        assert!(!health.wants_a_write());
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn p26_a_page_that_cannot_be_opened_is_told_once_and_is_no_outage() {
    let lines = logged(async |health| {
        let closed = Unreadable::Json { part: "tokens", line: 1, column: 2 };
        for _ in 0..10 {
            health.read(&Ok(Some(page())));
            health.opened("ads-1", Err(&closed));
        }
        let condition = health.condition();
        assert!(condition.up && condition.detail.is_some_and(|it| it.starts_with("page ads-1: ")));
        health.opened("ads-1", Ok(()));
        health.opened("ads-2", Ok(()));
        assert!(health.condition().detail.is_none());
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("ERROR") && lines[1].contains("can be read again"), "{lines:#?}");
}
