//! Follows what others write into the store: the newest token wins, wherever it is.

use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::BootTime;
use crate::secret::Secret;

use super::super::page::Page;
use super::super::provider::TokenEndpoint;
use super::super::store::{Pages, Seen, Swap};
use super::super::{Outcome, Reason};
use super::Refresher;

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    /// Reads the page, and takes over what is newer there, or gives back what the store has lost.
    pub(super) async fn follow(&mut self) {
        self.poll_at = Instant::now() + self.store.poll();
        // The store itself tells that it cannot be reached; what is in memory serves on.
        let Ok(seen) = self.store.load(&self.config.page).await else { return };
        self.lease.observe(&seen.page);
        let Some(known) = self.known.clone() else {
            // Nothing was ever read: a renewal has begun to wait for the store, and need not.
            self.renew_at = BootTime::now();
            return;
        };
        let page = seen.page.clone().restored(&known);
        if page != seen.page {
            if self.write(&seen, page).await {
                warn!(upstream = %self.config.upstream, lost = known.generation,
                    stored = seen.page.generation, "the store had lost a newer token: it has it back");
            }
            return;
        }
        let other = page.tokens.access != known.tokens.access;
        if other && page.generation == known.generation && known.tokens.access.is_some() {
            // Two replicas have each had a token while the store forgot one: the stored one is the
            // later, and gets a number of its own.
            let page = Page { generation: page.generation + 1, ..page };
            self.write(&seen, page).await;
            return;
        }
        self.learn(page);
    }

    async fn write(&mut self, seen: &Seen, page: Page) -> bool {
        let swap = self.store.swap(&self.config.page, seen.revision, &page).await;
        let done = matches!(swap, Ok(Swap::Done(_)));
        if done {
            self.learn(page);
        }
        done
    }

    fn learn(&mut self, page: Page) {
        let before = self.cache.generation();
        let news = page.unproven.then(|| page.tokens.refresh.as_ref().map(Secret::fingerprint));
        let gain = self.known.as_ref().map(|known| known.life) != Some(page.life);
        let newer = page.generation > before;
        let published = self.is_living(&page) && (newer || gain) && self.publish(&page).is_ok();
        if published && newer {
            self.failure = None;
            let (reason, outcome) = (Reason::Store.as_str(), Outcome::Adopted.as_str());
            self.metrics.adopted(reason, outcome);
            info!(upstream = %self.config.upstream, reason, outcome,
                generation = page.generation, "a newer token was found in the store");
        }
        self.known = Some(page);
        if news.is_none() {
            // The same may be put in again.
            self.noticed = None;
        }
        if let Some(noticed) = news.filter(|noticed| *noticed != self.noticed) {
            info!(upstream = %self.config.upstream, "a refresh token was put into the store by hand");
            self.noticed = noticed;
            self.failure = None;
            (self.renew_at, self.renew_reason) = (BootTime::now(), Reason::Manual);
        }
        self.report(None);
    }
}
