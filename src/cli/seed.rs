//! `tokenward seed`: puts a refresh token into the store, while a gateway runs or not.

use std::path::{Path, PathBuf};

use crate::app::{self, Opener};
use crate::config::{Config, StorePlace, UpstreamConfig, parse};
use crate::secret::Secret;
use crate::token::page::Page;
use crate::token::store::{Pages, Store, Swap};

use super::{ConfigFile, Failure, block_on, environment, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The upstream, as the config names it.
    upstream: String,

    /// A file that holds the refresh token and nothing else.
    #[arg(long, value_name = "FILE")]
    refresh_token_file: PathBuf,

    /// Replace a refresh token that is perhaps newer, or present one again that was used before.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    file: ConfigFile,
}

/// Why a refresh token is not put into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// There is another that may be good.
    PerhapsNewer,
    /// It is no longer the store's, or the vendor has refused it.
    UsedBefore,
}

pub(super) fn seed(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { upstream: name, refresh_token_file, force, file } = arguments;
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    let upstream = upstream(&config, name)?;
    if matches!(config.store.place, StorePlace::Memory) {
        let problem = "a memory store ends with its process: set another store.kind";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let token = read(refresh_token_file)?;
    let (place, page) = (&config.store, upstream.page.as_str());
    block_on(async {
        let store = app::open_store(place, Opener::Command).map_err(Failure::failed)?;
        put(&store, page, &token, *force, name).await
    })?;
    let place = &place.place;
    let done = "is seeded; a gateway that runs presents the token within seconds";
    say(std::io::stdout(), &format!("{place}: {name} {done}"));
    Ok(())
}

/// The upstream of this name.
pub(super) fn upstream<'a>(config: &'a Config, name: &str) -> Result<&'a UpstreamConfig, Failure> {
    config.upstreams.iter().find(|upstream| upstream.name == name).ok_or_else(|| {
        let names: Vec<_> = config.upstreams.iter().map(|one| one.name.as_str()).collect();
        let names = names.join(", ");
        Failure::Usage(format!("there is no upstream {name:?}, but: {names}"))
    })
}

fn read(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    // The file's length is known before it is read, so the text has no larger copy.
    let text = zeroize::Zeroizing::new(text);
    let token = Secret::new(text.trim());
    if token.expose().is_empty() {
        return Err(Failure::Usage(format!("{} is empty", path.display())));
    }
    Ok(token)
}

/// A gateway may write the same page at any time: then it is looked at again.
async fn put(
    store: &Store,
    name: &str,
    token: &Secret,
    force: bool,
    upstream: &str,
) -> Result<(), Failure> {
    let mut seen = store.load(name).await.map_err(Failure::failed)?;
    for _ in 0..TRIES {
        let page = &seen.page;
        if is_there(page, token) {
            return Ok(());
        }
        if let Some(doubt) = doubt(page, token).filter(|_| !force) {
            return Err(Failure::Usage(doubt.problem(upstream)));
        }
        let next = page.seeded(token.clone());
        match store.swap(name, seen.revision, &next).await.map_err(Failure::failed)? {
            Swap::Done(_) => return Ok(()),
            Swap::Stale(other) => seen = other,
        }
    }
    Err(Failure::Usage(format!("{upstream}'s page in the store changes all the time: try again")))
}

/// Whether there is nothing to do.
fn is_there(page: &Page, token: &Secret) -> bool {
    let stored = page.tokens.refresh.as_ref();
    stored == Some(token) && page.refusal_of(token.fingerprint()).is_none()
}

fn doubt(page: &Page, token: &Secret) -> Option<Doubt> {
    let print = token.fingerprint();
    if page.seeds.contains(&print) || page.refusal_of(print).is_some() {
        return Some(Doubt::UsedBefore);
    }
    let stored = page.tokens.refresh.as_ref().map(Secret::fingerprint);
    let good = stored.filter(|stored| page.refusal_of(*stored).is_none());
    good.map(|_| Doubt::PerhapsNewer)
}

// === impl Doubt ===

impl Doubt {
    fn problem(self, upstream: &str) -> String {
        match self {
            Self::PerhapsNewer => format!(
                "the store has a refresh token for {upstream} already, which the vendor has not \
                 refused, and perhaps a newer one: --force replaces it"
            ),
            Self::UsedBefore => format!(
                "this refresh token of {upstream} was used before, or refused, and vendors may end \
                 all tokens when they see a spent one again: get a new one, or present it with --force"
            ),
        }
    }
}

/// Far more often than a gateway writes between two looks.
const TRIES: usize = 20;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn page_with(stored: &str) -> Page {
        let mut page = Page::default();
        page.tokens.refresh = Some(Secret::new(stored));
        page
    }

    fn refused(page: &Page, token: &str) -> Page {
        page.refused(Secret::new(token).fingerprint(), 0, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn p20_a_token_that_may_be_good_is_replaced_by_force_alone() {
        let given = Secret::new("given");
        assert_eq!(doubt(&Page::default(), &given), None, "there is none");
        assert_eq!(doubt(&page_with("stored"), &given), Some(Doubt::PerhapsNewer));
        assert_eq!(doubt(&refused(&page_with("stored"), "stored"), &given), None);
    }

    #[test]
    fn p20_a_token_that_was_used_before_is_seeded_by_force_alone() {
        let given = Secret::new("given");
        let page = page_with("stored");
        assert_eq!(doubt(&refused(&page, "given"), &given), Some(Doubt::UsedBefore));
        let mut rotated = page_with("given").seeded(given.clone());
        assert!(is_there(&rotated, &given), "nothing is to be done");
        rotated.tokens.refresh = Some(Secret::new("its successor"));
        assert_eq!(doubt(&rotated, &given), Some(Doubt::UsedBefore));
        let spent = refused(&page_with("given"), "given");
        assert!(!is_there(&spent, &given), "it was refused");
        assert_eq!(doubt(&spent, &given), Some(Doubt::UsedBefore));
    }

    #[tokio::test]
    async fn p20_a_page_that_changes_meanwhile_is_seeded_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let gateway = Store::from(crate::token::store::file::FileStore::open(&path).expect("new"));
        let command =
            Store::from(crate::token::store::file::FileStore::visit(&path).expect("open"));
        let writing = async {
            for generation in 1..=30 {
                let seen = gateway.load("one").await.expect("a page");
                let next = Page { generation, ..seen.page };
                // What the command has written in between is read again.
                let _ = gateway.swap("one", seen.revision, &next).await.expect("an answer");
            }
        };
        let given = Secret::new("given");
        let (done, ()) = tokio::join!(put(&command, "one", &given, false, "up"), writing);
        done.expect("seeded");
        let page = gateway.load("one").await.expect("a page").page;
        assert!(page.unproven && is_there(&page, &given), "{page:?}");
    }
}
