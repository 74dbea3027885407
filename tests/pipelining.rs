//! Callers of HTTP/1.0, and callers that send the next request before they have the answer to the
//! last (p04).

use crate::support::vendor::Gate;
use crate::support::{Answer, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    (vendor, stage)
}

/// Everything on a connection until the gateway closes it, as text.
async fn whole(stage: &Stage, request: impl AsRef<[u8]>) -> String {
    let mut caller = stage.caller("aiclk").await;
    caller.send(request).await;
    String::from_utf8(caller.rest_without_reset().await).expect("text")
}

fn body_of(whole: &str) -> &str {
    whole.split_once("\r\n\r\n").expect("a head").1
}

#[tokio::test]
async fn p04_http_1_0_gets_every_answer_and_then_the_end() {
    let (vendor, stage) = stage().await;
    let chunked =
        "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    for (answer, closes) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(), false),
        (format!("HTTP/1.1 200 OK\r\n{chunked}"), false),
        ("HTTP/1.1 200 OK\r\n\r\nok".to_owned(), true),
        ("HTTP/1.0 200 OK\r\n\r\nok".to_owned(), true),
    ] {
        for method in ["GET", "DELETE"] {
            for connection in ["", "Connection: close\r\n", "Connection: whatever\r\n"] {
                let answer = Answer::raw(answer.clone());
                vendor.will(if closes { answer.then_close() } else { answer });
                let request = format!("{method} /openapi/x HTTP/1.0\r\n{connection}\r\n");
                let got = whole(&stage, request).await;
                assert_eq!(body_of(&got), "ok", "{got}");
                assert!(!got.to_lowercase().contains("transfer-encoding"), "{got}");
            }
        }
    }
}

#[tokio::test]
async fn p04_http_1_0_can_keep_its_connection() {
    let (vendor, stage) = stage().await;
    let mut caller = stage.caller("aiclk").await;
    for number in 0..3 {
        let body = format!("answer {number}");
        vendor.will(Answer::new(200, &[], &body));
        let length = "Content-Length: 2\r\n\r\n{}";
        caller
            .send(format!("POST /openapi/x HTTP/1.0\r\nConnection: keep-alive\r\n{length}"))
            .await;
        let answer = caller.answer().await;
        assert_eq!(answer.text(), body);
        // Without being told, a caller of HTTP/1.0 takes the connection for closing.
        let stays = answer.one("connection").expect("an answer about the connection");
        assert_eq!(stays.to_lowercase(), "keep-alive");
    }
    // The end of an answer without a length can only be shown by closing.
    vendor.will(Answer::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ));
    caller.send("GET /openapi/x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await;
    let rest = String::from_utf8(caller.rest_without_reset().await).expect("text");
    assert!(body_of(&rest) == "ok" && !rest.to_lowercase().contains("chunked"), "{rest}");
}

#[tokio::test]
async fn p04_http_1_0_uploads_and_asks_for_heads() {
    let (vendor, stage) = stage().await;
    let got = whole(&stage, "POST /openapi/x HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody").await;
    assert!(got.starts_with("HTTP/1.0 200 "), "{got}");
    assert_eq!(vendor.only_call().body, b"body");
    vendor.will(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"));
    let got = whole(&stage, "HEAD /openapi/x HTTP/1.0\r\n\r\n").await;
    assert!(got.to_lowercase().contains("content-length: 9\r\n") && body_of(&got).is_empty());
}

/// RFC 9110, 15.2.
#[tokio::test]
async fn p04_http_1_0_is_sent_no_interim_answers() {
    let (vendor, stage) = stage().await;
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(3);
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast";
    vendor.will(Answer::raw(format!("HTTP/1.1 100 Continue\r\n\r\n{interim}{last}")));
    let got = whole(&stage, "GET /openapi/x HTTP/1.0\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.0 200 OK\r\n") && body_of(&got) == "last", "{got}");
}

#[tokio::test]
async fn p04_http_1_0_has_its_rejection_tried_again() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::rejection()).will(Answer::new(200, &[], "done"));
    let got = whole(&stage, "POST /openapi/x HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(body_of(&got), "done", "{got}");
    assert_eq!(vendor.calls()[1].request.body, b"{}");
}

