//! What may last how long, in paused time.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::super::*;
use super::LIMITS;
use super::served::Caller;

/// How long the connection lives on after the last thing that was done with it.
async fn end_after(caller: Caller, since: Instant) -> u64 {
    let _ = caller.end().await;
    since.elapsed().as_secs()
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_a_connection_without_a_request_ends_quietly() {
    let caller = Caller::new(LIMITS);
    assert_eq!(end_after(caller, Instant::now()).await, 75);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_the_pause_between_requests_begins_with_the_end_of_an_answer() {
    let mut caller = Caller::new(LIMITS);
    for _ in 0..3 {
        sleep(Duration::from_secs(70)).await;
        caller.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(caller.answer().await, "GET /");
    }
    caller.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let start = Instant::now();
    assert_eq!(caller.answer().await, "GET /slow");
    assert_eq!(start.elapsed().as_secs(), 1000);
    assert_eq!(end_after(caller, Instant::now()).await, 75);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_a_head_that_trickles_is_answered_when_its_time_is_over() {
    let mut caller = Caller::new(LIMITS);
    sleep(Duration::from_secs(60)).await;
    let start = Instant::now();
    let trickle = async {
        for byte in "GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".chars() {
            let _ = caller.stream.write_u8(byte as u8).await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    let _ = timeout(Duration::from_secs(29), trickle).await;
    assert_eq!(caller.answer().await, "head-time");
    assert_eq!(start.elapsed().as_secs(), 30);
    caller.end().await.unwrap();
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_a_head_that_came_with_an_earlier_request_has_its_time_after_that() {
    let mut caller = Caller::new(LIMITS);
    caller.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET / HT").await;
    assert_eq!(caller.answer().await, "GET /slow");
    let start = Instant::now();
    assert_eq!(caller.answer().await, "head-time");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_a_body_may_be_slow_but_not_stand_still() {
    let mut caller = Caller::new(LIMITS);
    caller.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await;
    for _ in 0..5 {
        sleep(Duration::from_secs(89)).await;
        caller.send("x").await;
    }
    let start = Instant::now();
    assert_eq!(caller.answer().await, "POST /body-time");
    assert_eq!(start.elapsed().as_secs(), 90);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_an_answer_that_nobody_reads_is_given_up() {
    let mut caller = Caller::with_room(16, LIMITS);
    caller.send("GET /large HT").await;
    caller.send("TP/1.0\r\n\r\n").await;
    let start = Instant::now();
    for _ in 0..3 {
        sleep(Duration::from_secs(60)).await;
        caller.stream.read_exact(&mut [0; 16]).await.unwrap();
    }
    let Err(Broken::Caller(error)) = caller.served.await.unwrap() else { panic!("it ends well") };
    assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 180 + 90));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn p27_a_tunnel_has_no_limits_of_time() {
    let mut caller = Caller::new(LIMITS);
    let upgrade = "GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    caller.send(upgrade).await;
    assert!(caller.answer().await.starts_with("HTTP/1.1 101"));
    for _ in 0..2 {
        sleep(Duration::from_secs(100_000)).await;
        caller.send("x").await;
        assert_eq!(caller.stream.read_u8().await.unwrap(), b'x');
    }
}
