//! Follows the Secret's changes as the API tells them, and wakes whoever waits for a page's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::causes::causes;

use crate::secret::Buffer;

use super::super::Revision;
use super::api::{Api, LARGEST_ANSWER};
use super::fault::{ApiError, Status};
use super::object::{Object, key_of};

/// What is known of each page's changes.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<BTreeMap<String, Page>>);

#[derive(Debug, Default)]
struct Page {
    /// The last that the watch has shown.
    revision: Option<Revision>,
    /// The last that was written from here: its event may come before the answer to the write.
    own: Option<Revision>,
    /// There is a change that nobody has waited for yet.
    untold: bool,
    told: Arc<Notify>,
}

/// One line of a watch.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Added,
    Modified,
    Deleted,
    /// Nothing has changed up to this version.
    Bookmark,
    Error,
    #[serde(other)]
    Unknown,
}

// === impl News ===

impl News {
    /// Completes when somebody else changes the page, or has since the last time.
    pub(super) async fn of(&self, page: &str) {
        let told = self.pages().entry(page.to_owned()).or_default().told.clone();
        let waiting = told.notified();
        tokio::pin!(waiting);
        // What comes from now on is not missed.
        waiting.as_mut().enable();
        if !self.take(page) {
            waiting.await;
            self.take(page);
        }
    }

    /// A page is about to be written from here.
    pub(super) fn writing(&self, page: &str, revision: Revision) {
        self.pages().entry(page.to_owned()).or_default().own = Some(revision);
    }

    /// It was written: its writer knows, but another upstream may have the same page.
    pub(super) fn wrote(&self, page: &str) {
        self.pages().entry(page.to_owned()).or_default().told.notify_waiters();
    }

    /// The Secret has become this.
    fn became(&self, object: &Object) {
        for (name, page) in self.pages().iter_mut() {
            page.tell(object.revision(&key_of(name)));
        }
    }

    /// The Secret is gone.
    fn vanished(&self) {
        self.pages().values_mut().for_each(|page| page.tell(None));
    }

    fn take(&self, page: &str) -> bool {
        self.pages().get_mut(page).is_some_and(|page| std::mem::take(&mut page.untold))
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<String, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn tell(&mut self, revision: Option<Revision>) {
        if self.revision == revision {
            return;
        }
        self.revision = revision;
        if revision.is_some() && revision == self.own {
            return;
        }
        self.untold = true;
        self.told.notify_waiters();
    }
}

/// Watches for ever. Without a watch pages are still read now and then, so its troubles are told
/// once, and it is tried again ever more rarely.
pub(super) async fn run(api: Arc<Api>, news: Arc<News>) {
    // The version after which the next watch goes on; `None`: it begins with the Secret as it is.
    let mut after = None;
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    let mut well = true;
    loop {
        let began = Instant::now();
        let ended = follow(&api, &news, &mut after, &mut well).await;
        if began.elapsed() >= STEADY {
            backoff.reset();
        }
        match ended {
            // A watch does not last for ever; nothing is lost if the next one goes on from here.
            Ok(()) => {}
            Err(ApiError::Expired) => {
                debug!("the Secret is watched anew: the version to go on from is forgotten");
                after = None;
            }
            Err(error) => {
                if std::mem::take(&mut well) {
                    warn!(server = %api.server(), error = causes(&error),
                        "the Secret is not watched; what others change is found by reading it");
                }
                if !matches!(error, ApiError::Unreachable { .. }) {
                    after = None;
                }
            }
        }
        sleep(backoff.after_failure()).await;
    }
}

/// One watch, to its end.
async fn follow(
    api: &Api,
    news: &News,
    after: &mut Option<String>,
    well: &mut bool,
) -> Result<(), ApiError> {
    let opened = timeout(OPENING, api.watch(after.as_deref(), LIFE)).await;
    let mut lines = Lines::of(api, opened.unwrap_or_else(|_| Err(silent(api)))?);
    while let Some(line) = lines.next().await? {
        let nonsense = || ApiError::Nonsense { server: api.server().clone() };
        let Event { kind, object } = serde_json::from_slice(&line).map_err(|_| nonsense())?;
        let object = object.get().as_bytes();
        match kind {
            Kind::Error => return Err(api.watch_failed(&Status::read(object))),
            Kind::Unknown => continue,
            Kind::Added | Kind::Modified | Kind::Deleted | Kind::Bookmark => {}
        }
        let object = Object::read(object).ok_or_else(nonsense)?;
        match kind {
            Kind::Added | Kind::Modified => news.became(&object),
            Kind::Deleted => news.vanished(),
            Kind::Bookmark | Kind::Error | Kind::Unknown => {}
        }
        *after = Some(object.resource_version);
        if !std::mem::replace(well, true) {
            info!(server = %api.server(), "the Secret is watched again");
        }
    }
    Ok(())
}

fn silent(api: &Api) -> ApiError {
    ApiError::Unreachable {
        server: api.server().clone(),
        reason: "it has been silent for too long".to_owned(),
    }
}

/// The lines of an answer that does not end for long.
struct Lines<'a> {
    api: &'a Api,
    response: Response,
    read: Buffer,
    /// So much of what was read holds no line's end.
    looked_at: usize,
}

impl<'a> Lines<'a> {
    fn of(api: &'a Api, response: Response) -> Self {
        Self { api, response, read: Buffer::default(), looked_at: 0 }
    }

    /// `None`: the server has ended the answer.
    async fn next(&mut self) -> Result<Option<Buffer>, ApiError> {
        loop {
            let end = memchr::memchr(b'\n', &self.read[self.looked_at..]);
            if let Some(end) = end.map(|end| self.looked_at + end) {
                let (mut line, mut rest) = (Buffer::default(), Buffer::default());
                line.push(&self.read[..=end]);
                rest.push(&self.read[end + 1..]);
                (self.read, self.looked_at) = (rest, 0);
                return Ok(Some(line));
            }
            self.looked_at = self.read.len();
            let chunk = timeout(LIFE + OPENING, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| silent(self.api))?;
            let Some(chunk) = chunk.map_err(|error| self.api.unreachable(error))? else {
                return Ok(None);
            };
            if self.read.len() + chunk.len() > LARGEST_ANSWER {
                self.read.clear();
                return Err(ApiError::Nonsense { server: self.api.server().clone() });
            }
            self.read.push(&chunk);
        }
    }
}

/// How long one watch is asked to last: a connection that has died without a word is noticed soon
/// after.
const LIFE: Duration = Duration::from_secs(300);
const OPENING: Duration = Duration::from_secs(10);
/// A watch that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
