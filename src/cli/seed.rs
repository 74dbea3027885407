//! `tokenward seed`: stores the first refresh token of an upstream.

use std::path::PathBuf;

use crate::app;
use crate::config::{StorePlace, parse};
use crate::secret::Secret;
use crate::token::store::{Pages, Seen, Swap};

use super::{ConfigFile, Failure, block_on, environment};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The upstream, as the config names it.
    upstream: String,

    /// A file that holds the refresh token and nothing else.
    #[arg(long, value_name = "FILE")]
    refresh_token_file: PathBuf,

    /// Replace a refresh token that the store has already.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn seed(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { upstream: name, refresh_token_file, force, file } = arguments;
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    let Some(upstream) = config.upstreams.iter().find(|upstream| upstream.name == *name) else {
        let names: Vec<_> = config.upstreams.iter().map(|one| one.name.as_str()).collect();
        let names = names.join(", ");
        return Err(Failure::Usage(format!("there is no upstream {name:?}, but: {names}")));
    };
    if matches!(config.store.place, StorePlace::Memory) {
        let problem = "a memory store ends with its process: set store.kind to another";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let unreadable = |error| format!("{}: {error}", refresh_token_file.display());
    let text = std::fs::read_to_string(refresh_token_file)
        .map_err(|error| Failure::Usage(unreadable(error)))?;
    let refresh_token = Secret::new(text.trim());
    if refresh_token.expose().is_empty() {
        return Err(Failure::Usage(format!("{} is empty", refresh_token_file.display())));
    }

    let (page_name, place) = (&upstream.page, &config.store.place);
    block_on(async {
        let store = app::open_store(&config.store).map_err(Failure::failed)?;
        let Seen { mut page, mut revision } =
            store.load(page_name).await.map_err(Failure::failed)?;
        // A gateway that runs may change the page, but not every time.
        for _ in 0..TRIES {
            let other = page.tokens.refresh.as_ref().is_some_and(|known| *known != refresh_token);
            if other && !force {
                let problem = format!(
                    "{place} has a refresh token for {name} already, perhaps a newer one: \
                     --force replaces it"
                );
                return Err(Failure::Usage(problem));
            }
            page.tokens.refresh = Some(refresh_token.clone());
            page.unproven = true;
            match store.swap(page_name, revision, &page).await.map_err(Failure::failed)? {
                Swap::Done(_) => {
                    println!("{place}: {name} is seeded");
                    return Ok(());
                }
                Swap::Stale(seen) => Seen { page, revision } = seen,
            }
        }
        Err(Failure::Usage(format!("others keep changing the page of {name}: try again")))
    })
}

/// A renewal changes a page a few times.
const TRIES: usize = 10;
