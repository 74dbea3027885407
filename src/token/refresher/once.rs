//! One renewal and no more, for a command that wants to see one done.

use super::super::page::Page;
use super::super::provider::TokenEndpoint;
use super::super::store::Pages;
use super::super::{NoToken, Reason, Status};
use super::Refresher;

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    /// A renewal though the token in the store may live, with the lease, the journal and the ledger,
    /// and saved as ever: other processes take its token over. A refresh token that is perhaps spent
    /// is not presented again for this.
    ///
    /// # Errors
    /// When no token came of it. What came and could not be saved yet is tried once more.
    pub async fn once(mut self) -> Result<Status, NoToken> {
        if let Ok(seen) = self.store.load(&self.config.page).await {
            self.lease.observe(&seen.page);
            if seen.page != Page::default() {
                self.known = Some(seen.page);
            }
        }
        let renewed = self.renew(Reason::Start, self.generation()).await;
        self.save_at_last().await;
        renewed.map(|()| self.status.borrow().clone())
    }
}
