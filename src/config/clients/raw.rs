//! The list of clients as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};

use crate::config::raw::{Described, OneOrMore};
use crate::config::secrets::SecretSource;
use crate::secret::Secret;

/// The whole file: clients by their names.
pub(in crate::config) type RawClients = BTreeMap<String, RawClient>;

/// How one client is known, and what it may.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RawClient {
    /// At least 24 bytes of visible ASCII, as `openssl rand -hex 32` makes them, or their SHA-256. Of a
    /// list, each will do: the old and the new one, while programs change over.
    pub key: Option<OneOrMore<RawKey>>,
    /// A DNS or URI name of a certificate that callers' TLS has accepted, or several; meant literally.
    pub certificate: Option<OneOrMore<String>>,
    /// `true`: may `POST` at an admin address from another machine, with `Authorization: Bearer KEY`. A
    /// certificate does not do.
    #[schemars(extend("default" = false))]
    pub admin: Option<bool>,
    /// What it may call: with such tables those upstreams alone; `{}`: none, which only an `admin` may
    /// have. Left out: everything.
    pub upstream: Option<BTreeMap<String, RawGrant>>,
}

/// What a client may call of one upstream, beside the upstream's own `guard`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RawGrant {
    /// In capitals. Left out: all.
    pub methods: Option<Vec<String>>,
    /// Path patterns, with a method before it or not; the vendor's paths, without the path of `base_url`.
    /// Left out: all.
    pub paths: Option<Vec<String>>,
    /// A list of the vendor's description, by its name. Left out: none.
    pub preset: Option<String>,
}

/// `"text"`, `{ sha256 = "…" }`, `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Debug)]
pub(in crate::config) enum RawKey {
    /// As it is written, to be read.
    Hash(String),
    Source(SecretSource),
}

impl Described for RawKey {
    const WHAT: &str =
        "\"text\", { sha256 = \"64 hex digits\" }, { env = \"NAME\" } or { file = \"path\" }";
}

impl<'de> Deserialize<'de> for RawKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawKey, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whereabouts {
    sha256: Option<String>,
    env: Option<String>,
    file: Option<PathBuf>,
}

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = RawKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RawKey::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawKey, E> {
        Ok(RawKey::Source(SecretSource::Text(Secret::new(text))))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawKey, A::Error> {
        let Whereabouts { sha256, env, file } =
            Whereabouts::deserialize(MapAccessDeserializer::new(map))?;
        match (sha256, env, file) {
            (Some(hash), None, None) => Ok(RawKey::Hash(hash)),
            (None, Some(name), None) => Ok(RawKey::Source(SecretSource::Env(name))),
            (None, None, Some(path)) => Ok(RawKey::Source(SecretSource::File(path))),
            _ => Err(A::Error::invalid_value(Unexpected::Map, &self)),
        }
    }
}
