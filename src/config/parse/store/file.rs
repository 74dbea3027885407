//! The keys of a file store.

use std::path::PathBuf;

use crate::config::StorePlace;
use crate::config::parse::{Parser, folder_of};
use crate::config::raw::RawStore;

impl Parser<'_> {
    pub(super) fn file_store(&mut self, raw: &RawStore) -> Option<StorePlace> {
        let path = raw.path.clone().unwrap_or_else(|| PathBuf::from("tokens.json"));
        let path = self.folder.join(path);
        let folder = folder_of(&path);
        if !folder.is_dir() {
            let problem = format!("there is no folder {}", folder.display());
            self.note(&["store", "path"], problem);
        }
        Some(StorePlace::File { path, share: raw.share.unwrap_or(false) })
    }
}
