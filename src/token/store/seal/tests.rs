use proptest::prelude::*;

use super::super::memory::MemoryStore;
use super::super::{Backend, Pages, Revision, Seen, Store, StoreError, Swap};
use super::*;
use crate::token::page::Page;

fn key(number: u8) -> Key {
    let hex: String = (0..32).map(|byte| format!("{:02x}", byte ^ number)).collect();
    Key::parse(&Secret::new(hex)).expect("a key")
}

fn vault(numbers: &[u8]) -> Vault {
    let keys: Vec<_> = numbers.iter().map(|number| key(*number)).collect();
    Vault::new(&keys)
}

fn page(generation: u64, tokens: &str) -> Written {
    let (revision, tokens) = (Revision::fresh(), Secret::new(tokens));
    Written { revision, generation, fence: 3, open: "{}".to_owned(), tokens, keep_until: None }
}

fn with_refresh_token(token: &str) -> Page {
    let mut page = Page { generation: 4, ..Page::default() };
    page.tokens.refresh = Some(Secret::new(token));
    page
}

/// A memory store through other eyes: the tokens as they are stored.
async fn stored(store: &Store, name: &str) -> String {
    let written = store.backend.read(name).await.expect("read").expect("a page");
    written.tokens.expose().to_owned()
}

/// The same pages behind a store with other keys.
async fn reopened(store: &Store, name: &str, keys: &[u8]) -> Store {
    let written = store.backend.read(name).await.expect("read").expect("a page");
    let memory = MemoryStore::default();
    memory.write(name, Revision::default(), written).await.expect("a new page");
    Store::from(memory).sealed(vault(keys))
}

async fn save(store: &Store, name: &str, page: &Page) -> Swap {
    let Seen { revision, .. } = store.load(name).await.expect("read");
    store.swap(name, revision, page).await.expect("written")
}

#[test]
fn p26_a_key_is_32_bytes_in_hex_or_base64() {
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let ids: Vec<_> = [hex, base64, &base64[..43], &format!(" {hex}\n")]
        .into_iter()
        .map(|text| Key::parse(&Secret::new(text)).expect("a key").id())
        .collect();
    // printf 000102…1d1e1f | sha256sum | cut -c1-16
    assert!(ids.iter().all(|id| id.to_string() == "6c86c6aac5fb24bc"), "{ids:?}");
    for (text, error) in [
        ("", NotAKey::Length),
        ("correct horse battery staple", NotAKey::Length),
        (&hex[1..], NotAKey::Length),
        (&hex.replace('a', "g"), NotAKey::Length),
        (&base64[4..], NotAKey::Length),
        (&"0".repeat(64), NotAKey::Placeholder),
        (&"ab".repeat(32), NotAKey::Placeholder),
    ] {
        assert_eq!(Key::parse(&Secret::new(text)).expect_err(text), error);
    }
    let shown = format!("{:?} {:?}", key(1), vault(&[1, 2]));
    assert!(!shown.contains("0100") && !shown.contains("[1,"), "{shown}");
}

