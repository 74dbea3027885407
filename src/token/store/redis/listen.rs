//! Hears of pages that others have replaced, over a connection of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::{FromRedisValue, PushInfo, PushKind};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};
use tracing::{debug, warn};

use crate::backoff::Backoff;

use super::super::Revision;
use super::Config;
use super::connection::{Connector, Link, Pushes};
use super::problem::{Problem, Then};

/// What is known of changes, by page.
#[derive(Debug)]
pub(super) struct Changes {
    connector: Arc<Connector>,
    topics: Arc<Topics>,
    /// Listens from the first question on.
    listener: OnceLock<Listener>,
}

#[derive(Debug, Default)]
struct Topics(Mutex<BTreeMap<String, Arc<Topic>>>);

#[derive(Debug, Default)]
struct Topic {
    news: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What this process has read or written last: the server tells of that, too, a little later.
    known: VecDeque<Revision>,
    /// It has changed since, though nobody was waiting.
    unheard: bool,
}

#[derive(Debug)]
struct Listener(JoinHandle<()>);

/// Where changes are published, as `<revision> <page>`.
pub(super) fn channel(config: &Config) -> String {
    format!("{}changes", config.key_prefix)
}

impl Changes {
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self { connector, topics: Arc::default(), listener: OnceLock::new() }
    }

    /// Completes when somebody else has replaced the page since it was last read.
    pub(super) async fn of(&self, name: &str) {
        self.listener.get_or_init(|| {
            let listening = listen(self.connector.clone(), self.topics.clone());
            Listener(tokio::spawn(listening))
        });
        let topic = self.topics.of(name);
        let news = topic.news.notified();
        if !std::mem::take(&mut topic.state().unheard) {
            news.await;
            topic.state().unheard = false;
        }
    }

    /// A page was read, and this is what it is; or it will be.
    pub(super) fn known(&self, name: &str, revision: Revision) {
        self.topics.of(name).state().knows(revision);
    }

    /// This process has replaced a page: others in it need not wait for the server to say so.
    pub(super) fn wrote(&self, name: &str) {
        self.topics.of(name).news.notify_waiters();
    }
}

// === impl Topics, Topic ===

impl Topics {
    fn of(&self, name: &str) -> Arc<Topic> {
        self.map().entry(name.to_owned()).or_default().clone()
    }

    /// `None`: whatever it is now.
    fn changed(&self, name: &str, revision: Option<Revision>) {
        // Pages of others are none of ours.
        let Some(topic) = self.map().get(name).cloned() else { return };
        {
            let mut state = topic.state();
            if revision.is_some_and(|revision| state.known.contains(&revision)) {
                return;
            }
            state.unheard = true;
        }
        topic.news.notify_waiters();
    }

    /// Nobody listened for a while.
    fn all_changed(&self) {
        let names: Vec<_> = self.map().keys().cloned().collect();
        names.iter().for_each(|name| self.changed(name, None));
    }

    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Topic>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn knows(&mut self, revision: Revision) {
        if self.known.back() != Some(&revision) {
            self.known.push_back(revision);
            let over = self.known.len().saturating_sub(MOST_KNOWN);
            self.known.drain(..over);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Subscribes, again and again.
async fn listen(connector: Arc<Connector>, topics: Arc<Topics>) {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    let mut told = false;
    loop {
        let broken = Arc::new(Notify::new());
        let problem = match subscribe(&connector, &topics, &broken).await {
            Ok(link) => {
                debug!("changes in the store are told");
                (backoff, told) = (Backoff::new(FIRST_RETRY, LONGEST_RETRY), false);
                topics.all_changed();
                until_broken(link, &broken).await
            }
            Err(problem) => problem,
        };
        debug!(problem = problem.text, "changes in the store are not told");
        // That the server is gone is told by whoever needs it.
        if problem.then == Then::Keep && !std::mem::replace(&mut told, true) {
            warn!(problem = problem.text, server = %connector.config().server,
                "the store does not tell of changes; they are found by reading, a little later");
        }
        sleep(backoff.after_failure()).await;
    }
}

async fn subscribe(
    connector: &Connector,
    topics: &Arc<Topics>,
    broken: &Arc<Notify>,
) -> Result<Link, Problem> {
    let (topics, broken) = (topics.clone(), broken.clone());
    let pushes: Pushes = Box::new(move |push| match push.kind {
        PushKind::Message => {
            if let Some((revision, name)) = message(push) {
                topics.changed(&name, Some(revision));
            }
        }
        PushKind::Disconnection => broken.notify_one(),
        _ => {}
    });
    let mut link = connector.open(Some(pushes)).await?;
    let subscribed = link.commands().subscribe(channel(connector.config())).await;
    subscribed.map_err(|error| match error.code() {
        // It can be spoken to, and says no.
        Some("NOPERM") => Problem::keep("this user may not subscribe to the channel"),
        _ => Problem::of(&error),
    })?;
    Ok(link)
}

async fn until_broken(mut link: Link, broken: &Notify) -> Problem {
    let mut pings = interval(PING);
    loop {
        tokio::select! {
            () = broken.notified() => return Problem::drop("hung up"),
            _ = pings.tick() => {
                if let Err(problem) = link.answers().await {
                    return problem;
                }
            }
        }
    }
}

/// The revision and the page of `message <channel> <text>`.
fn message(push: PushInfo) -> Option<(Revision, String)> {
    let text = String::from_redis_value(push.data.into_iter().nth(1)?).ok()?;
    let (revision, name) = text.split_once(' ')?;
    Some((revision.parse().ok()?, name.to_owned()))
}

/// Writes that may be under way to us while more are made.
const MOST_KNOWN: usize = 8;
/// A server that is gone without a word is found out in this time.
const PING: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
