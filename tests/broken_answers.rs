//! Answers that are none: what can be read in two ways, or in no way, reaches no caller as if it
//! were whole (p06, p25, p28).

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::h2::Peer;
use crate::support::{Answer, RawVendor, Stage, soon};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    (vendor, stage)
}

const GET: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";

const HTTP_2: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/openapi/x"),
    (":authority", "localhost:8082"),
];

/// Each of them is answered 502, and the next request has its own answer.
async fn assert_refused(answers: &[&str]) {
    let (vendor, stage) = stage().await;
    let mut caller = stage.caller("aiclk").await;
    for answer in answers {
        for closes in [false, true] {
            let bytes = Answer::raw(*answer);
            vendor.will(if closes { bytes.then_close() } else { bytes });
            vendor.will(Answer::new(200, &[], "next"));
            caller.send(GET).await;
            let got = caller.answer().await;
            let shown = answer.chars().take(200).collect::<String>();
            assert_eq!(
                (got.status(), got.one("tokenward-error")),
                (502, Some("upstream-broken")),
                "{shown}\n{got:?}"
            );
            caller.send(GET).await;
            assert_eq!(caller.answer().await.text(), "next", "{shown}");
        }
    }
}

#[tokio::test]
async fn p25_lengths_that_contradict_each_other_are_no_lengths() {
    let answers = [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: five",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Content-Length:",
    ]
    .map(|fields| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello!"));
    assert_refused(&answers.each_ref().map(String::as_str)).await;
}

/// RFC 9112, 6.1: the coding ends at the next hop, and this hop cannot undo it.
#[tokio::test]
async fn p06_a_transfer_coding_that_cannot_be_undone_is_not_passed_on_as_none() {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let answers = ["gzip, chunked", "gzip", "chunked, gzip", "gzip\r\nTransfer-Encoding: chunked"]
        .map(|coding| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n{chunks}"));
    assert_refused(&answers.each_ref().map(String::as_str)).await;
}

#[tokio::test]
async fn p28_what_is_no_head_is_no_answer() {
    let many: String = (0..300).map(|number| format!("X-{number}: 1\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    let long =
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(3 << 20));
    assert_refused(&[
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 99 Less\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
        "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        "220 mail.example ESMTP\r\n\r\n",
        "<html>not HTTP</html>\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Space : a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 0\r\n\r\n",
        &many,
        &long,
    ])
    .await;
}

/// The head has gone to the caller by then: all that is left is not to end in good order.
#[tokio::test]
async fn p06_bad_chunks_of_an_answer_break_off_for_the_caller() {
    let (vendor, stage) = stage().await;
    for chunks in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhel",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
    ] {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n";
        vendor.will(Answer::raw(format!("{head}{chunks}")).then_close());
        let mut caller = stage.caller("aiclk").await;
        caller.send(GET).await;
        let rest = caller.rest().await;
        let text = String::from_utf8_lossy(&rest).into_owned();
        assert!(!text.ends_with("0\r\n\r\n"), "an end that was none, after {chunks:?}: {text}");
        assert_eq!(stage.get("aiclk", "/openapi/next").await.status(), 200);
    }
}

/// A caller of HTTP/1.0 gets a body without a length up to the end of the connection, which must not
/// look like that of the body where it is none.
#[tokio::test]
async fn p06_for_a_caller_that_reads_until_the_end_a_broken_answer_ends_with_a_reset() {
    let vendor = RawVendor::start().await;
    let config = "upstream.aiclk.timeouts.idle = '1s'";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    let chunked = "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let answer = |rest: &str| Answer::raw(format!("HTTP/1.1 200 OK\r\n{chunked}{rest}"));
    for (answer, is_whole) in [
        (answer("0\r\n\r\n"), true),
        (answer("").then_close(), false),
        (answer("").then_reset(), false),
        (answer("4\r\nha").then_close(), false),
        (answer("zz\r\n"), false),
        (answer("").then_silence(), false),
        (Answer::raw("HTTP/1.1 200 OK\r\n\r\nhalf").then_close(), true),
        (Answer::raw("HTTP/1.1 200 OK\r\n\r\nhalf").then_silence(), false),
    ] {
        vendor.will(answer);
        let (mut caller, _) = stage.caller("aiclk").await.into_parts();
        let request = b"GET /openapi/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        caller.write_all(request).await.expect("a write");
        let mut got = Vec::new();
        let ended = soon("the end", caller.read_to_end(&mut got)).await;
        let got = String::from_utf8_lossy(&got).to_lowercase();
        let failed = ended.err().map(|error| error.kind());
        let expected = (!is_whole).then_some(ErrorKind::ConnectionReset);
        assert_eq!(failed, expected, "{got}");
        assert!(!got.contains("\r\nconnection:"), "it does not stay: {got}");
    }
}

/// The same length twice says nothing new (RFC 9112, 6.3), and it goes on once, which every caller
/// can read.
#[tokio::test]
async fn p25_a_length_that_is_said_twice_is_a_length() {
    let (vendor, stage) = stage().await;
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,5\r\nX: y\r\nContent-Length: 5",
        "Content-Length: 5\r\nX: y",
    ] {
        let answer = Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello"));
        vendor.will(answer.clone()).will(Answer::new(200, &[], "next"));
        let mut caller = stage.caller("aiclk").await;
        for expected in ["hello", "next"] {
            caller.send(GET).await;
            let got = caller.answer().await;
            assert_eq!((&*got.text(), got.one("content-length").is_some()), (expected, true));
        }
        vendor.will(answer);
        let mut peer = Peer::caller(&stage, &[]).await;
        peer.fields(1, &HTTP_2, true).await;
        let (_, head, _) = peer.head().await;
        let lengths: Vec<_> = head.iter().filter(|(name, _)| name == "content-length").collect();
        assert!(matches!(lengths[..], [(_, length)] if length == "5"), "{head:?}");
        assert_eq!(peer.body(1).await.0, b"hello");
    }
}

/// Nothing of a body is to be read by it, but the caller would have to make sense of it.
#[tokio::test]
async fn p25_lengths_that_contradict_each_other_are_not_handed_on_without_a_body_either() {
    let (vendor, stage) = stage().await;
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
        for (length, passes) in
            [("5, 6", None), ("5\r\nContent-Length: 6", None), ("5, 5", Some("5"))]
        {
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
            vendor.will(Answer::raw(head));
            let mut caller = stage.caller("aiclk").await;
            caller.send(GET.replace("GET", method)).await;
            let got = match method {
                "HEAD" => caller.answer_to_head().await,
                _ => caller.answer().await,
            };
            match passes {
                Some(_) => assert_eq!(got.one("content-length"), passes, "{got:?}"),
                None => assert_eq!(got.status(), 502, "{method}, {length}: {got:?}"),
            }
        }
    }
}

