//! `tokenward check`: every mistake in a config, or none; and whether the vendors give tokens for it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use tokio::time::timeout;

use crate::app::try_out::{Tried, TryOut};
use crate::causes::causes;
use crate::config::{Config, StorePlace, parse};
use crate::signal::Shutdown;
use crate::token::{Outcome, Status};

use super::people::{plain, span};
use super::progress::Progress;
use super::{ConfigFile, Failure, block_on, environment, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Get a token for each upstream, too, as a renewal: saved in the store, from which gateways that
    /// run take it over, and counted as one of the vendor's daily calls.
    #[arg(long)]
    live: bool,

    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { live, file } = arguments;
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    for warning in &config.warnings {
        say(io::stderr(), &format!("warning: {warning}"));
    }
    describe(&config, file);
    if *live { block_on(try_out(config)) } else { Ok(()) }
}

fn describe(config: &Config, file: &ConfigFile) {
    out(format!("{}: good", file.config.display()));
    out(format!("  admin     {}", config.admin));
    if let Some(gateway) = &config.gateway {
        out(format!("  gateway   {}", gateway.address));
    }
    if let Some(clients) = &config.clients {
        let (count, file) = (clients.clients.len(), clients.file.path.display());
        out(format!("  clients   {count}, of {file}"));
    }
    out(format!("  store     {}", config.store.place));
    if let Some(key) = config.store.keys.first() {
        let older = config.store.keys.len() - 1;
        out(format!("  sealed    with the key {}; {older} older ones open, too", key.id()));
    }
    for upstream in &config.upstreams {
        let listen = upstream.listen.as_ref().map(|listen| listen.address.to_string());
        let listen = listen.unwrap_or_else(|| "gateway only".to_owned());
        let (name, base_url) = (&upstream.name, &upstream.base_url);
        let vendor = &upstream.vendor.name;
        out(format!("  upstream  {name}: {listen} -> {base_url} (vendor {vendor})"));
    }
}

/// One upstream after the other. A signal ends it between two of them: what a vendor has answered
/// must be saved.
async fn try_out(config: Config) -> Result<(), Failure> {
    refuse_another_ones(&config.store.place)?;
    let mut signals = Shutdown::install().map_err(Failure::failed)?;
    let trying = TryOut::new(&config.store).map_err(Failure::failed)?;
    let place = config.store.place.to_string();
    let (all, mut without) = (config.upstreams.len(), Vec::new());
    for upstream in config.upstreams {
        let name = upstream.name.clone();
        let mut progress = Progress::new();
        progress.show(&format!("{name}: asking the vendor for a token"));
        let tried = trying.token(upstream).await;
        progress.clear();
        let told = match tried {
            Ok(Tried::Got(status)) => got(&status, &place),
            Ok(Tried::WouldSpend) => NOT_TRIED.to_owned(),
            Err(error) => {
                without.push(name.clone());
                format!("none: {}", causes(&error))
            }
        };
        out(plain(&format!("  token     {name}: {told}")));
        if let Ok(signal) = timeout(Duration::ZERO, signals.recv()).await {
            return Err(Failure::Failed(format!("ended by {}", signal.name).into()));
        }
    }
    if without.is_empty() {
        return Ok(());
    }
    let problem =
        format!("no token for {} of {all} upstreams: {}", without.len(), without.join(", "));
    Err(Failure::Failed(problem.into()))
}

/// A store's file is replaced as a whole: written by root, say, it could no longer be read by the
/// gateway whose it is.
fn refuse_another_ones(place: &StorePlace) -> Result<(), Failure> {
    let StorePlace::File { path, .. } = place else { return Ok(()) };
    let own = rustix::process::geteuid().as_raw();
    let of = |path: &std::path::Path| Some(std::fs::metadata(path).ok()?.uid());
    let other = match of(path) {
        Some(owner) => (owner != own).then_some(owner),
        // What root puts into another one's folder is for that one.
        None if own == 0 => path.parent().and_then(of).filter(|owner| *owner != own),
        None => None,
    };
    let Some(owner) = other else { return Ok(()) };
    let path = path.display();
    Err(Failure::Usage(format!(
        "{path} belongs to the user {owner}, who could not read it after this: run it as that user, or ask \
         the gateway with POST /-/refresh/NAME"
    )))
}

/// Where it came from, and for how long; never the token itself.
fn got(status: &Status, place: &str) -> String {
    let lives = span(status.over_at.map_or(Duration::ZERO, |end| end.left()));
    let generation = status.generation;
    match status.last.as_ref().map(|last| last.outcome) {
        Some(Outcome::Adopted) => {
            format!("got by another gateway meanwhile; it lives {lives} (no. {generation})")
        }
        _ => format!("got from the vendor; it lives {lives} (no. {generation}, in {place})"),
    }
}

fn out(line: String) {
    say(io::stdout(), &line);
}

const NOT_TRIED: &str = "not tried: with a store in memory, the refresh token that the vendor gives in place of the \
                         seed would be lost";
