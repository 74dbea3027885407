//! The keys of a redis store.

use crate::config::StorePlace;
use crate::config::parse::Parser;
use crate::config::raw::RawStore;

impl Parser<'_> {
    pub(super) fn redis_store(&mut self, _: &RawStore) -> Option<StorePlace> {
        let problem = "a redis store is not in this version: take \"file\" or \"memory\"";
        self.note(&["store", "kind"], problem);
        None
    }
}
