//! Where callers may come in, and how: other machines, Unix sockets, TLS.

mod accounts;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::causes::causes;
use crate::config::raw::{RawClients, RawClientsTls, RawSocket};
use crate::config::{ListenConfig, SocketConfig};
use crate::proxy::tls;
use crate::units::{FileMode, Listen, is_read_by_others};

use super::Parser;

/// One listener as it is written. `table` is where its keys are.
pub(super) struct Written<'a> {
    pub(super) table: &'a [&'a str],
    pub(super) address: Option<Listen>,
    pub(super) allow_remote: Option<bool>,
    pub(super) socket: RawSocket,
}

impl Parser<'_> {
    pub(super) fn listener(
        &mut self,
        written: Written<'_>,
        clients: Option<&RawClients>,
    ) -> Option<ListenConfig> {
        let Written { table, address, allow_remote, socket } = written;
        let is_unix = matches!(address, Some(Listen::Unix(_)));
        let socket = self.socket(table, socket, is_unix);
        let address = address?;
        if !address.is_local() {
            self.remote(table, &address, allow_remote, clients);
        }
        Some(ListenConfig { address, socket })
    }

    /// Other machines may call when the operator says so, and says who.
    fn remote(
        &mut self,
        table: &[&str],
        address: &Listen,
        allow_remote: Option<bool>,
        clients: Option<&RawClients>,
    ) {
        let names_callers = clients.is_some_and(|clients| clients.file.is_some());
        let is_allowed = allow_remote == Some(true);
        let path = [table, &["listen"]].concat();
        let table = table.join(".");
        let (problem, help) = match (is_allowed, names_callers) {
            (true, true) => {
                if clients.is_some_and(|clients| clients.tls.cert.is_none()) {
                    self.warnings.push(format!(
                        "{table}.listen: keys and answers cross the network in plain text; give \
                         `clients.tls.cert` and `clients.tls.key`, or see that nobody listens \
                         between callers and {address}"
                    ));
                }
                return;
            }
            (true, false) => (
                "other machines can reach this address, and nothing says who of them may call",
                "name them in a file, by `file = \"clients.toml\"` in a table `[clients]`"
                    .to_owned(),
            ),
            (false, true) => (
                "other machines can reach this address",
                format!("say `{table}.allow_remote = true` if they may"),
            ),
            (false, false) => (
                "other machines can reach this address",
                format!(
                    "if they may, say `{table}.allow_remote = true`, and in a table `[clients]` by \
                     `file = \"clients.toml\"` who of them; if not, listen on 127.0.0.1, [::1] or \
                     unix:/path"
                ),
            ),
        };
        self.report.push(self.document.mistake(&path, problem).help(help));
    }

    fn socket(&mut self, table: &[&str], raw: RawSocket, is_unix: bool) -> SocketConfig {
        let path = [table, &["socket"]].concat();
        if !is_unix && self.document.has(&path) {
            self.note(&path, "only a `unix:` address has a socket with a mode and an owner");
        }
        let mode = raw.mode.unwrap_or(FileMode::PRIVATE);
        if mode.is_open() && is_unix {
            let table = table.join(".");
            self.warnings.push(format!(
                "{table}.socket: with the mode {mode} every user of this machine who reaches the \
                 path may call, and is asked for no key"
            ));
        }
        let owner = raw.owner.and_then(|name| {
            let path = [&path[..], &["owner"]].concat();
            self.account(&path, "user", Path::new(accounts::USERS), &name)
        });
        let group = raw.group.and_then(|name| {
            let path = [&path[..], &["group"]].concat();
            self.account(&path, "group", Path::new(accounts::GROUPS), &name)
        });
        SocketConfig { mode, owner, group }
    }

    fn account(&mut self, path: &[&str], kind: &str, list: &Path, name: &str) -> Option<u32> {
        match accounts::number(list, name) {
            Ok(Some(number)) => return Some(number),
            Ok(None) => {
                let problem = format!("there is no {kind} of this name in {}", list.display());
                let help = "other directories (LDAP, systemd) are not asked: give the number";
                self.report.push(self.document.mistake(path, problem).help(help));
            }
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", list.display());
                let help = format!("give the number of the {kind}");
                self.report.push(self.document.mistake(path, problem).help(help));
            }
        }
        None
    }

    /// TLS that callers speak. Files are tried now, so that a wrong one is a mistake of the config and
    /// shown in it.
    pub(super) fn callers_tls(&mut self, raw: &RawClients) -> Option<tls::Config> {
        const TABLE: [&str; 2] = ["clients", "tls"];
        let RawClientsTls { cert, key, client_ca, client_crl } = &raw.tls;
        let in_folder = |path: &PathBuf| self.folder.join(path);
        let own = cert.as_ref().map(in_folder).zip(key.as_ref().map(in_folder));
        let (ca, crl) = (client_ca.as_ref().map(in_folder), client_crl.as_ref().map(in_folder));
        if cert.is_some() != key.is_some() {
            self.note(&TABLE, "a server needs both `cert` and `key`");
        } else if own.is_none() && (ca.is_some() || crl.is_some()) {
            let problem = "callers show certificates within TLS, which needs `cert` and `key`";
            self.note(&TABLE, problem);
        }
        if ca.is_none() && crl.is_some() {
            self.note(&["clients", "tls", "client_crl"], "this needs `client_ca` beside it");
        }
        let (cert, key) = own?;
        let config = tls::Config { cert, key, client_ca: ca, client_crl: crl };
        match config.read() {
            Ok(_) => self.warn_if_others_read(&config.key),
            Err(error) => {
                self.files.extend(config.files());
                self.note(&["clients", "tls", error.key()], causes(&error));
            }
        }
        Some(config)
    }

    fn warn_if_others_read(&mut self, key: &Path) {
        if key.metadata().is_ok_and(|file| is_read_by_others(&file)) {
            let file = key.display();
            self.warnings.push(format!("{file} can be read by others: chmod 600 {file}"));
        }
    }
}
