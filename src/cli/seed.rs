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
    let StorePlace::File { path } = &config.store.place else {
        let problem = "a memory store ends with its process: set store.kind = \"file\"";
        return Err(Failure::Usage(problem.to_owned()));
    };
    let unreadable = |error| format!("{}: {error}", refresh_token_file.display());
    let text = std::fs::read_to_string(refresh_token_file)
        .map_err(|error| Failure::Usage(unreadable(error)))?;
    let refresh_token = Secret::new(text.trim());
    if refresh_token.expose().is_empty() {
        return Err(Failure::Usage(format!("{} is empty", refresh_token_file.display())));
    }

    let store = app::open_store(&config.store).map_err(Failure::failed)?;
    let page_name = &upstream.page;
    block_on(async {
        let Seen { mut page, revision } = store.load(page_name).await.map_err(Failure::failed)?;
        let other = page.tokens.refresh.as_ref().is_some_and(|known| *known != refresh_token);
        if other && !force {
            let problem = format!(
                "{} has a refresh token for {name} already, perhaps a newer one: --force replaces it",
                path.display()
            );
            return Err(Failure::Usage(problem));
        }
        page.tokens.refresh = Some(refresh_token);
        page.unproven = true;
        match store.swap(page_name, revision, &page).await.map_err(Failure::failed)? {
            Swap::Done(_) => println!("{}: {name} is seeded", path.display()),
            Swap::Stale(_) => unreachable!("nobody else has the store"),
        }
        Ok(())
    })
}
