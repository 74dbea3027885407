//! Answers in every shape that vendors give them: without bodies, without lengths, from HTTP/1.0,
//! in single bytes, with interim answers before them (p04, p06).

use crate::support::message::find;
use crate::support::{Answer, Caller, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    (vendor, stage)
}

async fn ask(caller: &mut Caller, method: &str) {
    caller.send(format!("{method} /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
}

/// Both sides are in step: the next request on this connection gets its own answer.
async fn is_in_step(vendor: &RawVendor, mut caller: Caller) {
    for number in 0..3 {
        let body = format!("next {number}");
        vendor.will(Answer::new(200, &[], &body));
        ask(&mut caller, "GET").await;
        let answer = caller.answer().await;
        assert_eq!((answer.status(), answer.text()), (200, body));
    }
}

#[tokio::test]
async fn p06_head_is_answered_with_the_head_alone() {
    let (vendor, stage) = stage().await;
    for fields in [
        "Content-Length: 4711\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "",
        "Content-Type: application/json\r\nContent-Length: 43\r\n",
    ] {
        for status in ["200 OK", "404 Not Found", "204 No Content", "304 Not Modified"] {
            vendor.will(Answer::raw(format!("HTTP/1.1 {status}\r\n{fields}X-Is: 1\r\n\r\n")));
            let mut caller = stage.caller("aiclk").await;
            ask(&mut caller, "HEAD").await;
            let answer = caller.answer_to_head().await;
            assert_eq!(
                (answer.status(), answer.one("x-is")),
                (status[..3].parse().unwrap(), Some("1"))
            );
            if let Some(length) = fields.lines().find_map(|it| it.strip_prefix("Content-Length: "))
                && status != "204 No Content"
            {
                assert_eq!(answer.one("content-length"), Some(length), "{status}");
            }
            is_in_step(&vendor, caller).await;
        }
    }
}

/// A vendor that sends a body where none may be: it must reach nobody as an answer of its own.
#[tokio::test]
async fn p06_a_body_where_none_may_be_is_not_taken_for_the_next_answer() {
    let (vendor, stage) = stage().await;
    let stray = "HTTP/1.1 500 Stray\r\nContent-Length: 5\r\n\r\nstray";
    for (method, status) in
        [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
    {
        for body in ["hello", stray] {
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            vendor.will(Answer::raw(format!("{head}{body}")));
            let mut caller = stage.caller("aiclk").await;
            ask(&mut caller, method).await;
            let answer = caller.answer_to_head().await;
            assert_eq!(answer.status().to_string(), status[..3]);
            is_in_step(&vendor, caller).await;
        }
    }
}

#[tokio::test]
async fn p06_bytes_after_an_answer_are_not_taken_for_the_next_one() {
    let stray = "HTTP/1.1 500 Stray\r\nContent-Length: 5\r\n\r\nstray";
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let (vendor, stage) = stage().await;
        vendor.will(Answer::raw(format!("{answer}{stray}")));
        let mut caller = stage.caller("aiclk").await;
        ask(&mut caller, "GET").await;
        assert_eq!(caller.answer().await.text(), "ok");
        is_in_step(&vendor, caller).await;
    }
}

#[tokio::test]
async fn p06_204_and_304_have_no_body_whatever_their_head_says() {
    let (vendor, stage) = stage().await;
    for (status, fields) in [
        (204, ""),
        (204, "Content-Length: 0\r\n"),
        (204, "Content-Length: 99\r\n"),
        (204, "Transfer-Encoding: chunked\r\n"),
        (304, ""),
        (304, "Content-Length: 99\r\n"),
        (304, "Transfer-Encoding: chunked\r\n"),
        (304, "Content-Type: application/json\r\nETag: \"v\"\r\nContent-Length: 99\r\n"),
    ] {
        vendor.will(Answer::raw(format!("HTTP/1.1 {status} So\r\n{fields}\r\n")));
        let mut caller = stage.caller("aiclk").await;
        ask(&mut caller, "GET").await;
        let answer = caller.answer().await;
        assert_eq!(answer.status(), status, "{fields}");
        if status == 204 {
            // RFC 9110, 8.6.
            assert_eq!(answer.one("content-length"), None, "{fields}");
        }
        is_in_step(&vendor, caller).await;
    }
}

/// It is that of what was not sent.
#[tokio::test]
async fn p01_a_304_keeps_its_length() {
    let (vendor, stage) = stage().await;
    for length in ["99", "0"] {
        vendor.will(Answer::raw(format!("HTTP/1.1 304 So\r\nContent-Length: {length}\r\n\r\n")));
        let answer = stage.get("aiclk", "/openapi/x").await;
        assert_eq!(answer.one("content-length"), Some(length));
    }
}

#[tokio::test]
async fn p06_empty_bodies_are_empty() {
    let (vendor, stage) = stage().await;
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    ] {
        vendor.will(Answer::raw(answer));
        let mut caller = stage.caller("aiclk").await;
        ask(&mut caller, "GET").await;
        let got = caller.answer().await;
        assert_eq!((&got.line[9..12], &got.body[..]), (&answer[9..12], &b""[..]), "{got:?}");
        is_in_step(&vendor, caller).await;
    }
}

#[tokio::test]
async fn p04_interim_answers_leave_the_final_one_intact() {
    let (vendor, stage) = stage().await;
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let processing = "HTTP/1.1 102 Processing\r\nX-Step: 1\r\n\r\n";
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n";
    let odd = "HTTP/1.1 199 Odd\r\nContent-Length: 5\r\n\r\n";
    let last = "HTTP/1.1 201 Last\r\nX-Last: 1\r\nContent-Length: 4\r\n\r\nlast";
    for interim in [
        go_on.to_owned(),
        go_on.repeat(5),
        processing.repeat(20),
        hints.to_owned(),
        odd.to_owned(),
        format!("{go_on}{processing}{hints}{processing}"),
    ] {
        for split in [false, true] {
            let answer = Answer::raw(format!("{interim}{last}"));
            vendor.will(if split { answer.split() } else { answer });
            let mut caller = stage.caller("aiclk").await;
            let body = "Content-Length: 2\r\n\r\n{}";
            caller.send(format!("PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n{body}")).await;
            let mut answer = caller.answer().await;
            while answer.status() < 200 {
                answer = caller.answer().await;
            }
            assert_eq!((answer.status(), answer.one("x-last")), (201, Some("1")), "{interim}");
            assert_eq!((answer.text().as_str(), answer.one("link")), ("last", None));
            is_in_step(&vendor, caller).await;
        }
    }
}

/// A rejection with interim answers before it is still one, and none of them is left over.
#[tokio::test]
async fn p04_interim_answers_before_a_rejection_do_not_reach_the_second_answer() {
    let (vendor, stage) = stage().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let no = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    vendor.will(Answer::raw(format!("{hints}{no}")));
    vendor.will(Answer::new(200, &[], "yes"));
    let mut caller = stage.caller("aiclk").await;
    ask(&mut caller, "GET").await;
    let mut answer = caller.answer().await;
    while answer.status() < 200 {
        answer = caller.answer().await;
    }
    assert_eq!((answer.text().as_str(), answer.one("link")), ("yes", None));
    assert_eq!(answer.one("tokenward-retry"), Some("recovered"));
}

#[tokio::test]
async fn p04_vendors_of_http_1_0_are_understood() {
    let (vendor, stage) = stage().await;
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\nthe body",
        "HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nthe body",
        "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nthe body",
    ] {
        for _ in 0..2 {
            vendor.will(Answer::raw(answer).then_close());
            let mut caller = stage.caller("aiclk").await;
            ask(&mut caller, "GET").await;
            let got = caller.answer().await;
            assert_eq!((&*got.line, &*got.text()), ("HTTP/1.1 200 OK", "the body"));
            is_in_step(&vendor, caller).await;
        }
    }
    let stays = "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 8\r\n\r\nthe body";
    let before = vendor.calls().len();
    for _ in 0..3 {
        vendor.will(Answer::raw(stays));
        assert_eq!(stage.get("aiclk", "/openapi/x").await.text(), "the body");
    }
    let calls = vendor.calls();
    assert!(calls[before..].iter().all(|call| call.connection == calls[before].connection));
}

