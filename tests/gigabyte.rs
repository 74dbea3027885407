//! A gibibyte each way through the real program, in bounded memory (p03).

use crate::support::bulk::{drink, pour};
use crate::support::message::find;
use crate::support::running::Running;
use crate::support::{Caller, soon};

const GIBIBYTE: usize = 1 << 30;

#[tokio::test]
async fn p03_a_gibibyte_passes_each_way_in_bounded_memory() {
    let running = Running::start().await;
    let (begun, _) = running.memory();

    let hand = running.vendor.by_hand();
    let mut caller = Caller::to(&running.address).await;
    caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut hand = hand.arrives().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";
    hand.send(format!("{head}Content-Length: {GIBIBYTE}\r\n\r\n")).await;
    caller.answer_so_far(|_| true).await;
    let (mut down, read) = caller.into_parts();
    let mut up = hand.into_parts().0;
    tokio::join!(pour(&mut up, GIBIBYTE), drink(&mut down, body_of(&read), GIBIBYTE));
    running.assert_grown_by_less_than(32, begun, "download");
    // Else the upload would come on this connection.
    drop(up);

    let hand = running.vendor.by_hand();
    let mut caller = Caller::to(&running.address).await;
    let head = "PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n";
    caller.send(format!("{head}Content-Length: {GIBIBYTE}\r\n\r\n")).await;
    let mut hand = hand.arrives().await;
    hand.request_so_far(|_| true).await;
    let (mut up, read) = hand.into_parts();
    let (mut down, _) = caller.into_parts();
    let both =
        async { tokio::join!(pour(&mut down, GIBIBYTE), drink(&mut up, body_of(&read), GIBIBYTE)) };
    both.await;
    running.assert_grown_by_less_than(32, begun, "upload");
}

/// What waits for each of them is what its two connections hold: less than 1 MiB.
#[tokio::test]
async fn p03_callers_who_do_not_read_cost_little_memory() {
    const CALLERS: u64 = 50;
    let running = Running::start().await;
    let (begun, _) = running.memory();
    let mut pourers = tokio::task::JoinSet::new();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let hand = running.vendor.by_hand();
        let mut caller = Caller::to(&running.address).await;
        caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        callers.push(caller);
        let mut hand = hand.arrives().await;
        hand.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
        pourers.spawn(async move { (hand.send_until_blocked(64 << 20).await, hand) });
    }
    let mut hands = Vec::new();
    let mut sent = 0;
    while let Some(one) = soon("all are blocked", pourers.join_next()).await {
        let (count, hand) = one.expect("no panic");
        sent += count;
        hands.push(hand);
    }
    println!("{sent} bytes were taken for {CALLERS} callers who do not read");
    running.assert_grown_by_less_than(CALLERS, begun, "unread answers");
}

/// Besides, `replay.max_body` may be kept of each until it has passed: 1 MiB.
#[tokio::test]
async fn p03_vendors_who_do_not_read_cost_little_memory() {
    const UPLOADS: u64 = 50;
    let running = Running::start().await;
    let (begun, _) = running.memory();
    let mut pourers = tokio::task::JoinSet::new();
    let mut hands = Vec::new();
    for _ in 0..UPLOADS {
        let hand = running.vendor.by_hand();
        let mut caller = Caller::to(&running.address).await;
        let head = "PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n";
        caller.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{GIBIBYTE:x}\r\n")).await;
        hands.push(hand.arrives().await);
        pourers.spawn(async move { (caller.send_until_blocked(64 << 20).await, caller) });
    }
    let mut callers = Vec::new();
    let mut sent = 0;
    while let Some(one) = soon("all are blocked", pourers.join_next()).await {
        let (count, caller) = one.expect("no panic");
        sent += count;
        callers.push(caller);
    }
    println!("{sent} bytes were taken for {UPLOADS} vendors who do not read");
    running.assert_grown_by_less_than(2 * UPLOADS, begun, "unread uploads");
}

fn body_of(read: &[u8]) -> &[u8] {
    &read[find(read, b"\r\n\r\n").expect("a head") + 4..]
}
