//! What every kind of store must do, as tests that each of them runs on itself.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::secret::Secret;

use super::{Backend, Revision, Written, Wrote};

/// All of it, on pages that nobody else uses.
pub(crate) async fn holds(store: &impl Backend) {
    a_page_that_was_never_written_is_none(store).await;
    what_was_written_is_read(store).await;
    what_is_no_longer_as_it_was_seen_is_not_replaced(store).await;
    neither_generation_nor_fence_ever_become_less(store).await;
    any_text_survives(store).await;
    it_behaves_as_a_map_does(store, STEPS).await;
    one_of_many_writers_wins(&[store, store, store]).await;
}

pub(crate) async fn a_page_that_was_never_written_is_none(store: &impl Backend) {
    assert!(store.read("never").await.expect("an answer").is_none());
    // Nor is one replaced that was seen, and is gone: whoever saw it is told.
    let wrote = store.write("never", Revision::fresh(), page(1, 1, "x")).await.expect("an answer");
    assert!(matches!(wrote, Wrote::Stale(None)), "{wrote:?}");
    assert!(store.read("never").await.expect("an answer").is_none());
}

pub(crate) async fn what_was_written_is_read(store: &impl Backend) {
    for (generation, name) in [(1, "mine"), (u64::MAX - 1, "large"), (3, "with: odd-name_1")] {
        let first = page(generation, 1, "first");
        put(store, name, Revision::default(), &first).await;
        assert_same(store.read(name).await.expect("an answer"), Some(&first));
        let second = page(generation + 1, 2, "second");
        put(store, name, first.revision, &second).await;
        assert_same(store.read(name).await.expect("an answer"), Some(&second));
    }
    // The others are as they were.
    assert_eq!(store.read("mine").await.expect("an answer").expect("a page").generation, 2);
}

pub(crate) async fn what_is_no_longer_as_it_was_seen_is_not_replaced(store: &impl Backend) {
    let (first, second) = (page(1, 1, "first"), page(1, 1, "second"));
    put(store, "stale", Revision::default(), &first).await;
    put(store, "stale", first.revision, &second).await;
    for seen in [Revision::default(), first.revision, Revision::fresh()] {
        let wrote = store.write("stale", seen, page(9, 9, "late")).await.expect("an answer");
        let Wrote::Stale(stored) = wrote else { panic!("{wrote:?}") };
        assert_same(stored, Some(&second));
    }
    assert_same(store.read("stale").await.expect("an answer"), Some(&second));
}

pub(crate) async fn neither_generation_nor_fence_ever_become_less(store: &impl Backend) {
    // 10 is less than 9 as a text, and the last two are the same as floating numbers.
    for (name, stored) in [("grows", 10), ("grows-far", (1 << 53) + 1)] {
        let newest = page(stored, stored, "newest");
        put(store, name, Revision::default(), &newest).await;
        for (generation, fence) in [(stored - 1, stored), (stored, stored - 1), (9, 9), (0, 0)] {
            let late = page(generation, fence, "late");
            let wrote = store.write(name, newest.revision, late).await.expect("an answer");
            let Wrote::Stale(there) = wrote else { panic!("{generation}, {fence}: {wrote:?}") };
            assert_same(there, Some(&newest));
        }
        put(store, name, newest.revision, &page(stored, stored, "the same numbers")).await;
    }
}

pub(crate) async fn any_text_survives(store: &impl Backend) {
    let mut runner = TestRunner::deterministic();
    let mut texts: Vec<String> = (0..TEXTS).map(|_| sample(&mut runner, any::<String>())).collect();
    texts.push("{\"a\": [1, \"\u{0}\r\n\u{10ffff}\"]} %s ${x} ' \\ \u{feff}".to_owned());
    texts.push("x".repeat(100_000));
    let mut seen = Revision::default();
    for text in texts {
        let next = page(1, 1, &text);
        put(store, "texts", seen, &next).await;
        assert_same(store.read("texts").await.expect("an answer"), Some(&next));
        seen = next.revision;
    }
}

