//! From a list of clients as it is written to what is meant. Every mistake is noted in its place.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::config::parse::allow::{RawAllow, allow_list};
use crate::config::raw::OneOrMore;
use crate::config::secrets::SecretSource;
use crate::document::{Document, Report, nearest};
use crate::proxy::clients::{Config, KeyHash, certificate_name};
use crate::proxy::guard::allow::AllowList;
use crate::secret::Secret;

use super::raw::{RawClient, RawClients, RawGrant, RawKey};
use super::{ClientsFile, KnownUpstream};

/// Reads one list.
pub(super) struct Checker<'a> {
    file: &'a ClientsFile,
    document: &'a Document,
    pub(super) report: Report,
    pub(super) warnings: Vec<String>,
    /// Named by the list.
    pub(super) files: Vec<PathBuf>,
    /// A key stands in the list itself.
    pub(super) holds_plain_keys: bool,
    /// Whose each key and each certificate's name is.
    keys: HashMap<KeyHash, String>,
    certificates: HashMap<String, String>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(file: &'a ClientsFile, document: &'a Document, report: Report) -> Self {
        Self {
            file,
            document,
            report,
            warnings: Vec::new(),
            files: Vec::new(),
            holds_plain_keys: false,
            keys: HashMap::new(),
            certificates: HashMap::new(),
        }
    }

    pub(super) fn clients(&mut self, raw: RawClients) -> Vec<Config> {
        let clients: Vec<_> = raw.into_iter().map(|(name, raw)| self.client(name, &raw)).collect();
        let keys = clients.iter().map(|client| client.keys.len()).sum::<usize>();
        if keys > MOST_KEYS {
            let problem = format!("{keys} keys are too many: every request is compared with all");
            self.push(&[], problem, &format!("at most {MOST_KEYS}"));
        }
        clients
    }

    fn client(&mut self, name: String, raw: &RawClient) -> Config {
        let good = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
        };
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(good) {
            let problem = format!(
                "a client's name has lower-case letters, digits, `-` and `_`, at most {LONGEST_NAME}"
            );
            self.report.push(self.document.mistake_at_key(&[&name], problem));
        }
        let keys = raw.key.as_ref().map(|keys| keys.iter().count());
        let certificates = raw.certificate.as_ref().map(|names| names.iter().count());
        if self.lacks(&name, "key", keys) && self.lacks(&name, "certificate", certificates) {
            let problem = format!("nobody can be `{name}`: it has neither key nor certificate");
            let mistake = self.document.mistake(&[&name], problem);
            self.report.push(mistake.help("key = { file = \"PATH\" }, or certificate = \"NAME\""));
        }
        let keys = self.keys(&name, raw.key.as_ref());
        let certificates = self.certificates(&name, raw.certificate.as_ref());
        let admin = raw.admin.unwrap_or_default();
        if admin && !self.document.has(&[&name, "key"]) {
            let problem = format!("`{name}` has no key, which alone opens the admin address");
            self.push(&[&name, "admin"], problem, "key = { file = \"PATH\" }");
        }
        let upstreams = match &raw.upstream {
            None => self.file.upstreams.iter().map(|_| Some(AllowList::default())).collect(),
            Some(granted) => self.upstreams(&name, granted, admin),
        };
        Config { name, keys, certificates, admin, upstreams }
    }

    /// What was refused has been left out, and does not lack.
    fn lacks(&self, client: &str, key: &str, read: Option<usize>) -> bool {
        match read {
            None => !self.document.has(&[client, key]),
            Some(count) => count == 0 && self.report.is_empty(),
        }
    }

    fn keys(&mut self, client: &str, raw: Option<&OneOrMore<RawKey>>) -> Vec<KeyHash> {
        let mut keys = Vec::new();
        for (place, raw) in raw.into_iter().flat_map(OneOrMore::iter) {
            let path: Vec<&str> = [client, "key"].into_iter().chain(place.as_deref()).collect();
            let Some(key) = self.key(&path, raw) else { continue };
            match self.keys.insert(key, client.to_owned()) {
                Some(other) if other != client => {
                    self.push(&path, format!("`{other}` has this key already"), NEW_KEY);
                }
                // While it is changed, its old and its new file may hold the same.
                Some(_) => {}
                None => keys.push(key),
            }
        }
        keys
    }

    fn key(&mut self, path: &[&str], raw: &RawKey) -> Option<KeyHash> {
        let source = match raw {
            RawKey::Source(source) => source,
            RawKey::Hash(text) => {
                let hash = KeyHash::from_hex(text);
                if hash.is_none() {
                    let help = "printf %s \"$KEY\" | sha256sum";
                    self.push(path, "a SHA-256 has 64 hex digits", help);
                }
                return hash;
            }
        };
        match source {
            SecretSource::Text(_) => self.holds_plain_keys = true,
            SecretSource::File(file) => self.files.push(self.file.folder().join(file)),
            SecretSource::Env(_) => {}
        }
        let env = |name: &str| std::env::var_os(name);
        let found = match source.resolve(self.file.folder(), env, |text| Secret::new(text)) {
            Ok(found) => found,
            Err(error) => {
                self.report.push(self.document.mistake(path, error.to_string()));
                return None;
            }
        };
        if let Some(file) = found.readable_by_others {
            let file = file.display();
            self.warnings.push(format!("{file} can be read by others: chmod 600 {file}"));
        }
        let key = found.secret.expose().as_bytes();
        if key.len() < SHORTEST_KEY {
            self.push(path, format!("a key has at least {SHORTEST_KEY} bytes"), NEW_KEY);
            return None;
        }
        if !key.iter().all(u8::is_ascii_graphic) {
            let problem =
                "a key has only visible ASCII characters, and no blanks: it is sent in a header";
            self.push(path, problem, NEW_KEY);
            return None;
        }
        Some(KeyHash::of(key))
    }

    fn certificates(&mut self, client: &str, raw: Option<&OneOrMore<String>>) -> Vec<String> {
        let mut names = Vec::new();
        for (place, raw) in raw.into_iter().flat_map(OneOrMore::iter) {
            let path: Vec<&str> =
                [client, "certificate"].into_iter().chain(place.as_deref()).collect();
            if raw.is_empty()
                || !raw.bytes().all(|byte| byte.is_ascii_graphic())
                || raw.contains('*')
            {
                let help = "a DNS or URI name of the certificate as it stands there: \
                            \"app.internal\", \"spiffe://prod/app\"";
                self.push(&path, "this is no name of a certificate", help);
                continue;
            }
            let name = certificate_name(raw);
            match self.certificates.insert(name.clone(), client.to_owned()) {
                Some(other) if other != client => {
                    let problem = format!("`{other}` has this name already");
                    self.report.push(self.document.mistake(&path, problem));
                }
                _ => names.push(name),
            }
        }
        names
    }

    /// By the upstream's place.
    fn upstreams(
        &mut self,
        client: &str,
        granted: &BTreeMap<String, RawGrant>,
        admin: bool,
    ) -> Vec<Option<AllowList>> {
        // What was refused has been left out, and is not missing.
        if granted.is_empty() && !admin && self.report.is_empty() {
            let help = "leave `upstream` out if it may call everything";
            self.push(&[client, "upstream"], format!("`{client}` may call nothing"), help);
        }
        let known = &self.file.upstreams;
        let names: Vec<&str> = known.iter().map(|upstream| upstream.name.as_str()).collect();
        for name in granted.keys().filter(|name| !names.contains(&name.as_str())) {
            let path = [client, "upstream", name];
            let problem = format!("there is no upstream `{name}`");
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", names.join(", ")),
            };
            self.report.push(self.document.mistake_at_key(&path, problem).help(help));
        }
        let grant = |upstream: &KnownUpstream| {
            let grant = granted.get(&upstream.name)?;
            Some(self.allowed(&[client, "upstream", &upstream.name], grant, upstream))
        };
        known.iter().map(grant).collect()
    }

    fn allowed(&mut self, at: &[&str], raw: &RawGrant, upstream: &KnownUpstream) -> AllowList {
        let raw = RawAllow {
            methods: raw.methods.as_deref(),
            paths: raw.paths.as_deref(),
            preset: raw.preset.as_deref(),
        };
        let list = allow_list(self.document, &mut self.report, at, raw, &upstream.vendor);
        list.below(&upstream.base)
    }

    fn push(&mut self, path: &[&str], problem: impl Into<String>, help: &str) {
        self.report.push(self.document.mistake(path, problem).help(help));
    }
}

const NEW_KEY: &str = "make a key with `openssl rand -hex 32`";
/// 24 characters of Base64 hold 144 bits, 32 hex digits 128.
const SHORTEST_KEY: usize = 24;
/// It is a label of metrics.
const LONGEST_NAME: usize = 64;
/// Comparing with them takes a few microseconds.
const MOST_KEYS: usize = 1000;