/// A vendor that ends an idle connection with a `408` has not answered anybody.
#[tokio::test]
async fn p10_a_goodbye_in_words_is_not_taken_for_an_answer() {
    let (vendor, stage) = stage().await;
    for words in [
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbye",
        "HTTP/1.0 408 Request Time-out\r\n\r\n<html>bye</html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray",
    ] {
        for closes in [false, true] {
            let hand = vendor.by_hand();
            let mut caller = stage.caller("aiclk").await;
            caller.send(GET).await;
            let mut hand = hand.arrives().await;
            hand.request().await;
            hand.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst").await;
            assert_eq!(caller.answer().await.text(), "first");
            hand.send(words).await;
            let held = if closes { None } else { Some(hand) };
            vendor.will(Answer::new(200, &[], "second"));
            caller.send(GET.replace("GET", "POST")).await;
            assert_eq!(caller.answer().await.text(), "second", "{words}");
            drop(held);
        }
    }
}

/// The vendor learns of it, too.
#[tokio::test]
async fn p10_connections_that_have_lain_too_long_are_closed() {
    let vendor = RawVendor::start().await;
    let config = "upstream.aiclk.timeouts.pool_idle = '100ms'";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let mut hand = hand.arrives().await;
    hand.request().await;
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(caller.answer().await.text(), "ok");
    assert_eq!(hand.rest().await, b"");
    let idle = [("upstream", "aiclk"), ("state", "idle")];
    stage.metric_becomes("tokenward_upstream_connections", &idle, 0.0).await;
}