/// Random writes to a few pages end as they do in a map.
pub(crate) async fn it_behaves_as_a_map_does(store: &impl Backend, steps: usize) {
    let mut runner = TestRunner::deterministic();
    let mut map: BTreeMap<&str, Written> = BTreeMap::new();
    let step = (0..3_usize, 0..4_u8, 0..4_u64, 0..4_u64, any::<String>());
    for _ in 0..steps {
        let (name, seen, generation, fence, text) = sample(&mut runner, step.clone());
        let name = ["page-a", "page-b", "page"][name];
        let stored = map.get(name);
        let revision = stored.map_or(Revision::default(), |stored| stored.revision);
        let seen = if seen == 0 { Revision::fresh() } else { revision };
        // Mostly a little more, and now and then less.
        let (generation, fence) = stored.map_or((generation, fence), |stored| {
            ((stored.generation + generation).saturating_sub(1), (stored.fence + fence) - fence / 3)
        });
        let next = page(generation, fence, &text);
        let wrote = store.write(name, seen, next.clone()).await.expect("an answer");
        match (wrote, next.may_replace(stored, seen)) {
            (Wrote::Done, true) => {
                map.insert(name, next);
            }
            (Wrote::Stale(there), false) => assert_same(there, stored),
            (wrote, _) => panic!("{wrote:?} for {next:?} over {stored:?}"),
        }
        assert_same(store.read(name).await.expect("an answer"), map.get(name));
    }
}

/// Of writers who have seen the same page, exactly one replaces it; each may have a store of its
/// own that leads to the same place.
pub(crate) async fn one_of_many_writers_wins<B: Backend>(stores: &[&B]) {
    let mut seen = Revision::default();
    for round in 0..ROUNDS {
        let nexts: Vec<_> = stores.iter().map(|_| page(round, round, "mine")).collect();
        let mut writes: Vec<_> = stores
            .iter()
            .zip(&nexts)
            .map(|(store, next)| Box::pin(store.write("contested", seen, next.clone())))
            .collect();
        let mut outcomes: Vec<Option<Wrote>> = writes.iter().map(|_| None).collect();
        // All are under way before any of them is awaited.
        std::future::poll_fn(|context| {
            for (write, outcome) in writes.iter_mut().zip(&mut outcomes) {
                if outcome.is_none()
                    && let std::task::Poll::Ready(wrote) = write.as_mut().poll(context)
                {
                    *outcome = Some(wrote.expect("an answer"));
                }
            }
            match outcomes.iter().all(Option::is_some) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
        let won = |outcome: &Option<Wrote>| matches!(outcome, Some(Wrote::Done));
        let winners: Vec<_> = nexts.iter().zip(&outcomes).filter(|(_, out)| won(out)).collect();
        let [(winner, _)] = winners[..] else { panic!("round {round}: {outcomes:?}") };
        assert_same(stores[0].read("contested").await.expect("an answer"), Some(winner));
        seen = winner.revision;
    }
}

/// A page whose two texts hold this one.
pub(crate) fn page(generation: u64, fence: u64, text: &str) -> Written {
    let json = serde_json::to_string(text).expect("a text is JSON");
    Written {
        revision: Revision::fresh(),
        generation,
        fence,
        open: format!("{{\"open\":{json}}}"),
        tokens: Secret::new(json),
        keep_until: None,
    }
}

async fn put(store: &impl Backend, name: &str, seen: Revision, next: &Written) {
    let wrote = store.write(name, seen, next.clone()).await.expect("an answer");
    assert!(matches!(wrote, Wrote::Done), "{name}: {wrote:?}");
}

#[track_caller]
fn assert_same(found: Option<Written>, expected: Option<&Written>) {
    let parts = |page: &Written| {
        let tokens = page.tokens.expose().to_owned();
        (page.revision, page.generation, page.fence, page.open.clone(), tokens)
    };
    assert_eq!(found.as_ref().map(parts), expected.map(parts));
}

fn sample<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).expect("a value").current()
}

const TEXTS: usize = 50;
const STEPS: usize = 300;
const ROUNDS: u64 = 20;
