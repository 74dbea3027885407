//! Reads the config again when somebody asks for it or one of its files has changed: all of it is taken
//! over, or nothing.

use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::admin::{Asked, NotReloaded};
use crate::causes::causes;
use crate::config::Config;
use crate::config::fixed::Fixed;
use crate::config::parse::Unread;
use crate::document::{Document, Report};
use crate::secret::live;
use crate::telemetry::metrics::Reread;

use super::StartError;
use super::gear::{Gear, Plan};
use super::service::Service;
use super::sockets::Handed;
use super::watch::Watch;

/// Reads the config as it was read at start.
pub type Reader = Box<dyn Fn() -> Result<(Config, Document), Unread> + Send>;

/// The one that changes what runs.
pub(super) struct Reloader {
    pub(super) gear: Gear,
    /// `None`: there is no file. Those of the clients and of callers' TLS are followed all the same.
    pub(super) again: Option<Reader>,
    pub(super) watch: Watch,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) service: Service,
    /// Told of a refresher that has ended though nobody told it to.
    pub(super) failures: mpsc::Sender<JoinError>,
    /// The config as it is now was refused.
    pub(super) is_refused: bool,
}

impl Reloader {
    /// Until `stop`; then what runs is given back, to be taken apart.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Gear {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.gear,
                Some(ended) = self.gear.refreshers.join_next() => if let Err(error) = ended {
                    // One is enough to end the process.
                    let _ = self.failures.try_send(error);
                },
                Some(asked) = self.asked.recv() => {
                    let ended = self.reload().await;
                    // Whoever has asked may have gone.
                    let _ = asked.map(|asked| asked.send(ended));
                }
                changed = self.watch.changed() => self.take_over(&changed).await,
            }
        }
    }

    /// Files have another content.
    async fn take_over(&mut self, changed: &[PathBuf]) {
        let of_callers = self.gear.files_of_callers();
        let others = changed.iter().any(|file| !of_callers.contains(file));
        if self.again.is_some() && (others || self.is_refused) {
            // A config that waits to be mended is no reason to show a certificate that has ended.
            let is_in_force = self.reload().await.is_ok();
            if is_in_force || others {
                return;
            }
        }
        let Gear { tls, clients, .. } = &self.gear;
        let is_of = |files: &[PathBuf]| changed.iter().any(|file| files.contains(file));
        let of_tls = tls.as_ref().is_some_and(|tls| is_of(&tls.files()));
        let of_clients = clients.as_ref().is_some_and(|list| is_of(&list.files));
        if let Some(tls) = tls.as_ref().filter(|_| of_tls) {
            self.tell(Reread::CallersTls, "callers' TLS (clients.tls)", tls.reread());
        }
        if of_clients {
            let reread = self.reread_clients().await;
            self.tell(Reread::Clients, "the list of clients", reread);
        }
    }

    async fn reread_clients(&mut self) -> Result<(), String> {
        loop {
            let Gear { clients, shared, .. } = &mut self.gear;
            let Some(list) = clients else { return Ok(()) };
            let before = list.files.clone();
            let reread = list.reread(&shared.metrics);
            if list.files == before {
                return reread;
            }
            // Those that are new among them may have changed before they were looked at.
            let others = self.watch.files().iter().filter(|file| !before.contains(file)).cloned();
            let files = others.chain(list.files.clone()).collect();
            self.watch = Watch::new(files).await;
        }
    }

    fn tell(&self, what: Reread, named: &'static str, outcome: Result<(), String>) {
        self.gear.shared.metrics.reloads().ended(what, outcome.is_ok());
        match outcome {
            Ok(()) => info!("{named} changed, and was taken over"),
            Err(reason) => {
                error!(reason, "{named} changed, and cannot be used: what was read before goes on")
            }
        }
    }

    async fn reload(&mut self) -> Result<(), NotReloaded> {
        if self.again.is_none() {
            return Err(NotReloaded::NoFile);
        }
        self.service.reloading().await;
        let outcome = self.read_again().await;
        self.service.reloaded(outcome.is_err()).await;
        outcome
    }

    async fn read_again(&mut self) -> Result<(), NotReloaded> {
        // What is wrong may be told when the config that it comes from has gone.
        let _hold = live::hold();
        self.watch.take_note().await;
        let mut planned = self.plan();
        for _ in 0..MOST_READINGS {
            if planned.0 == self.watch.files() {
                break;
            }
            // Those that are new among them may have changed before they were looked at. What was
            // bound is let go first.
            let files = std::mem::take(&mut planned.0);
            drop(planned);
            self.watch = Watch::new(files).await;
            planned = self.plan();
        }
        let outcome = match planned.1 {
            Ok(plan) => {
                self.gear.publish(*plan).await;
                info!("the config was read again, and is in force");
                Ok(())
            }
            Err(reason) => {
                error!(reason, "the config cannot be used: what was read before goes on");
                Err(NotReloaded::Refused(reason))
            }
        };
        self.is_refused = outcome.is_err();
        self.gear.shared.metrics.reloads().ended(Reread::Config, outcome.is_ok());
        outcome
    }

    /// What the config now says, with everything that it needs, or what is wrong with it; and the files
    /// that this depends on.
    fn plan(&self) -> (Vec<PathBuf>, Result<Box<Plan>, String>) {
        let Some(again) = &self.again else { return (Vec::new(), Err(String::new())) };
        match again() {
            Err(Unread { report, files }) => {
                let files = in_order(files.into_iter().chain(self.gear.files_of_callers()));
                (files, Err(report.to_string()))
            }
            Ok((config, document)) => {
                let files = files_of(&config);
                let planned = self.plan_of(config, &document);
                (files, planned.map(Box::new).map_err(|report| report.to_string()))
            }
        }
    }

    fn plan_of(&self, config: Config, document: &Document) -> Result<Plan, Report> {
        self.gear.fixed.report(&Fixed::of(&config), document).into_result()?;
        self.gear.plan(config, &mut Handed::default()).map_err(|error| placed(&error, document))
    }
}

/// All files that a config depends on.
pub(super) fn files_of(config: &Config) -> Vec<PathBuf> {
    let clients = config.clients.iter().flat_map(|clients| clients.files.clone());
    let tls = config.callers_tls.iter().flat_map(|tls| tls.files());
    in_order(config.files.iter().cloned().chain(clients).chain(tls))
}

fn in_order(files: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut files: Vec<_> = files.collect();
    files.sort();
    files.dedup();
    files
}

/// What a start would have failed with, shown at what it comes from.
fn placed(error: &StartError, document: &Document) -> Report {
    let path: Vec<&str> = match error {
        StartError::Bind(error) => error.path(),
        StartError::Tls { upstream, source } => {
            vec!["upstream", upstream.as_str(), "tls", source.key()]
        }
        StartError::Host { upstream, .. } => vec!["upstream", upstream.as_str(), "base_url"],
        StartError::Provider { upstream, .. } => vec!["upstream", upstream.as_str()],
        StartError::CallersTls(error) => vec!["clients", "tls", error.key()],
        _ => Vec::new(),
    };
    let mut report = Report::default();
    report.push(document.mistake(&path, causes(error)));
    report
}

/// A file may name another that names a third while they are read.
const MOST_READINGS: usize = 4;