#[tokio::test]
async fn p26_a_store_with_a_key_keeps_no_token_in_plain() {
    let store = Store::from(MemoryStore::default()).sealed(vault(&[1]));
    let page = with_refresh_token("very-secret");
    let swap = save(&store, "one", &page).await;
    assert!(matches!(swap, Swap::Done(_)), "{swap:?}");
    let text = stored(&store, "one").await;
    assert!(text.starts_with(&format!("\"sealed:1:{}:", key(1).id())), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(store.load("one").await.expect("opened").page, page);
}

#[tokio::test]
async fn p26_keys_are_rotated_by_a_list_and_the_old_one_can_go() {
    let page = with_refresh_token("r1");
    let first = Store::from(MemoryStore::default()).sealed(vault(&[1]));
    save(&first, "one", &page).await;

    let both = reopened(&first, "one", &[2, 1]).await;
    let seen = both.load("one").await.expect("opened");
    assert_eq!(seen.page, page);
    assert!(
        stored(&both, "one").await.contains(&key(2).id().to_string()),
        "sealed anew by reading"
    );
    let swap = both.swap("one", seen.revision, &page).await.expect("written");
    assert!(
        matches!(swap, Swap::Done(_)),
        "the revision is that of the page sealed anew: {swap:?}"
    );

    let new = reopened(&both, "one", &[2]).await;
    assert_eq!(new.load("one").await.expect("opened").page, page);
}

/// While a fleet changes from one order to the other, neither half undoes the other's work for ever.
#[tokio::test]
async fn p26_a_page_is_sealed_anew_once_by_each_process() {
    let first = Store::from(MemoryStore::default()).sealed(vault(&[1]));
    save(&first, "one", &with_refresh_token("r1")).await;
    let both = reopened(&first, "one", &[2, 1]).await;
    both.load("one").await.expect("opened");
    let Seen { revision, .. } = both.load("one").await.expect("opened");
    let sealed_by_other = first.backend.read("one").await.expect("read").expect("a page");
    both.backend.write("one", revision, sealed_by_other).await.expect("written");
    let before = stored(&both, "one").await;
    both.load("one").await.expect("opened");
    assert_eq!(stored(&both, "one").await, before, "a reader has sealed it once more");
}

#[tokio::test]
async fn p26_plain_tokens_are_accepted_and_sealed() {
    let page = with_refresh_token("very-secret");
    let plain = Store::from(MemoryStore::default());
    save(&plain, "one", &page).await;
    assert!(stored(&plain, "one").await.contains("very-secret"));
    let sealing = reopened(&plain, "one", &[1]).await;
    assert_eq!(sealing.load("one").await.expect("opened").page, page);
    assert!(!stored(&sealing, "one").await.contains("very-secret"));
}

#[tokio::test]
async fn p26_what_cannot_be_opened_is_told_and_never_overwritten() {
    let store = Store::from(MemoryStore::default()).sealed(vault(&[1]));
    save(&store, "one", &with_refresh_token("very-secret")).await;
    let wanted = key(1).id().to_string();
    for (keys, needed) in [(&[][..], "set `store.encryption_key`"), (&[2, 3], "add the wanted key")]
    {
        let other = reopened(&store, "one", keys).await;
        let before = stored(&other, "one").await;
        let error = other.load("one").await.expect_err("sealed");
        assert!(matches!(&error, StoreError::Unreadable { page, .. } if page == "one"));
        let told = crate::causes::causes(&error);
        assert!(told.contains(&wanted) && told.contains(needed), "{told}");
        // Nobody knows its revision, and the only one that can be guessed is that of no page.
        let next = with_refresh_token("another");
        other.swap("one", Revision::default(), &next).await.expect_err("it is not replaced");
        assert_eq!(stored(&other, "one").await, before);
        let condition = other.condition();
        assert!(condition.up && condition.detail.is_some_and(|it| it.contains(&wanted)));
    }
}

#[test]
fn p26_what_was_altered_is_told_apart_from_what_is_of_another_key() {
    let sealed = vault(&[1]).seal("one", page(4, "{}")).expect("sealed");
    let with = key(1).id();
    let moved = vault(&[1]).open("two", sealed.clone()).expect_err("another page");
    assert_eq!(moved, Sealed::Broken { with });
    let moved = Written { generation: 5, ..sealed.clone() };
    assert_eq!(vault(&[1]).open("one", moved).expect_err("later"), Sealed::Broken { with });
    let text = sealed.tokens.expose().replace("sealed:1", "sealed:2");
    let later = Written { tokens: Secret::new(text), ..sealed };
    assert_eq!(vault(&[1]).open("one", later).expect_err("a later form"), Sealed::Unknown);
}

proptest! {
    #[test]
    fn p26_what_was_sealed_opens_in_its_place(
        name in ".{0,40}", generation: u64, tokens in r#"\{[^"]*\}"#, number in 0_u8..4,
    ) {
        let sealed = vault(&[number]).seal(&name, page(generation, &tokens)).expect("sealed");
        let (opened, sealing) = vault(&[3, 2, 1, 0]).open(&name, sealed).expect("opened");
        prop_assert_eq!(opened.tokens.expose(), tokens);
        prop_assert_eq!(sealing == Sealing::Current, number == 3);
    }

    #[test]
    fn p26_a_byte_that_was_changed_is_noticed(at: prop::sample::Index, other in 0x20_u8..0x7f) {
        let sealed = vault(&[1]).seal("one", page(4, "{\"refresh_token\":\"r\"}")).expect("sealed");
        let mut bytes = sealed.tokens.expose().as_bytes().to_vec();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != other);
        bytes[at] = other;
        let tokens = Secret::new(String::from_utf8(bytes).expect("ASCII"));
        let opened = vault(&[1]).open("one", Written { tokens, ..sealed });
        // Without its first quote it is taken for plain tokens, which it is not.
        let opened = opened.map(|(page, _)| page.page().map(|_| ()));
        prop_assert!(!matches!(opened, Ok(Ok(()))), "{:?}", opened);
    }

    #[test]
    fn p26_no_text_makes_the_reader_panic(
        tokens in prop_oneof![
            ".{0,200}",
            "\"sealed:1:[0-9a-f+]{14,18}:[A-Za-z0-9+/=]{0,120}\"",
            "[A-Za-z0-9+/]{0,40}={0,2}"
                .prop_map(|text| format!("\"sealed:1:{}:{text}\"", key(1).id())),
        ],
        name in ".{0,10}", generation: u64,
    ) {
        let page = page(generation, &tokens);
        if let Ok((page, _)) = vault(&[1]).open(&name, page) {
            let _ = page.page();
        }
    }
}