/// HTTP/1.0 knows no chunks, and no later request may follow on its connection unless it says so.
#[tokio::test]
async fn p04_a_vendor_of_http_1_0_that_does_not_close_is_not_used_again() {
    let (vendor, stage) = stage().await;
    for _ in 0..3 {
        vendor.will(Answer::raw("HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nthe body"));
        assert_eq!(stage.get("aiclk", "/openapi/x").await.text(), "the body");
    }
    let connections: Vec<_> = vendor.calls().iter().map(|call| call.connection).collect();
    assert!(connections.windows(2).all(|pair| pair[0] != pair[1]), "{connections:?}");
}

#[tokio::test]
async fn p04_a_vendor_who_closes_after_each_answer_is_no_problem() {
    for announces in [true, false] {
        let (vendor, stage) = stage().await;
        let mut caller = stage.caller("aiclk").await;
        for number in 0..30 {
            let body = format!("answer {number}");
            let close: &[_] = if announces { &[("Connection", "close")] } else { &[] };
            vendor.will(Answer::new(200, close, &body).then_close());
            ask(&mut caller, "POST").await;
            let answer = caller.answer().await;
            assert_eq!((answer.status(), answer.text()), (200, body));
            assert_eq!(answer.one("connection"), None, "the caller's connection is another one");
        }
        assert_eq!(vendor.calls().len(), 30);
    }
}

