//! Notices when files change while the gateway runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use zeroize::Zeroizing;

/// Files, and what stood in them when they were last looked at.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    seen: Vec<Content>,
}

/// SHA-256 of a file; `None`: it cannot be read. The content itself may be a secret.
pub(super) type Content = Option<[u8; 32]>;

impl Watch {
    /// Whoever reads the files after this misses no change.
    pub(super) async fn new(files: Vec<PathBuf>) -> Self {
        let seen = look(&files).await;
        Self { files, seen }
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What stands there now is known from now on, for it is about to be read.
    pub(super) async fn take_note(&mut self) {
        self.seen = look(&self.files).await;
    }

    /// Completes when there is another content, which does not change any more: a certificate and
    /// its key are two files, and some editors write in several steps. Says in which files.
    ///
    /// Nothing is lost when this is dropped.
    pub(super) async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            sleep(INTERVAL).await;
            let mut content = look(&self.files).await;
            if content == self.seen {
                continue;
            }
            loop {
                sleep(SETTLING).await;
                let again = look(&self.files).await;
                if again == content {
                    break;
                }
                content = again;
            }
            let both = self.seen.iter().zip(&content);
            let differ = self.files.iter().zip(both).filter(|(_, (seen, now))| seen != now);
            let changed: Vec<_> = differ.map(|(file, _)| file.clone()).collect();
            if !changed.is_empty() {
                self.seen = content;
                return changed;
            }
        }
    }
}

/// By their content: neither the links of a mounted Kubernetes volume nor clocks tell all changes.
async fn look(files: &[PathBuf]) -> Vec<Content> {
    let files = files.to_vec();
    // A file system may be far away.
    spawn_blocking(move || look_now(&files)).await.unwrap_or_default()
}

/// The same, in this thread.
pub(super) fn look_now(files: &[PathBuf]) -> Vec<Content> {
    files.iter().map(|file| digest(file).ok()).collect()
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Context::new(&SHA256);
    let mut piece = Zeroizing::new([0; 8192]);
    loop {
        match file.read(&mut *piece)? {
            0 => break,
            length => hash.update(&piece[..length]),
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    Ok(digest)
}

const INTERVAL: Duration = Duration::from_secs(1);
const SETTLING: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Followed {
        folder: tempfile::TempDir,
        /// Which files had changed, each time.
        changed: Arc<Mutex<Vec<Vec<PathBuf>>>>,
    }

    /// Follows these files.
    async fn follow(names: &[&str]) -> Followed {
        let folder = tempfile::tempdir().expect("a folder");
        let changed = Arc::<Mutex<Vec<_>>>::default();
        let told = changed.clone();
        fs::write(folder.path().join("list"), "a").expect("written");
        let files = names.iter().map(|name| folder.path().join(name)).collect();
        let mut watch = Watch::new(files).await;
        tokio::spawn(async move {
            loop {
                let changed = watch.changed().await;
                told.lock().expect("no panic").push(changed);
            }
        });
        Followed { folder, changed }
    }

    impl Followed {
        fn put(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).expect("written");
        }

        /// Lets so many intervals pass.
        async fn pass(&self, intervals: u32) {
            sleep(INTERVAL * intervals).await;
        }

        /// The names of those that had changed, each time.
        fn changed(&self) -> Vec<Vec<String>> {
            let changed = self.changed.lock().expect("no panic");
            let name = |file: &PathBuf| {
                file.file_name().unwrap_or_default().to_string_lossy().into_owned()
            };
            changed.iter().map(|files| files.iter().map(name).collect()).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once_and_with_the_files_that_it_is_in() {
        let followed = follow(&["list", "other", "third"]).await;
        followed.pass(3).await;
        assert!(followed.changed().is_empty(), "nothing has changed");
        followed.put("list", "b");
        followed.put("third", "b");
        followed.pass(3).await;
        assert_eq!(followed.changed(), [["list", "third"]]);
        // The same content once more, as when a volume is mounted anew.
        followed.put("list", "b");
        followed.pass(3).await;
        assert_eq!(followed.changed().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn links_that_lead_elsewhere_and_files_that_go_are_changes() {
        let followed = follow(&["mounted"]).await;
        followed.put("one", "1");
        followed.put("two", "2");
        let link = |to: &str| {
            let at = followed.folder.path();
            std::os::unix::fs::symlink(to, at.join("new")).expect("a link");
            fs::rename(at.join("new"), at.join("mounted")).expect("renamed");
        };
        link("one");
        followed.pass(3).await;
        link("two");
        followed.pass(3).await;
        assert_eq!(followed.changed().len(), 2);
        fs::remove_file(followed.folder.path().join("mounted")).expect("removed");
        followed.pass(3).await;
        assert_eq!(followed.changed().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_being_written_is_waited_for() {
        let followed = follow(&["list"]).await;
        for step in 0..30 {
            followed.put("list", &format!("a {step}"));
            sleep(SETTLING / 2).await;
        }
        followed.pass(3).await;
        assert_eq!(followed.changed().len(), 1, "{:?}", followed.changed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_about_to_be_read_is_no_change_any_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("list");
        fs::write(&file, "a").expect("written");
        let mut watch = Watch::new(vec![file.clone()]).await;
        fs::write(&file, "b").expect("written");
        watch.take_note().await;
        let waited = tokio::time::timeout(3 * INTERVAL, watch.changed()).await;
        assert!(waited.is_err(), "it has been read");
    }
}
