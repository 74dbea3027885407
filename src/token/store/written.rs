//! A page as it is written down.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;

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
        Self { revision, generation: page.generation, fence: page.fence, open, tokens }
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

/// The tokens in their JSON, without copies that nobody zeroes: the buffer does not grow.
fn texts(tokens: &Tokens) -> Secret {
    let Tokens { access, refresh, spares } = tokens;
    let text =
        |secret: &'_ Secret| -> usize { LONGEST_ESCAPE * secret.expose().len() + PUNCTUATION };
    let length = access.iter().chain(refresh).chain(spares).map(text).sum::<usize>() + FRAME;
    let texts = Texts {
        access_token: access.as_ref().map(|token| token.expose().into()),
        refresh_token: refresh.as_ref().map(|token| token.expose().into()),
        spares: spares.iter().map(|spare| spare.expose().into()).collect(),
    };
    let mut json = Zeroizing::new(Vec::with_capacity(length));
    serde_json::to_writer(&mut *json, &texts).expect("tokens are JSON");
    Secret::new(std::str::from_utf8(&json).expect("JSON is text"))
}

/// A control character as `\u0000`.
const LONGEST_ESCAPE: usize = 6;
/// Quotes and a comma.
const PUNCTUATION: usize = 3;
/// The braces and the names.
const FRAME: usize = 64;

/// serde_json's messages can repeat a value; its places cannot.
fn unreadable(part: &'static str) -> impl FnOnce(serde_json::Error) -> Unreadable {
    move |error| Unreadable::Json { part, line: error.line(), column: error.column() }
}
