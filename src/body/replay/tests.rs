use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;

use http::HeaderMap;
use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;

/// A body that is handed out piece by piece; what is not there yet is pending.
#[derive(Debug, Default)]
struct Pieces {
    frames: VecDeque<Frame<Bytes>>,
    open: bool,
}

impl Pieces {
    fn of(pieces: &[&[u8]]) -> Self {
        let frames = pieces.iter().map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
        Self { frames: frames.collect(), open: false }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && !self.open
    }
}

fn kept<B: Body<Data = Bytes, Error: Error + 'static> + Unpin>(body: B, limit: usize) -> Replay<B> {
    Replay::new(body, Limits { kept: limit, whole: u64::MAX }, &passed())
}

fn passed() -> IntCounter {
    IntCounter::new("passed", "bytes").expect("a counter")
}

async fn take<B: Body<Data = Bytes> + Unpin>(body: &mut B, frames: usize) -> Vec<u8>
where
    B::Error: std::fmt::Debug,
{
    let mut bytes = Vec::new();
    for _ in 0..frames {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        let frame = frame.expect("a frame").expect("no error");
        bytes.extend_from_slice(frame.data_ref().expect("data"));
    }
    bytes
}

#[tokio::test]
async fn p11_a_second_attempt_sends_the_same_bytes() {
    let replay = kept(Pieces::of(&[b"one ", b"two ", b"three"]), 1024);
    let first = replay.attempt().collect().await.expect("sent").to_bytes();
    assert_eq!(replay.check(), Ok(()));
    let second = replay.attempt().collect().await.expect("sent again").to_bytes();
    assert_eq!((&first[..], &second[..]), (&b"one two three"[..], &b"one two three"[..]));
}

#[tokio::test]
async fn p10_a_rejection_in_mid_upload_sends_what_was_kept_and_streams_on() {
    let replay = kept(Pieces::of(&[b"one ", b"two ", b"three"]), 1024);
    let mut first = replay.attempt();
    assert_eq!(take(&mut first, 2).await, b"one two ");
    let second = replay.attempt();
    let error = poll_fn(|cx| Pin::new(&mut first).poll_frame(cx)).await;
    assert!(matches!(error, Some(Err(ReplayError::Superseded(_)))), "{error:?}");
    assert_eq!(second.collect().await.expect("sent").to_bytes(), "one two three");
}

#[tokio::test]
async fn p10_beyond_the_limit_nothing_is_kept() {
    let replay = kept(Pieces::of(&[b"12345", b"67890"]), 9);
    assert_eq!(replay.attempt().collect().await.expect("sent").to_bytes(), "1234567890");
    assert_eq!(replay.check(), Err(NoReplay::TooLarge));

    let announced = http_body_util::Full::new(Bytes::from_static(b"1234567890"));
    let replay = kept(announced, 9);
    assert_eq!(replay.check(), Err(NoReplay::TooLarge), "known before a byte is read");

    let exact = kept(Pieces::of(&[b"12345", b"6789"]), 9);
    exact.attempt().collect().await.expect("sent");
    assert_eq!(exact.check(), Ok(()), "the limit itself is allowed");
}

#[tokio::test]
async fn p11_trailers_are_sent_again() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    let mut pieces = Pieces::of(&[b"body"]);
    pieces.frames.push_back(Frame::trailers(trailers.clone()));
    let replay = kept(pieces, 1024);
    for attempt in 1..=2 {
        let sent = replay.attempt().collect().await.expect("sent");
        assert_eq!(sent.trailers(), Some(&trailers), "attempt {attempt}");
        assert_eq!(sent.to_bytes(), "body");
    }
}

#[tokio::test]
async fn a_superseded_attempt_that_waits_is_woken() {
    let pieces = Pieces { open: true, ..Pieces::of(&[b"one"]) };
    let replay = kept(pieces, 1024);
    let mut first = replay.attempt();
    take(&mut first, 1).await;
    let next = poll_fn(|cx| Pin::new(&mut first).poll_frame(cx));
    tokio::pin!(next);
    let woken = tokio::select! {
        biased;
        ended = &mut next => panic!("nothing more has come, but {ended:?}"),
        () = async { drop(replay.attempt()) } => next.await,
    };
    assert!(matches!(woken, Some(Err(ReplayError::Superseded(_)))), "{woken:?}");
}

