//! The page while somebody looks at it: what has changed goes to all who listen, at most once a
//! second. When nobody does, nothing is done.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Who listens, and what they have to be told.
#[derive(Debug)]
pub struct Live {
    /// Of this process: a page that another one has made is loaded anew.
    made_by: String,
    board: watch::Sender<Board>,
    listens: Notify,
    seats: Arc<Semaphore>,
}

/// The page in pieces, as it was last shown.
#[derive(Debug, Default)]
struct Board {
    /// Counts changes.
    version: u64,
    at: String,
    title: String,
    icon: String,
    parts: Vec<Part>,
    /// When listeners last heard of it.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Part {
    id: String,
    html: String,
    /// Of the board, when this last changed.
    version: u64,
}

/// The page at one moment.
#[derive(Debug)]
pub(super) struct Now {
    /// For people to read.
    pub(super) at: String,
    pub(super) title: String,
    pub(super) icon: String,
    /// The ids of elements, and what these become.
    pub(super) parts: Vec<(String, String)>,
}

/// One listener's answer. It lasts until one side goes away.
#[derive(Debug)]
pub(super) struct Frames {
    frames: mpsc::Receiver<Bytes>,
    _seat: OwnedSemaphorePermit,
}

// === impl Live ===

impl Default for Live {
    fn default() -> Self {
        Self {
            made_by: format!("{:016x}", fastrand::u64(..)),
            board: watch::Sender::default(),
            listens: Notify::new(),
            seats: Arc::new(Semaphore::new(MOST_LISTENERS)),
        }
    }
}

impl Live {
    pub(super) fn made_by(&self) -> &str {
        &self.made_by
    }

    /// `None` when there are as many as there may be.
    pub(super) fn listen(&self) -> Option<Frames> {
        let seat = self.seats.clone().try_acquire_owned().ok()?;
        // With one place, whoever reads slowly misses what was in between, and costs nothing.
        let (sender, frames) = mpsc::channel(1);
        let mut board = self.board.subscribe();
        board.mark_changed();
        let made_by = self.made_by.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            loop {
                tokio::select! {
                    changed = board.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
                let frame = board.borrow_and_update().frame(&mut seen, &made_by);
                if let Some(frame) = frame
                    && sender.send(frame).await.is_err()
                {
                    return;
                }
            }
        });
        self.listens.notify_one();
        Some(Frames { frames, _seat: seat })
    }

    /// Looks once a second while somebody listens.
    pub(super) async fn tell(&self, look: impl Fn() -> Now) {
        loop {
            self.listens.notified().await;
            let mut seconds = interval(BETWEEN_FRAMES);
            seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while self.board.receiver_count() > 0 {
                seconds.tick().await;
                let now = look();
                self.board.send_if_modified(|board| board.becomes(now));
            }
            // Whoever comes next is not shown what was then.
            self.board.send_if_modified(|board| {
                *board = Board { version: board.version, ..Board::default() };
                false
            });
        }
    }
}

/// Names a page: one of another process is loaded anew, and so is one with more or fewer parts, since
/// upstreams come and go.
pub(super) fn as_made_by(process: &str, parts: usize) -> String {
    format!("{process}-{parts}")
}

// === impl Board ===

impl Board {
    /// Whether listeners have to hear of it.
    fn becomes(&mut self, now: Now) -> bool {
        let version = self.version + 1;
        let mut changed = (&self.title, &self.icon) != (&now.title, &now.icon);
        self.parts.truncate(now.parts.len());
        for (place, (id, html)) in now.parts.into_iter().enumerate() {
            match self.parts.get_mut(place) {
                Some(part) if (&part.id, &part.html) == (&id, &html) => continue,
                Some(part) => *part = Part { id, html, version },
                None => self.parts.push(Part { id, html, version }),
            }
            changed = true;
        }
        let silent = self.told.is_none_or(|told| told.elapsed() >= LONGEST_SILENCE);
        if !changed && !silent {
            return false;
        }
        (self.version, self.told) = (version, Some(Instant::now()));
        (self.at, self.title, self.icon) = (now.at, now.title, now.icon);
        true
    }

    /// What a listener who has seen `seen` does not know yet.
    fn frame(&self, seen: &mut u64, made_by: &str) -> Option<Bytes> {
        // Nobody has looked yet.
        self.told?;
        let news = self.parts.iter().filter(|part| part.version > *seen);
        let data = json!({
            "by": as_made_by(made_by, self.parts.len()),
            "at": self.at,
            "title": self.title,
            "icon": self.icon,
            "parts": news.map(|part| (&part.id, &part.html)).collect::<Vec<_>>(),
        });
        *seen = self.version;
        // Line feeds within are escaped.
        Some(format!("data: {data}\n\n").into())
    }
}

