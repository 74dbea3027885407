//! Where a secret comes from: the config itself, the environment or a file.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use zeroize::Zeroizing;

use crate::config::raw::Described;
use crate::secret::Secret;
use crate::units::is_read_by_others;

/// `"text"`, `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Debug, Clone)]
pub enum SecretSource {
    Text(Secret),
    Env(String),
    /// Relative to the folder of the config file.
    File(PathBuf),
}

/// A secret that was found.
#[derive(Debug)]
pub struct Resolved {
    pub secret: Secret,
    /// The file that it stands in, if others than its owner may read that file.
    pub readable_by_others: Option<PathBuf>,
}

/// Why there is no secret. The text names the place and never what was found there.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("{0} is empty")]
    Empty(String),
    #[error("{0} is not text in UTF-8")]
    NotText(String),
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is larger than {LARGEST} bytes", .0.display())]
    TooLarge(PathBuf),
}

impl SecretSource {
    /// Looks the text up and makes a secret of it. `folder` is that of the config file, `env` the
    /// environment.
    ///
    /// Line ends at the end of the text are not part of the secret: editors and `echo` add them.
    pub fn resolve(
        &self,
        folder: &Path,
        env: impl Fn(&str) -> Option<OsString>,
        make: fn(&str) -> Secret,
    ) -> Result<Resolved, SecretError> {
        let found = |bytes: &[u8], place: &str| found(bytes, place, make);
        match self {
            SecretSource::Text(text) => found(text.expose().as_bytes(), "the text"),
            SecretSource::Env(name) => {
                let value = env(name).ok_or_else(|| SecretError::Unset(name.clone()))?;
                let value = Zeroizing::new(value.into_encoded_bytes());
                found(&value, &format!("the environment variable {name}"))
            }
            SecretSource::File(path) => {
                let path = folder.join(path);
                let (bytes, is_open) = read(&path)?;
                let resolved = found(&bytes, &path.display().to_string())?;
                Ok(Resolved { readable_by_others: is_open.then_some(path), ..resolved })
            }
        }
    }
}

impl Described for SecretSource {
    const WHAT: &str = "\"text\", { env = \"NAME\" } or { file = \"path\" }";
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretSource, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

/// A table is one of the two, which serde's own enums would say less clearly.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whereabouts {
    env: Option<String>,
    file: Option<PathBuf>,
}

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SecretSource::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretSource, E> {
        // Whether it is one that the log must not hold is decided when its key is known.
        Ok(SecretSource::Text(Secret::compound(text, Vec::new())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
        match Whereabouts::deserialize(MapAccessDeserializer::new(map))? {
            Whereabouts { env: Some(name), file: None } => Ok(SecretSource::Env(name)),
            Whereabouts { env: None, file: Some(path) } => Ok(SecretSource::File(path)),
            _ => Err(A::Error::invalid_value(Unexpected::Map, &self)),
        }
    }
}

fn found(bytes: &[u8], place: &str, make: fn(&str) -> Secret) -> Result<Resolved, SecretError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SecretError::NotText(place.to_owned()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SecretError::Empty(place.to_owned())),
        text => Ok(Resolved { secret: make(text), readable_by_others: None }),
    }
}

/// The content of the file, and whether others may read it.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, bool), SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let is_open = is_read_by_others(&file.metadata().map_err(unreadable)?);
    // Large enough from the start: a growing buffer leaves copies behind that nobody zeroes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 2));
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() > LARGEST {
        true => Err(SecretError::TooLarge(path.to_owned())),
        false => Ok((bytes, is_open)),
    }
}

/// A private key with its chain has a few KiB; what is larger is another file by mistake.
const LARGEST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn source(toml: &str) -> SecretSource {
        #[derive(Deserialize)]
        struct Holder {
            x: SecretSource,
        }
        toml::from_str::<Holder>(&format!("x = {toml}")).unwrap().x
    }

    fn resolve(toml: &str, folder: &Path) -> Result<Resolved, SecretError> {
        let env = |name: &str| match name {
            "SET" => Some("from env\n".into()),
            "BLANK" => Some("".into()),
            _ => None,
        };
        source(toml).resolve(folder, env, |text| Secret::new(text))
    }

    #[test]
    fn a_secret_comes_from_the_text_the_environment_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("s"), "from file\r\n").unwrap();
        for (toml, secret) in [
            ("\"from text\"", "from text"),
            ("{ env = \"SET\" }", "from env"),
            ("{ file = \"s\" }", "from file"),
        ] {
            let resolved = resolve(toml, folder.path()).unwrap();
            assert_eq!(resolved.secret.expose(), secret, "{toml}");
        }
    }

    #[test]
    fn p26_what_is_wrong_names_the_place_and_not_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("empty"), "\n").unwrap();
        fs::write(path("binary"), b"hunter22\xff").unwrap();
        fs::write(path("large"), "hunter22".repeat(LARGEST / 8 + 1)).unwrap();
        for (toml, problem) in [
            ("\"\"", "the text is empty".to_owned()),
            ("{ env = \"UNSET\" }", "the environment variable UNSET is not set".to_owned()),
            ("{ env = \"BLANK\" }", "the environment variable BLANK is empty".to_owned()),
            ("{ file = \"empty\" }", format!("{} is empty", path("empty"))),
            ("{ file = \"binary\" }", format!("{} is not text in UTF-8", path("binary"))),
            ("{ file = \"large\" }", format!("{} is larger than 65536 bytes", path("large"))),
            (
                "{ file = \".\" }",
                format!("{} cannot be read: Is a directory (os error 21)", path(".")),
            ),
        ] {
            let error = resolve(toml, folder.path()).unwrap_err().to_string();
            assert_eq!(error, problem, "{toml}");
        }
        let missing = resolve("{ file = \"/no/such\" }", folder.path()).unwrap_err().to_string();
        assert!(missing.starts_with("/no/such cannot be read: No such file"), "{missing}");
    }

    #[test]
    fn a_file_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "x").unwrap();
        for (mode, told) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let resolved = resolve("{ file = \"s\" }", folder.path()).unwrap();
            assert_eq!(resolved.readable_by_others.is_some(), told, "{mode:o}");
        }
    }
}