#[tokio::test]
async fn p04_an_answer_without_a_length_ends_with_its_connection() {
    let (vendor, stage) = stage().await;
    let body = "no length ".repeat(10_000);
    for fields in ["", "Content-Type: application/json\r\n", "Connection: close\r\n"] {
        vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")).then_close());
        let mut caller = stage.caller("aiclk").await;
        ask(&mut caller, "GET").await;
        let answer = caller.answer().await;
        assert!(answer.complete && answer.text() == body, "{fields}");
        is_in_step(&vendor, caller).await;

        vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")).then_close());
        let mut caller = stage.caller("aiclk").await;
        caller.send("GET /openapi/x HTTP/1.0\r\n\r\n").await;
        let rest = caller.rest_without_reset().await;
        let head = find(&rest, b"\r\n\r\n").expect("a head") + 4;
        assert!(rest[head..] == *body.as_bytes(), "{fields}");
    }
}

#[tokio::test]
async fn p04_answers_in_single_bytes_are_answers() {
    let (vendor, stage) = stage().await;
    let chunks = "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nthe b\r\n003\r\nody\r\n0\r\n\r\n";
    for answer in [
        "HTTP/1.1 200 OK\r\nX-Is: 1\r\nContent-Length: 8\r\n\r\nthe body".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX-Is: 1\r\n{chunks}"),
    ] {
        vendor.will(Answer::raw(answer).split());
        let mut caller = stage.caller("aiclk").await;
        ask(&mut caller, "GET").await;
        let answer = caller.answer().await;
        assert_eq!((&*answer.text(), answer.one("x-is")), ("the body", Some("1")));
        is_in_step(&vendor, caller).await;
    }
}

#[tokio::test]
async fn p04_chunks_may_have_extensions_and_odd_sizes() {
    let (vendor, stage) = stage().await;
    let ten = "0123456789";
    for chunks in [
        format!("A\r\n{ten}\r\n0\r\n\r\n"),
        format!("a;name=value;other=\"a;b\"\r\n{ten}\r\n0;last\r\n\r\n"),
        format!("00000A\r\n{ten}\r\n000\r\n\r\n"),
        "1\r\n0\r\n9;x\r\n123456789\r\n0\r\n\r\n".to_owned(),
        format!("a\r\n{ten}\r\n0\r\nX-Trailer: unannounced\r\n\r\n"),
        format!("a;{}\r\n{ten}\r\n0\r\n\r\n", "e".repeat(5000)),
    ] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        vendor.will(Answer::raw(format!("{head}{chunks}")));
        let mut caller = stage.caller("aiclk").await;
        ask(&mut caller, "GET").await;
        let answer = caller.answer().await;
        assert_eq!((answer.status(), &*answer.text()), (200, ten), "{chunks}");
        is_in_step(&vendor, caller).await;
    }
}

#[tokio::test]
async fn p04_a_very_long_field_of_an_answer_passes() {
    let (vendor, stage) = stage().await;
    for length in [10_000, 60_000, 200_000] {
        let value = "v".repeat(length);
        vendor.will(Answer::new(200, &[("X-Long", &value)], "ok"));
        let answer = stage.get("aiclk", "/openapi/x").await;
        assert_eq!(answer.status(), 200, "{length}");
        assert!(answer.one("x-long") == Some(&value), "{length}");
    }
}
