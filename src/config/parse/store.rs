//! Where tokens are kept: one kind of store, and only the keys that it has.

mod file;
mod kubernetes;
mod redis;

use std::time::Duration;

use crate::causes::causes;
use crate::config::raw::{RawStore, RawStoreTls, StoreKind};
use crate::config::{StoreConfig, StorePlace};
use crate::token::store::seal::Key;
use crate::upstream::tls;

use super::Parser;

impl Parser<'_> {
    pub(super) fn store(&mut self, raw: RawStore) -> Option<StoreConfig> {
        let kind = raw.kind.unwrap_or(StoreKind::File);
        self.refuse_foreign_keys(kind, &raw);
        let keys = self.store_keys(&raw);
        let lease = raw.lease.map_or(LEASE, Duration::from);
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
            self.note(&["store", "lease"], "`store.lease` is between 1s and 5m");
        }
        let place = match kind {
            StoreKind::File => self.file_store(&raw),
            StoreKind::Redis => self.redis_store(&raw),
            StoreKind::Kubernetes => self.kubernetes_store(&raw),
            StoreKind::Memory => Some(StorePlace::Memory),
        };
        Some(StoreConfig { place: place?, keys, lease })
    }

    /// A key that this kind of store does not have would be without effect, and most likely `kind` was
    /// forgotten. Who overrides the kind of a finished config for a trial says `memory`.
    fn refuse_foreign_keys(&mut self, kind: StoreKind, raw: &RawStore) {
        use StoreKind::{File, Kubernetes, Memory, Redis};
        let tls = &raw.tls;
        let has_tls =
            tls.ca_file.is_some() || tls.client_cert.is_some() || tls.client_key.is_some();
        for (key, given, kinds) in [
            ("path", raw.path.is_some(), &[File][..]),
            ("share", raw.share.is_some(), &[File]),
            ("url", raw.url.is_some(), &[Redis, Kubernetes]),
            ("username", raw.username.is_some(), &[Redis]),
            ("password", raw.password.is_some(), &[Redis]),
            ("key_prefix", raw.key_prefix.is_some(), &[Redis]),
            ("sentinels", raw.sentinels.is_some(), &[Redis]),
            ("master", raw.master.is_some(), &[Redis]),
            ("secret", raw.secret.is_some(), &[Kubernetes]),
            ("namespace", raw.namespace.is_some(), &[Kubernetes]),
            ("service_account", raw.service_account.is_some(), &[Kubernetes]),
            ("tls", has_tls, &[Redis, Kubernetes]),
        ] {
            if given && kind != Memory && !kinds.contains(&kind) {
                let kinds: Vec<_> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
                let kinds = kinds.join(" or ").to_lowercase();
                self.note(&["store", key], format!("only a {kinds} store has `store.{key}`"));
            }
        }
    }

    /// `None`: nothing is said of TLS. Files are tried now, so that a wrong one is shown in its
    /// place.
    fn store_tls(&mut self, raw: &RawStoreTls) -> Option<tls::Config> {
        let RawStoreTls { ca_file, client_cert, client_key } = raw;
        if ca_file.is_none() && client_cert.is_none() && client_key.is_none() {
            return None;
        }
        if client_cert.is_some() != client_key.is_some() {
            let problem = "a client certificate needs both `client_cert` and `client_key`";
            self.note(&["store", "tls"], problem);
        }
        let in_folder = |path: &Option<_>| path.as_ref().map(|path| self.folder.join(path));
        let config = tls::Config {
            ca_file: in_folder(ca_file),
            client_cert: in_folder(client_cert).zip(in_folder(client_key)),
            min_version: tls::Version::default(),
        };
        self.files.extend(config.files());
        if let Err(error) = tls::check(&config) {
            self.note(&["store", "tls", error.key()], causes(&error));
        }
        Some(config)
    }

    /// The first seals, all open.
    fn store_keys(&mut self, raw: &RawStore) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        let Some(sources) = &raw.encryption_key else { return keys };
        // What was refused has been left out, and is not missing.
        if sources.iter().next().is_none() && self.report.is_empty() {
            let mistake =
                self.document.mistake(&ENCRYPTION_KEY, "a list without a key seals nothing");
            self.report.push(mistake.help("leave `store.encryption_key` out, or give a key"));
        }
        for (place, source) in sources.iter() {
            let path: Vec<&str> = ENCRYPTION_KEY.into_iter().chain(place.as_deref()).collect();
            let Some(secret) = self.secret(&path, source) else { continue };
            match Key::parse(&secret) {
                Err(error) => {
                    let mistake = self.document.mistake(&path, error.to_string());
                    self.report.push(mistake.help("make a key with `openssl rand -hex 32`"));
                }
                Ok(key) if keys.iter().any(|known| known.id() == key.id()) => {
                    self.note(&path, format!("this key ({}) is in the list already", key.id()));
                }
                Ok(key) => keys.push(key),
            }
        }
        keys
    }
}

const ENCRYPTION_KEY: [&str; 2] = ["store", "encryption_key"];
/// Shorter than callers are held by default, so that they are served by who takes over.
const LEASE: Duration = Duration::from_secs(6);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