/// Requests of every shape; what is in the bodies looks like requests.
fn mixture() -> Vec<String> {
    let trap = "GET /openapi/trap HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let host = "Host: localhost\r\n";
    vec![
        format!("GET /openapi/0 HTTP/1.1\r\n{host}\r\n"),
        format!("POST /openapi/1 HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{trap}", trap.len()),
        format!("HEAD /openapi/2 HTTP/1.1\r\n{host}\r\n"),
        format!(
            "PUT /openapi/3 HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{:x};x=y\r\n{trap}\r\n\
             0\r\n\r\n",
            trap.len()
        ),
        // An empty line before a request line is to be ignored (RFC 9112, 2.2).
        format!("\r\nPURGE /openapi/4 HTTP/1.1\r\n{host}\r\n"),
        format!("POST /openapi/5 HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("GET /openapi/6 HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
    ]
}

async fn assert_mixture_is_answered(bytes_at_once: usize, rejected: &[usize]) {
    let (vendor, stage) = stage().await;
    for number in 0..7 {
        if rejected.contains(&number) {
            vendor.will(Answer::rejection());
        }
        vendor.will(match number {
            2 => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
            _ => Answer::new(200, &[], format!("answer {number}")),
        });
    }
    let mut caller = stage.caller("aiclk").await;
    for piece in mixture().concat().as_bytes().chunks(bytes_at_once) {
        caller.send(piece).await;
    }
    for number in 0..7 {
        let answer = match number {
            2 => caller.answer_to_head().await,
            _ => caller.answer().await,
        };
        let expected = if number == 2 { String::new() } else { format!("answer {number}") };
        assert_eq!((answer.status(), answer.text()), (200, expected));
        let retried = rejected.contains(&number).then_some("recovered");
        assert_eq!(answer.one("tokenward-retry"), retried, "{number}");
    }
    assert_eq!(caller.rest_without_reset().await, b"");
    let calls = vendor.calls();
    let targets: Vec<_> = calls.iter().map(|call| call.request.target().to_owned()).collect();
    let mut expected = Vec::new();
    for number in 0..7 {
        let times = if rejected.contains(&number) { 2 } else { 1 };
        expected.extend(std::iter::repeat_n(format!("/openapi/{number}"), times));
    }
    assert_eq!(targets, expected);
    for call in calls {
        let has_body = ["/openapi/1", "/openapi/3"].contains(&call.request.target());
        assert_eq!(call.request.body.starts_with(b"GET /openapi/trap"), has_body);
    }
}

#[tokio::test]
async fn p04_pipelined_requests_of_every_shape_are_answered_in_order() {
    for bytes_at_once in [usize::MAX, 1000, 97, 1] {
        assert_mixture_is_answered(bytes_at_once, &[]).await;
    }
}

#[tokio::test]
async fn p08_a_rejection_amid_pipelined_requests_is_tried_again_in_its_place() {
    for rejected in [1, 3, 4] {
        assert_mixture_is_answered(usize::MAX, &[rejected]).await;
    }
    assert_mixture_is_answered(usize::MAX, &[0, 3, 6]).await;
}

#[tokio::test]
async fn p04_many_pipelined_requests_do_not_pile_up_at_the_vendor() {
    const COUNT: usize = 300;
    let (vendor, stage) = stage().await;
    let gate = Gate::new();
    for number in 0..COUNT {
        vendor.will(Answer::new(200, &[], number.to_string()).behind(&gate));
    }
    let mut caller = stage.caller("aiclk").await;
    let requests = (0..COUNT)
        .map(|number| format!("GET /openapi/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    caller.send(requests.collect::<String>()).await;
    for number in 0..COUNT {
        vendor.until("the next request", |calls| calls.len() == number + 1).await;
        gate.open(1);
        assert_eq!(caller.answer().await.text(), number.to_string());
    }
}

/// What comes after a request that closes is no request (RFC 9112, 9.6).
#[tokio::test]
async fn p04_nothing_is_done_after_a_request_that_closes() {
    let (vendor, stage) = stage().await;
    let mut caller = stage.caller("aiclk").await;
    let last = "GET /openapi/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    caller.send(format!("{last}{}", last.replace("/1", "/2"))).await;
    let answer = caller.answer().await;
    assert_eq!(answer.one("connection").map(str::to_lowercase).as_deref(), Some("close"));
    caller.rest().await;
    assert_eq!(vendor.only_call().target(), "/openapi/1");
}

/// A vendor's `Connection: close` is about its own connection.
#[tokio::test]
async fn p04_pipelined_requests_survive_a_vendor_who_closes_after_each() {
    let (vendor, stage) = stage().await;
    for number in 0..5 {
        let close = [("Connection", "close")];
        vendor.will(Answer::new(200, &close, number.to_string()).then_close());
    }
    let mut caller = stage.caller("aiclk").await;
    let request = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    caller.send(request.repeat(5)).await;
    for number in 0..5 {
        assert_eq!(caller.answer().await.text(), number.to_string());
    }
}
