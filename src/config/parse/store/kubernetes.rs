//! The keys of a kubernetes store. What is left out is found where a pod has it.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::StorePlace;
use crate::config::parse::Parser;
use crate::config::raw::RawStore;
use crate::token::store::kubernetes::Config;
use crate::units::{BaseUrl, Scheme};
use crate::upstream::tls;

impl Parser<'_> {
    pub(super) fn kubernetes_store(&mut self, raw: &RawStore) -> Option<StorePlace> {
        let folder = raw.service_account.as_ref().map(|folder| self.folder.join(folder));
        let account = folder.clone().unwrap_or_else(|| PathBuf::from(SERVICE_ACCOUNT));
        let server = self.api_server(raw);
        let namespace = self.namespace(raw.namespace.as_deref(), &account);
        let secret = raw.secret.clone().unwrap_or_else(|| SECRET.to_owned());
        if !is_name(&secret, LONGEST_SECRET, true) {
            let mistake =
                self.document.mistake(&["store", "secret"], "no Secret can have this name");
            let expected = "expected lower-case letters, digits, `-` and `.`, such as \
                            \"tokenward-tokens\"";
            self.report.push(mistake.expected(expected));
            return None;
        }
        let mut tls = self.store_tls(&raw.tls).unwrap_or_default();
        let server = server?;
        if tls.ca_file.is_none() && server.scheme() == Scheme::Https {
            tls.ca_file = self.ca_of(&account);
        }
        let has_certificate = tls.client_cert.is_some();
        let token_file = self.token_file(&account, folder.is_some(), &server, has_certificate);
        let kubernetes = Config { server, namespace: namespace?, secret, token_file };
        Some(StorePlace::Kubernetes { kubernetes, tls })
    }

    fn api_server(&mut self, raw: &RawStore) -> Option<BaseUrl> {
        let path = ["store", "url"];
        let Some(source) = &raw.url else { return self.own_cluster() };
        let url = self.identifier(&["store", "url"], source)?;
        let server: BaseUrl = match url.expose().parse() {
            Ok(server) => server,
            Err(error) => {
                self.note(&path, error.to_string());
                return None;
            }
        };
        if server.scheme() == Scheme::Http && !is_this_machine(server.host()) {
            let mistake = self.document.mistake(&path, "without TLS others could read the tokens");
            let help =
                "begin with https://, or give a proxy on this machine: http://127.0.0.1:8001";
            self.report.push(mistake.help(help));
        }
        Some(server)
    }

    /// What every pod is told of its cluster.
    fn own_cluster(&mut self) -> Option<BaseUrl> {
        let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let port = || text("KUBERNETES_SERVICE_PORT_HTTPS").or(text("KUBERNETES_SERVICE_PORT"));
        let server = text("KUBERNETES_SERVICE_HOST").zip(port());
        let server = server.and_then(|(host, port)| server_of(&host, &port));
        if server.is_none() {
            let problem = "this is no pod (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name \
                           no server), and `store.url` is missing";
            let mistake = self.document.mistake(&["store", "kind"], problem);
            self.report.push(mistake.help("url = \"https://10.96.0.1\""));
        }
        server
    }

    fn namespace(&mut self, given: Option<&str>, account: &Path) -> Option<String> {
        let (namespace, path) = match given {
            Some(namespace) => (namespace.to_owned(), &["store", "namespace"][..]),
            None => {
                let file = account.join("namespace");
                let Ok(text) = std::fs::read_to_string(&file) else {
                    let file = file.display();
                    let problem = format!("`store.namespace` is missing, and there is no {file}");
                    self.note(&["store"], problem);
                    return None;
                };
                (text.trim().to_owned(), &["store", "service_account"][..])
            }
        };
        if !is_name(&namespace, LONGEST_NAMESPACE, false) {
            let mistake = self.document.mistake(path, "no namespace can have this name");
            let expected = "expected at most 63 lower-case letters, digits and `-`";
            self.report.push(mistake.expected(expected));
            return None;
        }
        Some(namespace)
    }

    /// The cluster's own authority, where there is one.
    fn ca_of(&mut self, account: &Path) -> Option<PathBuf> {
        let file = Some(account.join("ca.crt")).filter(|file| file.exists());
        let config = tls::Config { ca_file: file.clone(), ..tls::Config::default() };
        if let Err(error) = tls::check(&config) {
            self.note(&["store", "service_account"], crate::causes::causes(&error));
        }
        file
    }

    /// A token is not sent to a proxy on this machine, which has its own, unless a service account
    /// is named; and whoever has a certificate may have no token.
    fn token_file(
        &mut self,
        account: &Path,
        is_named: bool,
        server: &BaseUrl,
        has_certificate: bool,
    ) -> Option<PathBuf> {
        let optional = has_certificate || server.scheme() == Scheme::Http;
        let file = account.join("token");
        match std::fs::File::open(&file) {
            _ if optional && !is_named => return None,
            Ok(_) => {}
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::NotFound => "there is none".to_owned(),
                    _ => error.to_string(),
                };
                let problem = format!("no service account's token in {}: {why}", file.display());
                let key = if is_named { "service_account" } else { "kind" };
                let mistake = self.document.mistake(&["store", key], problem);
                let help = "does the pod have `automountServiceAccountToken: false`? outside a \
                            cluster, `store.service_account` names a folder with `token` and `ca.crt`";
                self.report.push(mistake.help(help));
            }
        }
        Some(file)
    }
}

fn server_of(host: &str, port: &str) -> Option<BaseUrl> {
    let port: u16 = port.parse().ok()?;
    let bare = host.trim_matches(['[', ']']);
    let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
    format!("https://{host}:{port}").parse().ok()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A name as the API has it for Secrets (`dots`) and namespaces.
fn is_name(name: &str, longest: usize, dots: bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let part = |part: &str| {
        let ends = !part.starts_with('-') && !part.ends_with('-');
        !part.is_empty() && ends && part.bytes().all(fits)
    };
    name.len() <= longest && if dots { name.split('.').all(part) } else { part(name) }
}

/// Where the kubelet puts a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const SECRET: &str = "tokenward-tokens";
const LONGEST_SECRET: usize = 253;
const LONGEST_NAMESPACE: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p17_a_pods_own_server_is_found_by_address_too() {
        for (host, port, expected) in [
            ("10.96.0.1", "443", "https://10.96.0.1"),
            ("fd00::1", "6443", "https://[fd00::1]:6443"),
            ("[fd00::1]", "443", "https://[fd00::1]"),
            ("kubernetes.default.svc", "443", "https://kubernetes.default.svc"),
        ] {
            let server = server_of(host, port).expect("a server");
            assert_eq!(server.to_string(), expected);
        }
        assert!(server_of("10.96.0.1", "https").is_none() && server_of("", "443").is_none());
    }

    #[test]
    fn p32_names_are_those_that_the_api_takes() {
        for name in ["tokenward-tokens", "a", "a.b-c.1"] {
            assert!(is_name(name, LONGEST_SECRET, true), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", "-a", "a-", "A", "a_b", "a/b", "../x", "a.b", "a b", &long] {
            assert!(!is_name(name, LONGEST_NAMESPACE, false), "{name}");
        }
        assert!(!is_name("a..b", LONGEST_SECRET, true) && !is_name("a.-b", LONGEST_SECRET, true));
    }
}
