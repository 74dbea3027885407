//! Asks sentinels which server is the master now.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::cmd;
use tokio::time::timeout;

use super::Place;
use super::connection::{Connector, Link};
use super::problem::Problem;

/// Whom to ask first.
#[derive(Debug, Default)]
pub(super) struct Sentinels {
    first: AtomicUsize,
}

impl Sentinels {
    /// One after the other, beginning with the one whose answer was good last.
    ///
    /// # Errors
    /// When none of them knows.
    pub(super) async fn ask(
        &self,
        connector: &Connector,
        sentinels: &[Place],
        master: &str,
    ) -> Result<Place, Problem> {
        let first = self.first.load(Ordering::Relaxed);
        let mut problems = Vec::new();
        for index in 0..sentinels.len() {
            let index = (first + index) % sentinels.len();
            let sentinel = &sentinels[index];
            let asked = timeout(ANSWER, ask_one(connector, sentinel, master)).await;
            match asked.unwrap_or_else(|_| Err(Problem::silent(ANSWER))) {
                Ok(place) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(place);
                }
                Err(problem) => problems.push(format!("sentinel {sentinel} {}", problem.text)),
            }
        }
        self.doubt();
        Err(Problem::drop(format!("is not to be found: {}", problems.join(", "))))
    }

    /// The last answer was no good: another sentinel is asked first the next time.
    pub(super) fn doubt(&self) {
        self.first.fetch_add(1, Ordering::Relaxed);
    }
}

/// A password is shown only to a sentinel that asks for one.
async fn ask_one(connector: &Connector, sentinel: &Place, master: &str) -> Result<Place, Problem> {
    let mut command = cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(master);
    let mut link: Link = connector.open_sentinel(sentinel, false).await?;
    let mut answer = command.query_async::<Option<(String, u16)>>(link.commands()).await;
    if answer.as_ref().is_err_and(|error| error.code() == Some("NOAUTH")) {
        link = connector.open_sentinel(sentinel, true).await?;
        answer = command.query_async(link.commands()).await;
    }
    match answer.map_err(|error| Problem::of(&error))? {
        Some((host, port)) => Ok(Place::Tcp { host, port }),
        None => Err(Problem::drop(format!("knows no master {master:?}: see `store.master`"))),
    }
}

/// For one sentinel, from the connection to its answer.
const ANSWER: Duration = Duration::from_millis(500);
