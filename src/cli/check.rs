//! `tokenward check`: every mistake in a config, or none.

use crate::config::parse;

use super::{ConfigFile, Failure, environment};

pub(super) fn check(file: &ConfigFile) -> Result<(), Failure> {
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    println!("{}: good", file.config.display());
    println!("  admin     {}", config.admin);
    if let Some(gateway) = &config.gateway {
        println!("  gateway   {}", gateway.address);
    }
    println!("  store     {}", config.store.place);
    if let Some(key) = config.store.keys.first() {
        let older = config.store.keys.len() - 1;
        println!("  sealed    with the key {}; {older} older ones open, too", key.id());
    }
    for upstream in &config.upstreams {
        let listen = upstream.listen.as_ref().map(|listen| listen.address.to_string());
        let listen = listen.unwrap_or_else(|| "gateway only".to_owned());
        let (name, base_url) = (&upstream.name, &upstream.base_url);
        println!("  upstream  {name}: {listen} -> {base_url} (vendor {})", upstream.vendor.name);
    }
    Ok(())
}