#[tokio::test]
async fn p10_while_a_token_is_awaited_nothing_more_is_read() {
    let replay = kept(Pieces::of(&[b"12345", b"67890"]), 9);
    let mut first = replay.attempt();
    take(&mut first, 1).await;
    assert_eq!(replay.check(), Ok(()));
    // The rest would go beyond the limit, and the second attempt would lack what was before it.
    let waiting = async {
        let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll_frame(cx))).await;
        assert!(next.is_pending(), "{next:?}");
    };
    replay.paused(waiting).await;
    assert_eq!(replay.check(), Ok(()));
    let second = replay.attempt().collect().await.expect("sent again").to_bytes();
    assert_eq!(second, "1234567890");
}

#[tokio::test]
async fn p10_an_attempt_that_is_handed_on_after_all_reads_on() {
    let replay = kept(Pieces::of(&[b"12345", b"67890"]), 9);
    let mut first = replay.attempt();
    take(&mut first, 1).await;
    replay.paused(async {}).await;
    assert_eq!(take(&mut first, 1).await, b"67890");
}

#[tokio::test]
async fn p31_bytes_are_counted_once_however_often_they_are_sent() {
    let passed = passed();
    let limits = Limits { kept: 1024, whole: u64::MAX };
    let replay = Replay::new(Pieces::of(&[b"one ", b"two"]), limits, &passed);
    replay.attempt().collect().await.expect("sent");
    replay.attempt().collect().await.expect("sent again");
    assert_eq!(passed.get(), 7);
}

#[test]
fn requests_without_a_body_need_nothing() {
    let replay = kept(Pieces::default(), 1024);
    assert!(matches!(replay, Replay::Empty));
    assert!(replay.attempt().is_end_stream());
    assert_eq!(replay.attempt().size_hint().exact(), Some(0));
}

#[tokio::test]
async fn p11_as_many_attempts_as_are_wanted_send_the_same_bytes() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    let mut pieces = Pieces::of(&[b"one ", b"two ", b"three ", b"four"]);
    pieces.frames.push_back(Frame::trailers(trailers.clone()));
    let replay = kept(pieces, 1024);
    for read in 1..=3 {
        let mut attempt = replay.attempt();
        take(&mut attempt, read).await;
        assert_eq!(replay.check(), Ok(()));
    }
    for _ in 0..2 {
        let sent = replay.attempt().collect().await.expect("sent");
        assert_eq!(sent.trailers(), Some(&trailers));
        assert_eq!(sent.to_bytes(), "one two three four");
    }
}

#[tokio::test]
async fn p10_the_limit_counts_over_all_attempts() {
    let replay = kept(Pieces::of(&[b"1234", b"5678", b"9"]), 8);
    take(&mut replay.attempt(), 1).await;
    take(&mut replay.attempt(), 2).await;
    assert_eq!(replay.check(), Ok(()));
    let last = replay.attempt().collect().await.expect("sent").to_bytes();
    assert_eq!(last, "123456789", "what was kept is sent before it is too much");
    assert_eq!(replay.check(), Err(NoReplay::TooLarge));
}

proptest! {
    #[test]
    fn p11_any_body_cut_anywhere_is_the_same_to_the_byte(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..20),
        reads in prop::collection::vec(0_usize..400, 1..4),
    ) {
        let whole: Vec<u8> = pieces.concat();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let sent = runtime.block_on(async {
            let replay = kept(Pieces::of(&slices), 4096);
            for read in reads {
                let mut attempt = replay.attempt();
                let mut sent = Vec::new();
                while sent.len() < read.min(whole.len()) {
                    sent.extend(take(&mut attempt, 1).await);
                }
                assert!(whole.starts_with(&sent));
            }
            replay.attempt().collect().await.expect("sent").to_bytes()
        });
        prop_assert_eq!(&sent[..], &whole[..]);
    }
}
