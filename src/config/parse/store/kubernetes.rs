//! The keys of a kubernetes store.

use crate::config::StorePlace;
use crate::config::parse::Parser;
use crate::config::raw::RawStore;

impl Parser<'_> {
    pub(super) fn kubernetes_store(&mut self, _: &RawStore) -> Option<StorePlace> {
        let problem = "a kubernetes store is not in this version: take \"file\" or \"memory\"";
        self.note(&["store", "kind"], problem);
        None
    }
}
