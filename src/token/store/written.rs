//! A page as it is written down.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::secret::{Buffer, Secret};

use super::super::page::{Page, Tokens};
use super::Revision;
use super::seal::Sealed;

/// A page as a store keeps it: what stores compare, what anybody may read who can read the store,
/// and the tokens.
#[derive(Clone, Debug)]
pub struct Written {
    pub revision: Revision,
    pub generation: u64,
    pub fence: u64,
    /// The page without its tokens, as JSON.
    pub open: String,
    /// The tokens, as JSON: an object, or a text when they are sealed.
    pub tokens: Secret,
    /// From then on nobody misses it. `None`: it is kept for ever. Only for writing: what was read
    /// does not know.
    pub keep_until: Option<SystemTime>,
}

/// Why a written page is none.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("its {part} cannot be read (line {line}, column {column})")]
    Json { part: &'static str, line: usize, column: usize },
    #[error("what is written beside its {part} differs from what stands in it")]
    Contradiction { part: &'static str },
    #[error(transparent)]
    Sealed(#[from] Sealed),
}

/// The tokens in their JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    access_token: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    spares: Vec<Cow<'a, str>>,
}

impl Written {
    pub fn of(page: &Page, revision: Revision) -> Self {
        // Neither has a map with keys that are no text, or a number that JSON has not.
        let open = serde_json::to_string(page).expect("a page is JSON");
        let tokens = texts(&page.tokens);
        let (generation, fence, keep_until) = (page.generation, page.fence, keep_until(page));
        Self { revision, generation, fence, open, tokens, keep_until }
    }

    /// Whether this may take the place of what is stored: nothing has been written since, and
    /// neither an older token nor a former lease's holder comes after a newer.
    pub fn may_replace(&self, stored: Option<&Written>, seen: Revision) -> bool {
        match stored {
            None => seen == Revision::default(),
            Some(stored) => {
                stored.revision == seen
                    && stored.generation <= self.generation
                    && stored.fence <= self.fence
            }
        }
    }

    /// # Errors
    /// When it is none.
    pub fn page(&self) -> Result<Page, Unreadable> {
        let mut page: Page = serde_json::from_str(&self.open).map_err(unreadable("open part"))?;
        let texts: Texts<'_> =
            serde_json::from_str(self.tokens.expose()).map_err(unreadable("tokens"))?;
        // Stores compare the one, and the tokens are sealed for it; everybody else reads the other.
        if page.generation != self.generation {
            return Err(Unreadable::Contradiction { part: "generation" });
        }
        if page.fence != self.fence {
            return Err(Unreadable::Contradiction { part: "fence" });
        }
        page.tokens = Tokens {
            access: texts.access_token.map(Secret::new),
            refresh: texts.refresh_token.map(Secret::new),
            spares: texts.spares.into_iter().map(Secret::new).collect(),
        };
        Ok(page)
    }
}

/// The tokens in their JSON, without copies that nobody zeroes.
fn texts(tokens: &Tokens) -> Secret {
    let Tokens { access, refresh, spares } = tokens;
    let texts = Texts {
        access_token: access.as_ref().map(|token| token.expose().into()),
        refresh_token: refresh.as_ref().map(|token| token.expose().into()),
        spares: spares.iter().map(|spare| spare.expose().into()).collect(),
    };
    let mut json = Buffer::default();
    serde_json::to_writer(&mut json, &texts).expect("tokens are JSON");
    let parts = access.iter().chain(refresh).chain(spares).cloned().collect();
    json.into_compound(parts).expect("JSON is text")
}

/// When nothing on the page is of use any more; `None`: nobody knows. A refresh token whose end is
/// unknown is never given up, and neither is one that was never presented.
fn keep_until(page: &Page) -> Option<SystemTime> {
    let life = page.life?;
    let last = match page.tokens.refresh {
        None => life.expires_at,
        Some(_) => life.refresh_expires_at?.max(life.expires_at),
    };
    let known = page.tokens.spares.is_empty() && !page.unproven;
    known.then(|| last + AFTERLIFE)
}

/// serde_json's messages can repeat a value; its places cannot.
fn unreadable(part: &'static str) -> impl FnOnce(serde_json::Error) -> Unreadable {
    move |error| Unreadable::Json { part, line: error.line(), column: error.column() }
}

/// The budget of the day and the refusals outlast the tokens, and clocks may differ.
const AFTERLIFE: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::token::page::Life;

    #[test]
    fn p17_only_a_page_whose_end_is_known_is_ever_given_up() {
        let day = Duration::from_secs(86_400);
        let life = Life {
            obtained_at: UNIX_EPOCH,
            expires_at: UNIX_EPOCH + day,
            refresh_expires_at: Some(UNIX_EPOCH + 30 * day),
            no_gain_at: None,
            keeps_refresh: false,
        };
        let token = || Some(Secret::new("r"));
        let page = Page {
            life: Some(life),
            tokens: Tokens { access: token(), refresh: token(), spares: Vec::new() },
            ..Page::default()
        };
        assert_eq!(keep_until(&page), Some(UNIX_EPOCH + 37 * day));
        let mut minted = page.clone();
        minted.tokens.refresh = None;
        assert_eq!(keep_until(&minted), Some(UNIX_EPOCH + 8 * day));
        let mut shorter = page.clone();
        let expires_at = UNIX_EPOCH + 60 * day;
        shorter.life = Some(Life { expires_at, ..life });
        assert_eq!(keep_until(&shorter), Some(UNIX_EPOCH + 67 * day), "not before the token");

        let mut unknown = page.clone();
        unknown.life = Some(Life { refresh_expires_at: None, ..life });
        let mut spare = page.clone();
        spare.tokens.spares = token().into_iter().collect();
        let unproven = Page { unproven: true, ..page.clone() };
        let seeded = Page { life: None, ..page };
        for page in [unknown, spare, unproven, seeded, Page::default()] {
            assert_eq!(keep_until(&page), None, "{page:?}");
        }
    }
}
