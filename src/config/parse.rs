//! From what is written to what is meant. Every mistake is noted in its place, and all of them are
//! told at once.

pub mod allow;
mod clients;
mod listen;
mod logging;
mod store;
mod tls;
mod traces;
mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::browsers::{BadHost, Hosts};
use crate::document::{Document, Report};
use crate::framing;
use crate::secret::{SHORTEST_LISTED, Secret};
use crate::units::{Listen, Size};
use crate::vendor::description::Description;

use super::builtin::DESCRIPTIONS;
use super::raw::{RawAdmin, RawConfig, RawGateway, RawLimits, RawShutdown};
use super::secrets::SecretSource;
use super::{CallerLimits, Config, ListenConfig, ShutdownConfig};

use listen::Written;

/// Reads the file and lays `vars` (the environment) over it.
///
/// # Errors
/// Every mistake in it.
pub fn file(
    path: &Path,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Report> {
    read(path, vars).map(|(config, _)| config).map_err(|unread| unread.report)
}

/// Why there is no config.
#[derive(Debug)]
pub struct Unread {
    pub report: Report,
    /// What was read for it, or should have been: another content of these may mend it.
    pub files: Vec<PathBuf>,
}

/// The same as [`file()`], with the document, for mistakes that show only later.
///
/// # Errors
/// Every mistake in it.
pub fn read(
    path: &Path,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Document), Unread> {
    let itself = || vec![path.to_owned()];
    let opened = open(path, Document::parse);
    let (mut document, mut report) = opened.map_err(|report| Unread { report, files: itself() })?;
    if !report.is_empty() {
        return Err(Unread { report, files: itself() });
    }
    document.overlay(PREFIX, vars);
    let mut parser = Parser::new(&document, folder_of(path), &mut report);
    parser.files = itself();
    let config = document.read(parser.report).and_then(|raw| parser.config(raw));
    let files = std::mem::take(&mut parser.files);
    match config {
        Some(config) if report.is_empty() => Ok((Config { files, ..config }, document)),
        _ => Err(Unread { report, files }),
    }
}

/// Where the gateway of this config has its admin address. Nothing else of the file is looked into:
/// whoever asks may not be allowed to read its secrets.
///
/// # Errors
/// Every mistake in how it is written.
pub fn admin_of(
    path: &Path,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<SocketAddr, Report> {
    let (mut document, mut report) = open(path, Document::parse)?;
    document.overlay(PREFIX, vars);
    let raw: Option<RawConfig> = document.read(&mut report);
    let mut parser = Parser::new(&document, folder_of(path), &mut report);
    let admin = raw.map(|raw| parser.admin(&raw.admin));
    match admin {
        Some(admin) if report.is_empty() => Ok(admin),
        _ => Err(report),
    }
}

/// The config that a document holds. `folder` is where relative paths begin. Without mistakes in
/// the report there is one.
pub fn config(document: &Document, folder: &Path, report: &mut Report) -> Option<Config> {
    let raw: RawConfig = document.read(report)?;
    let mut parser = Parser::new(document, folder, report);
    let config = parser.config(raw);
    let files = std::mem::take(&mut parser.files);
    let config = config.map(|config| Config { files, ..config });
    config.filter(|_| report.is_empty())
}

/// A vendor's description: a built-in one by its name, or a file by its path.
///
/// # Errors
/// Every mistake in it.
pub fn vendor(name_or_path: &str) -> Result<Description, Report> {
    let (document, mut report) = match built_in(name_or_path) {
        Some(text) => Document::parse_public(format!("built-in:{name_or_path}"), text),
        None => open(Path::new(name_or_path), Document::parse_public)?,
    };
    if !report.is_empty() {
        return Err(report);
    }
    match Description::read(&document, &mut report) {
        Some(description) => Ok(description),
        None => Err(report),
    }
}

fn open(
    path: &Path,
    parse: fn(String, String) -> (Document, Report),
) -> Result<(Document, Report), Report> {
    let name = path.display().to_string();
    std::fs::read_to_string(path).map(|text| parse(name.clone(), text)).map_err(|error| {
        let (nothing, mut report) = Document::parse(name, "");
        report.push(nothing.mistake(&[], format!("the file cannot be read: {error}")));
        report
    })
}

/// The names of the descriptions that come with the program.
pub fn built_in_names() -> Vec<String> {
    let name_in = |text| {
        let (document, mut report) = Document::parse_public("built-in", text);
        Description::read(&document, &mut report).map(|description| description.name)
    };
    DESCRIPTIONS.into_iter().filter_map(name_in).collect()
}

/// Whether this means a file, and not a name that might be misspelt.
pub fn looks_like_path(vendor: &str) -> bool {
    vendor.contains('/') || vendor.ends_with(".toml")
}

fn built_in(name: &str) -> Option<&'static str> {
    DESCRIPTIONS.into_iter().find(|text| {
        let named = format!("\nname = \"{name}\"\n");
        text.contains(&named)
    })
}

struct Parser<'a> {
    document: &'a Document,
    folder: &'a Path,
    report: &'a mut Report,
    warnings: Vec<String>,
    /// What is read.
    files: Vec<PathBuf>,
}

