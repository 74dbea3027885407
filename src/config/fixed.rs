//! What stands for the life of a process: only a restart changes it.

use std::net::SocketAddr;

use crate::document::{Document, Report};
use crate::telemetry::log::Format;
use crate::telemetry::traces;

use super::{Config, StoreConfig, StorePlace};

/// The part of a config that a running gateway cannot take another of.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    admin: SocketAddr,
    store: StoreConfig,
    workers: Option<usize>,
    log_format: Format,
    traces: Option<traces::Config>,
    core_dumps: bool,
}

impl Fixed {
    pub fn of(config: &Config) -> Self {
        let Config { admin, store, workers, log, traces, core_dumps, .. } = config;
        let (admin, workers, core_dumps) = (*admin, *workers, *core_dumps);
        let traces = traces.clone();
        Self { admin, store: store.clone(), workers, log_format: log.format, traces, core_dumps }
    }

    /// Every key in which the wanted config differs, as a mistake in its place.
    pub fn report(&self, wanted: &Self, document: &Document) -> Report {
        let mut report = Report::default();
        for key in self.differs_from(wanted) {
            let problem = format!("`{}` needs a restart to change", key.join("."));
            let mistake = document.mistake(key, problem);
            report.push(mistake.help("restart the gateway, or put back what it was started with"));
        }
        report
    }

    fn differs_from(&self, wanted: &Self) -> Vec<&'static [&'static str]> {
        let mut keys: Vec<&'static [&'static str]> = Vec::new();
        let looked_at: [(&'static [&'static str], bool); 7] = [
            (&["workers"], self.workers != wanted.workers),
            (&["core_dumps"], self.core_dumps != wanted.core_dumps),
            (&["log", "format"], self.log_format != wanted.log_format),
            (&["traces"], self.traces != wanted.traces),
            (&["admin", "listen"], self.admin != wanted.admin),
            (&["store", "encryption_key"], self.store.keys != wanted.store.keys),
            (&["store", "lease"], self.store.lease != wanted.store.lease),
        ];
        for (key, differs) in looked_at {
            keys.extend(differs.then_some(key));
        }
        keys.extend(place_differs(&self.store.place, &wanted.store.place));
        keys
    }
}

fn place_differs(now: &StorePlace, wanted: &StorePlace) -> Option<&'static [&'static str]> {
    match (now, wanted) {
        (now, wanted) if now == wanted => None,
        (StorePlace::File { path, .. }, StorePlace::File { path: other, .. }) => {
            Some(if path == other { &["store", "share"] } else { &["store", "path"] })
        }
        (StorePlace::Redis { redis, .. }, StorePlace::Redis { redis: other, .. }) => {
            Some(match redis.password == other.password {
                false => &["store", "password"],
                true if redis == other => &["store", "tls"],
                true => &["store"],
            })
        }
        (StorePlace::Kubernetes { .. }, StorePlace::Kubernetes { .. }) => Some(&["store"]),
        _ => Some(&["store", "kind"]),
    }
}
