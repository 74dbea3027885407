//! `tokenward check`: every mistake in a config, or none.

use std::io;

use crate::config::parse;

use super::{ConfigFile, Failure, environment, say};

pub(super) fn check(file: &ConfigFile) -> Result<(), Failure> {
    let out = |line: String| say(io::stdout(), &line);
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    for warning in &config.warnings {
        say(io::stderr(), &format!("warning: {warning}"));
    }
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
    Ok(())
}
