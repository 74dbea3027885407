//! Reloads under load and in the middle of everything: no request fails (p30).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::support::bulk::{drink, pattern};
use crate::support::reloading::{Reloading, SECOND, call};
use crate::support::vendor::Gate;
use crate::support::{Answer, soon, until};

const GET: &str = "GET /openapi/v1/x";
const HANDSHAKE: &str = "GET /openapi/events HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2FtcGxlIG5vbmNlIDEyMw==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: made-up\r\n\r\n";
const CALLERS: usize = 4;
/// Enough for a leak of a few KiB each time to show.
const RELOADS: usize = 200;
const WARM: usize = 40;
/// Of a download and of an upload.
const LONG: usize = RELOADS * 64 * 1024;

fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}

#[tokio::test]
async fn p30_no_request_fails_and_nothing_is_cut_by_two_hundred_reloads() {
    let gateway = Reloading::start().await;
    let vendor = &gateway.vendor;

    let hand = vendor.by_hand();
    let mut download = gateway.caller("aiclk").await;
    download.send(format!("{GET} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let mut from = hand.arrives().await;
    from.request().await;
    from.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {LONG}\r\n\r\n"
    ))
    .await;
    let hand = vendor.by_hand();
    let mut upload = gateway.caller("aiclk").await;
    let head = format!("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LONG}\r\n\r\n");
    upload.send(head).await;
    let mut to = hand.arrives().await;
    let hand = vendor.by_hand();
    let mut tunnel = gateway.caller("aiclk").await;
    tunnel.send(HANDSHAKE).await;
    let mut far = hand.arrives().await;
    far.request().await;
    far.send(SWITCHING).await;
    assert_eq!(tunnel.answer().await.status(), 101);

    let (stop, done) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut caller = gateway.caller("aiclk").await;
        let (stop, done) = (stop.clone(), done.clone());
        callers.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                let answer = call(&mut caller, GET).await;
                assert_eq!(answer.status(), 200, "{answer:?}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let answer = download.answer_so_far(|_| true).await;
    assert_eq!(answer.status(), 200);
    let (mut download, read) = download.into_parts();
    let head = read.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    let drinking = tokio::spawn(async move { drink(&mut download, &read[head..], LONG).await });
    let receiving = tokio::spawn(async move {
        to.long_body(LONG, false).await;
        to.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    });
    let (mut far, _) = far.into_parts();
    let (mut near, _) = tunnel.into_parts();

    // Each changes something: connections, a list, or an upstream with its listener.
    let variants =
        ["timeouts.pool_idle = '40s'\n", "", "guard.methods = ['GET', 'POST']\n", SECOND];
    let piece = pattern();
    let (mut sent, mut begun) = (0, 0);
    for round in 0..RELOADS {
        if round == WARM {
            begun = memory(gateway.process.pid());
        }
        let before = done.load(Ordering::Relaxed);
        gateway.takes(variants[round % variants.len()]).await;
        let next = LONG * (round + 1) / RELOADS;
        while sent < next {
            let at = sent % piece.len();
            let part = &piece[at..piece.len().min(at + next - sent)];
            from.send(part).await;
            upload.send(part).await;
            sent += part.len();
        }
        let said = format!("{round:08}");
        near.write_all(said.as_bytes()).await.expect("the tunnel stands");
        let mut heard = [0; 8];
        soon("the other end", far.read_exact(&mut heard)).await.expect("the tunnel stands");
        assert_eq!(heard, said.as_bytes());
        until("everybody was served", || {
            done.load(Ordering::Relaxed) >= before + 2 * CALLERS
                || callers.iter().any(tokio::task::JoinHandle::is_finished)
        })
        .await;
    }
    let ended = memory(gateway.process.pid());
    stop.cancel();
    for caller in callers {
        caller.await.expect("no request fails");
    }
    drinking.await.expect("the download is whole");
    receiving.await.expect("the upload is whole");
    assert_eq!(upload.answer().await.status(), 200);
    println!(
        "{} requests; {begun} KiB at first, {ended} KiB at last",
        done.load(Ordering::Relaxed)
    );
    assert!(ended < begun + 6 * 1024, "{begun} KiB grew to {ended}");
    let metrics = gateway.metrics().await;
    assert!(metrics.contains(&format!("reloads_total{{outcome=\"ok\"}} {RELOADS}")), "{metrics}");
    assert!(!metrics.contains("tokenward_own_answers_total"), "{metrics}");
    assert_eq!(vendor.token_calls("aiclk").len(), 2, "one for each account");
}

/// A request meets a dead token, and while the refresh is under way the config changes: its settings,
/// its account, or the upstream is gone.
#[tokio::test]
async fn p30_a_refresh_that_is_under_way_serves_whoever_waits_for_it() {
    for change in ["guard.methods = ['POST']\n", "account", "gone"] {
        let gateway = Reloading::with(SECOND).await;
        let mut caller = gateway.caller("second").await;
        let gate = Gate::new();
        let grant = gateway.vendor.grant("aiclk", 3);
        gateway.vendor.token_endpoint_will("aiclk", grant.behind(&gate));
        gateway.vendor.will(Answer::rejection());
        caller.send(format!("{GET} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        until("a refresh is under way", || gateway.vendor.token_calls("aiclk").len() == 3).await;
        match change {
            "account" => gateway.takes(&SECOND.replace("another-id", "third-id")).await,
            "gone" => gateway.takes("").await,
            more => gateway.takes(&format!("{SECOND}{more}")).await,
        }
        gate.open(1);
        let answer = caller.answer().await;
        assert_eq!(
            (answer.status(), answer.one("tokenward-retry")),
            (200, Some("recovered")),
            "{change}: {answer:?}"
        );
    }
}
