//! How one upstream's vendor is known and trusted.

use std::path::PathBuf;

use crate::causes::causes;
use crate::config::raw::RawTls;
use crate::units::{BaseUrl, Scheme};
use crate::upstream::tls;

use super::Parser;

impl Parser<'_> {
    /// Whom to trust, and the vendor's URL by the name that its certificate has.
    pub(super) fn tls(
        &mut self,
        upstream: &str,
        raw: RawTls,
        base_url: &BaseUrl,
    ) -> (tls::Config, BaseUrl) {
        let identity = self.identity(upstream, raw.server_name.as_deref(), base_url);
        let in_folder = |path: PathBuf| self.folder.join(path);
        let ca_file = raw.ca_file.map(in_folder);
        let client_cert = raw.client_cert.map(in_folder);
        let client_key = raw.client_key.map(in_folder);
        if client_cert.is_some() != client_key.is_some() {
            let problem = "a client certificate needs both `client_cert` and `client_key`";
            self.note(&["upstream", upstream, "tls"], problem);
        }
        let config = tls::Config {
            ca_file,
            client_cert: client_cert.zip(client_key),
            min_version: raw.min_version.unwrap_or_default(),
        };
        self.files.extend(config.files());
        // Files are tried now, so that a wrong one is a mistake of the config and shown in it.
        if let Err(error) = tls::check(&config) {
            self.note(&["upstream", upstream, "tls", error.key()], causes(&error));
        }
        (config, identity)
    }

    fn identity(&mut self, upstream: &str, name: Option<&str>, base_url: &BaseUrl) -> BaseUrl {
        let plain = base_url.scheme() == Scheme::Http;
        let path = ["upstream", upstream, "tls", "server_name"];
        let identity = match name {
            None => base_url.clone(),
            Some(_) if plain => {
                let problem =
                    "this is the name in the vendor's certificate, and this `base_url` has no TLS";
                self.note(&path, problem);
                return base_url.clone();
            }
            Some(name) => match base_url.called(name) {
                Some(identity) if tls::is_name(identity.host()) => identity,
                _ => {
                    let mistake =
                        self.document.mistake(&path, "no certificate can have such a name");
                    let expected = "expected a name alone, such as \"api.example.com\": no scheme, \
                                    no port, no address, no `*`";
                    self.report.push(mistake.expected(expected));
                    return base_url.clone();
                }
            },
        };
        if !plain && !tls::is_name(identity.host()) {
            let problem = "no certificate can have the name of this host";
            self.note(&["upstream", upstream, "base_url"], problem);
        }
        identity
    }
}
