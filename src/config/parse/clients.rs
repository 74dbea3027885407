//! Who may call: where the list of clients is.

use crate::config::clients::{ClientsFile, KnownUpstream, Listed};
use crate::config::raw::RawClients;
use crate::config::{ClientsConfig, UpstreamConfig};

use super::Parser;

impl Parser<'_> {
    /// Reads the list, so that its mistakes are told with all others. `names` are those of all
    /// upstreams, with mistakes or without.
    pub(super) fn clients(
        &mut self,
        raw: Option<RawClients>,
        names: &[String],
        upstreams: &[UpstreamConfig],
    ) -> Option<ClientsConfig> {
        let raw = raw?;
        let Some(file) = raw.file else {
            let help = "clients.file = \"clients.toml\"; without `[clients]`, nobody is asked";
            let problem = "`clients.file` is missing: it says who may call";
            let mistake = self.document.mistake(&["clients"], problem);
            self.report.push(mistake.help(help));
            return None;
        };
        if names.len() != upstreams.len() {
            // What the list says of an upstream cannot be judged before that is right.
            return None;
        }
        let known = upstreams.iter().map(|upstream| KnownUpstream {
            name: upstream.name.clone(),
            vendor: upstream.vendor.clone(),
            base: upstream.base_url.prefix().to_owned(),
        });
        let file = ClientsFile { path: self.folder.join(file), upstreams: known.collect() };
        let Listed { clients, files, warnings } = file.read();
        self.warnings.extend(warnings);
        match clients {
            Ok(clients) => Some(ClientsConfig { file, clients, files }),
            Err(report) => {
                self.files.extend(files);
                self.report.merge(report);
                None
            }
        }
    }
}
