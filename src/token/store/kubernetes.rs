//! One Secret of a Kubernetes cluster, where replicas on any node meet.
//!
//! A write is a merge patch of the keys of one page that names the version of the Secret that was
//! read: the API refuses it when anything has changed since, and leaves everything else alone.

mod account;
mod api;
mod fault;
mod object;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::units::BaseUrl;

use super::{Backend, Revision, StoreError, Written, Wrote};
pub use api::Verb;
use api::{Api, Change};
pub use fault::ApiError;
pub use object::NoPage;
use object::{Object, key_of};
use watch::News;

/// Where the Secret is, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The API server.
    pub server: BaseUrl,
    pub namespace: String,
    /// The Secret's name. It need not exist yet.
    pub secret: String,
    /// The service account's token; `None`: a client certificate says who we are, or a proxy does.
    pub token_file: Option<PathBuf>,
}

/// The pages of every upstream in one Secret.
#[derive(Debug)]
pub struct KubernetesStore {
    config: Config,
    api: Arc<Api>,
    news: Arc<News>,
    /// Begun when somebody first waits for a change.
    watch: OnceLock<AbortOnDropHandle<()>>,
}

impl KubernetesStore {
    /// The API is not called yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: Config, tls: Arc<ClientConfig>) -> Result<Self, StoreError> {
        let api = Arc::new(Api::new(config.clone(), tls)?);
        Ok(Self { config, api, news: Arc::default(), watch: OnceLock::new() })
    }

    fn page(&self, object: &Object, name: &str) -> Result<Option<Written>, ApiError> {
        let key = key_of(name);
        object.page(&key).map_err(|problem| {
            let Config { namespace, secret, .. } = self.config.clone();
            ApiError::Damaged { namespace, secret, key, problem }
        })
    }
}

impl Backend for KubernetesStore {
    async fn read(&self, name: &str) -> Result<Option<Written>, StoreError> {
        match self.api.get().await? {
            Some(object) => Ok(self.page(&object, name)?),
            None => Ok(None),
        }
    }

    async fn write(&self, name: &str, seen: Revision, next: Written) -> Result<Wrote, StoreError> {
        let key = key_of(name);
        self.news.writing(name, next.revision);
        for times in 1..=MOST_TRIES {
            let object = self.api.get().await?;
            let stored = match &object {
                Some(object) => self.page(object, name)?,
                None => None,
            };
            // The try before this one was carried out, though it did not look so.
            let written = stored.as_ref().is_some_and(|stored| stored.revision == next.revision);
            if !written && !next.may_replace(stored.as_ref(), seen) {
                return Ok(Wrote::Stale(stored));
            }
            let change = match &object {
                _ if written => Change::Done,
                Some(Object { resource_version, .. }) => {
                    self.api.patch(&object::patch(resource_version, &key, &next)).await?
                }
                None => {
                    self.api.create(&object::creation(&self.config.secret, &key, &next)).await?
                }
            };
            if change == Change::Done {
                self.news.wrote(name);
                return Ok(Wrote::Done);
            }
            // Somebody has changed the Secret, but perhaps not this page. Those who collide do not
            // come back together.
            sleep(CONFLICT.mul_f64(fastrand::f64()) * times).await;
        }
        let Config { namespace, secret, .. } = self.config.clone();
        Err(ApiError::Contended { namespace, secret, times: MOST_TRIES }.into())
    }

    async fn changed(&self, name: &str) {
        self.watch.get_or_init(|| {
            let watch = watch::run(self.api.clone(), self.news.clone());
            AbortOnDropHandle::new(tokio::spawn(watch))
        });
        self.news.of(name).await;
    }

    fn poll(&self) -> Duration {
        POLL
    }
}

/// Many gateways may share one Secret, and each beats every third of its lease at most.
const MOST_TRIES: u32 = 10;
const CONFLICT: Duration = Duration::from_millis(20);
/// For a watch that fails, or a Role that does not allow one.
const POLL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
