//! Takes over files that change while the gateway runs: certificates, and who may call.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use prometheus::IntCounter;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info};
use zeroize::Zeroizing;

/// What came of reading files once more.
#[derive(Debug)]
pub(super) struct Reread {
    /// The files that were read, or should have been: these are watched from now on.
    pub(super) files: Vec<PathBuf>,
    /// Why they cannot be used. What was read before goes on then: it is all or nothing.
    pub(super) outcome: Result<(), String>,
}

/// How often files were taken over, and how often refused.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) ok: IntCounter,
    pub(super) refused: IntCounter,
}

/// Files, and what stood in them when they were last looked at.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    seen: Vec<Content>,
}

/// SHA-256 of a file; `None`: it cannot be read. The content itself may be a secret.
type Content = Option<[u8; 32]>;

impl Watch {
    /// Whoever reads the files after this misses no change.
    pub(super) async fn new(files: Vec<PathBuf>) -> Self {
        let seen = look(&files).await;
        Self { files, seen }
    }

    /// Reads the files again whenever their content has changed. `what` they are is for the log.
    pub(super) async fn follow(
        mut self,
        what: &'static str,
        counters: Counters,
        mut reread: impl FnMut() -> Reread,
    ) {
        loop {
            self.changed().await;
            let read;
            (self, read) = self.read_with(&mut reread).await;
            match read.outcome {
                Ok(()) => {
                    counters.ok.inc();
                    info!("{what} changed, and was taken over");
                }
                Err(reason) => {
                    counters.refused.inc();
                    error!(
                        reason,
                        "{what} changed, and cannot be used: what was read before goes on"
                    );
                }
            }
        }
    }

    /// What `reread` makes of the files, and the files that there are by then.
    pub(super) async fn read_with(mut self, reread: &mut impl FnMut() -> Reread) -> (Self, Reread) {
        let mut read = reread();
        // Those that are new among them may have changed before they were looked at.
        while read.files != self.files {
            self = Self::new(read.files.clone()).await;
            read = reread();
        }
        (self, read)
    }

    /// Completes when there is another content, which does not change any more: a certificate and
    /// its key are two files, and some editors write in several steps.
    async fn changed(&mut self) {
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
            if content != self.seen {
                self.seen = content;
                return;
            }
        }
    }
}

/// By their content: neither the links of a mounted Kubernetes volume nor clocks tell all changes.
async fn look(files: &[PathBuf]) -> Vec<Content> {
    let files = files.to_vec();
    // A file system may be far away.
    let looking = spawn_blocking(move || files.iter().map(|file| digest(file).ok()).collect());
    looking.await.unwrap_or_default()
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
        counters: Counters,
        /// What was read, one for each time.
        read: Arc<Mutex<Vec<String>>>,
    }

    /// Follows the file `list`, which names the other files to watch and is bad when it is empty.
    async fn follow(list: &str) -> Followed {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("list"), list).expect("written");
        let counter = |name| IntCounter::new(name, "Rereadings.").expect("a counter");
        let counters = Counters { ok: counter("ok"), refused: counter("refused") };
        let read = Arc::<Mutex<Vec<String>>>::default();
        let (path, told) = (folder.path().to_owned(), read.clone());
        let reread = move || {
            let list = fs::read_to_string(path.join("list")).unwrap_or_default();
            let files = ["list"].into_iter().chain(list.split_whitespace());
            let files: Vec<_> = files.map(|name| path.join(name)).collect();
            told.lock().expect("no panic").push(list.clone());
            let outcome = if list.is_empty() { Err("empty".to_owned()) } else { Ok(()) };
            Reread { files, outcome }
        };
        let watch = Watch::new(reread().files).await;
        read.lock().expect("no panic").clear();
        tokio::spawn(watch.follow("a list", counters.clone(), reread));
        Followed { folder, counters, read }
    }

    impl Followed {
        fn put(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).expect("written");
        }

        /// Lets so many intervals pass.
        async fn pass(&self, intervals: u32) {
            sleep(INTERVAL * intervals).await;
        }

        fn counted(&self) -> (u64, u64) {
            (self.counters.ok.get(), self.counters.refused.get())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_taken_over_once_and_a_bad_one_is_refused_once() {
        let followed = follow("a").await;
        followed.pass(3).await;
        assert_eq!(followed.counted(), (0, 0), "nothing has changed");
        followed.put("list", "a ");
        followed.pass(3).await;
        assert_eq!(followed.counted(), (1, 0));
        followed.put("list", "");
        followed.pass(3).await;
        assert_eq!(followed.counted(), (1, 1));
        // The same content once more, as when a volume is mounted anew.
        followed.put("list", "");
        followed.pass(3).await;
        assert_eq!(followed.counted(), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_are_named_anew_are_watched_from_then_on() {
        let followed = follow("a").await;
        followed.put("b", "1");
        followed.pass(3).await;
        assert_eq!(followed.counted(), (0, 0), "nobody has named it yet");
        followed.put("list", "b");
        followed.pass(3).await;
        assert_eq!(followed.counted(), (1, 0));
        assert_eq!(*followed.read.lock().expect("no panic"), ["b", "b"]);
        followed.put("b", "2");
        followed.pass(3).await;
        assert_eq!(followed.counted(), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn links_that_lead_elsewhere_and_files_that_go_are_changes() {
        let followed = follow("mounted").await;
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
        assert_eq!(followed.counted(), (2, 0));
        fs::remove_file(followed.folder.path().join("mounted")).expect("removed");
        followed.pass(3).await;
        assert_eq!(followed.counted(), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_being_written_is_waited_for() {
        let followed = follow("a").await;
        for step in 0..30 {
            followed.put("list", &format!("a {step}"));
            sleep(SETTLING / 2).await;
        }
        followed.pass(3).await;
        assert_eq!(followed.counted(), (1, 0), "{:?}", followed.read);
    }
}