impl<'a> Parser<'a> {
    fn new(document: &'a Document, folder: &'a Path, report: &'a mut Report) -> Self {
        Self { document, folder, report, warnings: Vec::new(), files: Vec::new() }
    }
}

impl Parser<'_> {
    fn config(&mut self, raw: RawConfig) -> Option<Config> {
        let admin = self.admin(&raw.admin);
        let clients = raw.clients.as_ref();
        let callers_tls = clients.and_then(|clients| self.callers_tls(clients));
        let gateway = raw.gateway.and_then(|gateway| {
            if gateway.listen.is_none() {
                self.note(&["gateway"], "`gateway.listen` is missing");
            }
            let RawGateway { listen: address, allow_remote, socket } = gateway;
            self.listener(Written { table: &["gateway"], address, allow_remote, socket }, clients)
        });
        if raw.upstream.is_empty() {
            self.note(&[], "there is no upstream: add a table `[upstream.NAME]`");
        }
        let core_dumps = raw.core_dumps.unwrap_or_default();
        if core_dumps {
            let warning = "`core_dumps` permits core dumps, which hold tokens and credentials";
            self.warnings.push(warning.to_owned());
        }
        let log = self.log(raw.log);
        let traces = raw.traces.and_then(|traces| self.traces(traces));
        let store = self.store(raw.store);
        let names: Vec<String> = raw.upstream.keys().cloned().collect();
        let has_gateway = gateway.is_some();
        let upstreams: Vec<_> = raw
            .upstream
            .into_iter()
            .filter_map(|(name, raw)| self.upstream(&name, raw, has_gateway, clients))
            .collect();
        let clients = self.clients(raw.clients, &names, &upstreams);
        let mut taken = vec![("admin.listen".to_owned(), Listen::Tcp(admin))];
        let shared = gateway.iter().map(|gateway| gateway.address.clone());
        taken.extend(shared.map(|address| ("gateway.listen".to_owned(), address)));
        for upstream in &upstreams {
            let Some(ListenConfig { address: listen, .. }) = &upstream.listen else {
                continue;
            };
            let key = format!("upstream.{}.listen", upstream.name);
            self.refuse_twice(&upstream.name, listen, &taken);
            taken.push((key, listen.clone()));
        }

        Some(Config {
            admin,
            admin_hosts: self.hosts(&["admin"], raw.admin.allowed_hosts.as_deref()),
            gateway,
            clients,
            callers_tls,
            limits: self.limits(&raw.limits),
            store: store?,
            workers: raw.workers.map(|count| usize::from(count.get())),
            log,
            traces,
            shutdown: self.shutdown(&raw.shutdown),
            upstreams,
            core_dumps,
            files: Vec::new(),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    fn admin(&mut self, raw: &RawAdmin) -> SocketAddr {
        let usual = SocketAddr::from(ADMIN);
        let Some(listen) = &raw.listen else { return usual };
        let Listen::Tcp(address) = listen else {
            self.note(&["admin", "listen"], "the admin address is `host:port`");
            return usual;
        };
        if !listen.is_local() && raw.allow_remote != Some(true) {
            self.note(
                &["admin", "listen"],
                "other machines can reach this address: say `admin.allow_remote = true` if they may",
            );
        }
        *address
    }

    /// The names of `allowed_hosts` in a table.
    fn hosts(&mut self, table: &[&str], raw: Option<&[String]>) -> Hosts {
        let mut hosts = Hosts::default();
        for (index, text) in raw.unwrap_or_default().iter().enumerate() {
            match text.parse() {
                Ok(host) => hosts.extend([host]),
                Err(error) => {
                    let index = index.to_string();
                    let path = [table, &["allowed_hosts", index.as_str()]].concat();
                    let mistake = self.document.mistake(&path, BadHost::to_string(&error));
                    let mistake =
                        mistake.expected("expected a name or an address, as callers write it");
                    self.report.push(mistake.help(
                        "\"tokenward.internal\", \"10.0.0.5\", \"[fd00::5]\", or with one port \"web:8080\"",
                    ));
                }
            }
        }
        hosts
    }

    fn limits(&mut self, raw: &RawLimits) -> CallerLimits {
        for (key, span) in [("head", raw.head), ("keep_alive", raw.keep_alive), ("idle", raw.idle)]
        {
            if span.is_some_and(|span| Duration::from(span).is_zero()) {
                let problem = format!("`limits.{key}` must be more than nothing");
                self.note(&["limits", key], problem);
            }
        }
        let bytes = |size: Option<Size>, usual| size.map_or(usual, |size| size.as_len());
        let target_bytes = bytes(raw.target_bytes, TARGET_BYTES);
        if !(1..=LONGEST_TARGET).contains(&target_bytes) {
            let problem = format!("`limits.target_bytes` is between 1 and {LONGEST_TARGET}");
            self.note(&["limits", "target_bytes"], problem);
        }
        let request = framing::Limits {
            target_bytes,
            header_bytes: bytes(raw.header_bytes, HEADER_BYTES),
            headers: raw.headers.map_or(HEADERS, |count| usize::from(count.get())),
            head: raw.head.map_or(HEAD, Duration::from),
            keep_alive: raw.keep_alive.map_or(KEEP_ALIVE, Duration::from),
            idle: raw.idle.map_or(IDLE, Duration::from),
        };
        let connections = raw.connections.map_or(CONNECTIONS, |count| count.get() as usize);
        CallerLimits { connections, request }
    }

    fn shutdown(&mut self, raw: &RawShutdown) -> ShutdownConfig {
        let minimum = raw.minimum.map_or(Duration::ZERO, Duration::from);
        let grace = raw.grace.map_or(GRACE, Duration::from);
        if minimum >= grace && !minimum.is_zero() {
            let grace = humantime::format_duration(grace);
            let problem = format!("nothing would be left of `shutdown.grace`, which is {grace}");
            let mistake = self.document.mistake(&["shutdown", "minimum"], problem);
            let mistake = mistake.expected("expected less than `shutdown.grace`");
            self.report.push(mistake.help("both count from the signal"));
        }
        ShutdownConfig { minimum, grace }
    }

    fn refuse_twice(&mut self, upstream: &str, listen: &Listen, taken: &[(String, Listen)]) {
        let any_port = matches!(listen, Listen::Tcp(address) if address.port() == 0);
        if let Some((key, _)) = taken.iter().find(|(_, other)| other == listen && !any_port) {
            let problem = format!("{key} has this address already");
            self.note(&["upstream", upstream, "listen"], problem);
        }
    }

    /// The secret that the key at `path` gives or names. From then on it is looked for in the log.
    fn secret(&mut self, path: &[&str], source: &SecretSource) -> Option<Secret> {
        let secret = self.resolve(path, source, |text| Secret::new(text))?;
        if !secret.is_looked_for() {
            let key = path.join(".");
            self.warnings.push(format!(
                "`{key}` is shorter than {SHORTEST_LISTED} bytes: the log filter does not look for it"
            ));
        }
        Some(secret)
    }

    /// The same of what only names an account: it may stand in the log.
    fn identifier(&mut self, path: &[&str], source: &SecretSource) -> Option<Secret> {
        self.resolve(path, source, |text| Secret::identifier(text))
    }

    fn resolve(
        &mut self,
        path: &[&str],
        source: &SecretSource,
        make: fn(&str) -> Secret,
    ) -> Option<Secret> {
        if let SecretSource::File(file) = source {
            self.files.push(self.folder.join(file));
        }
        match source.resolve(self.folder, |name| std::env::var_os(name), make) {
            Ok(found) => {
                if let Some(file) = found.readable_by_others {
                    let file = file.display();
                    self.warnings.push(format!("{file} can be read by others: chmod 600 {file}"));
                }
                Some(found.secret)
            }
            Err(error) => {
                self.note(path, error.to_string());
                None
            }
        }
    }

    fn note(&mut self, path: &[&str], message: impl Into<String>) {
        self.report.push(self.document.mistake(path, message));
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Bytes of an answer, decoded, that a look may read by default.
pub const LOOK_LIMIT: usize = 64 * 1024;
/// Environment variables that stand for keys of the config.
const PREFIX: &str = "TOKENWARD__";
/// Where the admin address is by default.
pub const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 9464);
const CONNECTIONS: usize = 10_000;
const TARGET_BYTES: usize = 16 << 10;
/// What the HTTP library can hold.
const LONGEST_TARGET: usize = 65_534;
const HEADER_BYTES: usize = 64 << 10;
const HEADERS: usize = 100;
const HEAD: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const IDLE: Duration = Duration::from_secs(90);
/// Kubernetes kills after 30 s, and what comes after the drain takes a while too.
pub const GRACE: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests;
