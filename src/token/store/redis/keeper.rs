//! Keeps one connection, and makes another when it is gone.
//!
//! One task has it and makes it; whoever needs it asks. So there is one attempt at a time, all who
//! wait share what comes of it, and nobody tries again for a moment after it has failed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::connection::{Connector, Link};
use super::problem::Problem;

/// A handle of the task, which begins with the first who asks.
#[derive(Debug)]
pub(super) struct Keeper {
    connector: Arc<Connector>,
    asks: OnceLock<mpsc::Sender<Ask>>,
}

enum Ask {
    Link(oneshot::Sender<Result<Link, Problem>>),
    /// This one is of no use.
    Discard(Link),
}

impl Keeper {
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self { connector, asks: OnceLock::new() }
    }

    /// The connection, made first if there is none.
    ///
    /// # Errors
    /// When it cannot be had, or could not a moment ago.
    pub(super) async fn link(&self) -> Result<Link, Problem> {
        let (reply, link) = oneshot::channel();
        let gone = || Problem::drop("is not asked any more: the process ends");
        self.asks().send(Ask::Link(reply)).await.map_err(|_| gone())?;
        link.await.map_err(|_| gone())?
    }

    /// What has failed is not handed out again.
    pub(super) fn discard(&self, link: &Link) {
        // A full queue is one of many who find the same.
        let _ = self.asks().try_send(Ask::Discard(link.clone()));
    }

    fn asks(&self) -> &mpsc::Sender<Ask> {
        self.asks.get_or_init(|| {
            let (sender, asks) = mpsc::channel(LONGEST_QUEUE);
            tokio::spawn(keep(self.connector.clone(), asks));
            sender
        })
    }
}

/// Ends with the last handle.
async fn keep(connector: Arc<Connector>, mut asks: mpsc::Receiver<Ask>) {
    let mut kept: Option<Link> = None;
    let mut failed: Option<(Instant, Problem)> = None;
    while let Some(ask) = asks.recv().await {
        let reply = match ask {
            Ask::Link(reply) => reply,
            Ask::Discard(link) => {
                kept.take_if(|kept| kept.is(&link));
                continue;
            }
        };
        let link = match (kept.clone(), &failed) {
            (Some(link), _) => Ok(link),
            (None, Some((at, problem))) if at.elapsed() < PAUSE => Err(problem.clone()),
            (None, _) => connector.open(None).await,
        };
        match &link {
            Ok(link) => (kept, failed) = (Some(link.clone()), None),
            Err(problem) if failed.as_ref().is_none_or(|(at, _)| at.elapsed() >= PAUSE) => {
                failed = Some((Instant::now(), problem.clone()));
            }
            Err(_) => {}
        }
        // Whoever asked may have gone.
        let _ = reply.send(link);
    }
}

/// How long a failed attempt answers for the next ones.
const PAUSE: Duration = Duration::from_millis(500);
/// Far more than there are upstreams; more wait at the door.
const LONGEST_QUEUE: usize = 64;