// === impl Frames ===

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = ready!(self.frames.poll_recv(context));
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Each keeps one of the admin address's connections, of which enough must be left for probes and
/// scrapes.
const MOST_LISTENERS: usize = 16;
const BETWEEN_FRAMES: Duration = Duration::from_secs(1);
/// After it the page is told that nothing has changed, so that it can tell silence from death.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http_body_util::BodyExt;
    use tokio::time::sleep;

    use super::*;

    fn now(parts: &[(&str, u32)]) -> Now {
        let parts = parts.iter().map(|(id, html)| ((*id).to_owned(), html.to_string())).collect();
        Now { at: "now".to_owned(), title: "title".to_owned(), icon: String::new(), parts }
    }

    /// The parts of the next frame, by their ids.
    async fn next(frames: &mut Frames) -> Vec<String> {
        let frame = frames.frame().await.expect("a frame").expect("no error");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text");
        let data = text.strip_prefix("data: ").and_then(|it| it.strip_suffix("\n\n"));
        let data: serde_json::Value = serde_json::from_str(data.expect("an event")).expect("JSON");
        let parts = data["parts"].as_array().expect("parts").iter();
        parts.map(|part| format!("{}={}", part[0], part[1]).replace('"', "")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn listeners_hear_what_has_changed_once_a_second_and_nobody_looks_for_no_one() {
        let live = Arc::new(Live::default());
        let looks = Arc::new(AtomicU32::new(0));
        let teller = tokio::spawn({
            let (live, looks) = (live.clone(), looks.clone());
            // The second part changes every five seconds.
            let look = move || {
                let look = looks.fetch_add(1, Ordering::Relaxed);
                now(&[("a", 0), ("b", look / 5)])
            };
            async move { live.tell(look).await }
        });
        sleep(Duration::from_secs(60)).await;
        assert_eq!(looks.load(Ordering::Relaxed), 0);

        let mut one = live.listen().expect("a seat");
        assert_eq!(next(&mut one).await, ["a=0", "b=0"]);
        assert_eq!(next(&mut one).await, ["b=1"]);
        assert_eq!(looks.load(Ordering::Relaxed), 6);
        // Who comes later is told all, at once; who reads late is told the latest.
        let mut other = live.listen().expect("a seat");
        assert_eq!(next(&mut other).await, ["a=0", "b=1"]);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(next(&mut other).await, ["b=2"]);
        assert_eq!(next(&mut other).await.len(), 1);
        drop((one, other));
        sleep(Duration::from_secs(2)).await;
        let looked = looks.load(Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(looks.load(Ordering::Relaxed), looked);
        // It begins anew.
        let mut third = live.listen().expect("a seat");
        let now = format!("b={}", looked / 5);
        assert_eq!(next(&mut third).await, ["a=0".to_owned(), now]);
        teller.abort();
    }

    #[test]
    fn p30_a_page_is_another_when_an_upstream_comes_or_goes() {
        let by = |parts: &[(&str, u32)]| {
            let mut board = Board::default();
            assert!(board.becomes(now(parts)));
            let frame = board.frame(&mut 0, "process").expect("news");
            let text = String::from_utf8(frame.to_vec()).expect("text");
            let data = text.strip_prefix("data: ").expect("an event");
            serde_json::from_str::<serde_json::Value>(data).expect("JSON")["by"].clone()
        };
        assert_eq!(by(&[("a", 0), ("b", 1)]), as_made_by("process", 2));
        assert_eq!(by(&[("a", 1), ("b", 2)]), by(&[("a", 0), ("b", 1)]));
        assert_ne!(by(&[("a", 0)]), by(&[("a", 0), ("b", 1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_now_and_then() {
        let live = Arc::new(Live::default());
        let teller = tokio::spawn({
            let live = live.clone();
            async move { live.tell(|| now(&[("a", 0)])).await }
        });
        let mut frames = live.listen().expect("a seat");
        assert_eq!(next(&mut frames).await, ["a=0"]);
        let began = Instant::now();
        assert!(next(&mut frames).await.is_empty());
        assert_eq!(began.elapsed(), LONGEST_SILENCE);
        teller.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn p27_there_are_no_more_listeners_than_seats() {
        let live = Live::default();
        let mut all: Vec<_> = (0..MOST_LISTENERS).filter_map(|_| live.listen()).collect();
        assert_eq!((all.len(), live.listen().is_none()), (MOST_LISTENERS, true));
        all.pop();
        assert!(live.listen().is_some());
    }
}
