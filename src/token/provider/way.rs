//! The way to a token endpoint, and what is said when it leads nowhere.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use crate::causes::network::{ADVICE, Peer, explain, find_io};
use crate::causes::{causes, find, tls};

use super::super::wire::Denied;
use super::Config;

#[derive(Debug)]
pub(super) struct Way {
    peer: Peer,
    connect_timeout: Duration,
    timeout: Duration,
}

/// Whatever name is asked for, the answer is where this host is.
#[derive(Debug)]
struct LeadTo(String);

#[derive(Debug, thiserror::Error)]
#[error("the name {host} cannot be resolved; is `base_url` right, and does DNS work here?")]
struct Unresolved {
    host: String,
    #[source]
    source: io::Error,
}

// === impl Way ===

impl Way {
    pub(super) fn new(config: &Config) -> Self {
        let url = Url::parse(&config.base_url).ok();
        let name = url.as_ref().and_then(Url::host_str).unwrap_or(&config.host).to_owned();
        let peer = Peer { name, host: config.host.clone(), port: config.port };
        Self { peer, connect_timeout: config.connect_timeout, timeout: config.timeout }
    }

    pub(super) fn resolver(&self) -> Arc<impl Resolve + 'static> {
        Arc::new(LeadTo(self.peer.host.clone()))
    }

    /// A failure of the network, without the URL: credentials may stand in its query.
    pub(super) fn failed(&self, error: reqwest::Error) -> Denied {
        let error = error.without_url();
        let not_sent = error.is_connect() || error.is_builder() || tls::turned_down(&error);
        let text = format!("the token endpoint cannot be reached: {}", self.explain(&error));
        if not_sent { Denied::NotSent(text) } else { Denied::Unreachable(text) }
    }

    fn explain(&self, error: &reqwest::Error) -> String {
        let peer = &self.peer;
        let of_tls = || tls::explain(error).map(|reason| format!("no TLS with {peer}: {reason}"));
        if tls::turned_down(error) {
            return of_tls().unwrap_or_else(|| causes(error));
        }
        if !error.is_connect() {
            return match error.is_timeout() {
                true => format!("{peer} gave no answer within {}", format_duration(self.timeout)),
                false => causes(error),
            };
        }
        if let Some(error) = find::<Unresolved>(error) {
            return causes(error);
        }
        if let Some(text) = of_tls() {
            return text;
        }
        match find_io(error) {
            Some(error) => format!("no connection to {peer}: it {}; {ADVICE}", explain(error)),
            None if error.is_timeout() => format!(
                "no connection to {peer} within {}: name, TCP or TLS had no answer; {ADVICE}",
                format_duration(self.connect_timeout.min(self.timeout))
            ),
            None => causes(error),
        }
    }
}

impl Resolve for LeadTo {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // Port 0 stands for that of the URL.
            let found = lookup_host((host.as_str(), 0)).await.map(Iterator::collect::<Vec<_>>);
            let found = found.map_err(|source| Unresolved { host, source })?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
