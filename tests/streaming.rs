//! Streams stay streams, and connections are used again (p03, p04).

use crate::support::vendor::Gate;
use crate::support::{Answer, Message, RawVendor, Stage, soon};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    (vendor, stage)
}

#[tokio::test]
async fn p03_the_first_byte_of_an_upload_arrives_before_the_last_is_sent() {
    let (vendor, stage) = stage().await;
    let mut caller = stage.caller("aiclk").await;
    for (framing, first, second, last) in [
        ("Content-Length: 9", "one", "two", "end"),
        ("Transfer-Encoding: chunked", "3\r\none\r\n", "3\r\ntwo\r\n", "3\r\nend\r\n0\r\n\r\n"),
    ] {
        let place = vendor.calls().len();
        let head = format!("POST /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
        caller.send(head).await;
        vendor.until("the head arrives", |calls| calls.len() > place).await;
        caller.send(first).await;
        vendor.until("one arrives", |calls| calls[place].request.body == b"one").await;
        caller.send(second).await;
        vendor.until("two arrives", |calls| calls[place].request.body == b"onetwo").await;
        caller.send(last).await;
        assert_eq!(caller.answer().await.status(), 200);
        assert_eq!(vendor.calls()[place].request.body, b"onetwoend");
    }
}

#[tokio::test]
async fn p03_the_first_byte_of_an_answer_arrives_before_the_last_is_sent() {
    let (vendor, stage) = stage().await;
    for content_type in ["text/event-stream", "application/octet-stream", "text/html", "video/mp4"]
    {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n");
        let answer = format!("{head}Content-Length: 1000\r\n\r\ndata: one\n\n");
        vendor.will(Answer::raw(answer).then_silence());
        let mut caller = stage.caller("aiclk").await;
        caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let begun = caller.answer_so_far(|answer| answer.body == b"data: one\n\n").await;
        assert!(!begun.complete);
    }
}

#[tokio::test]
async fn p03_an_answer_that_cannot_be_a_rejection_any_more_is_not_held_up() {
    let (vendor, stage) = stage().await;
    // JSON whose first members decide, and JSON that says nothing of itself yet beyond 64 KiB.
    let decided = "{\"code\":200,\"data\":[1,2,".to_owned();
    let endless = format!("{{\"data\":[\"{}\",", "x".repeat(70_000));
    for body in [decided, endless] {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let answer = format!("{head}Content-Length: 1000000\r\n\r\n{body}");
        vendor.will(Answer::raw(answer).then_silence());
        let mut caller = stage.caller("aiclk").await;
        caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        caller.answer_so_far(|answer| answer.body == body.as_bytes()).await;
    }
}

#[tokio::test]
async fn p03_events_come_one_by_one() {
    let stage = Stage::new().await;
    let mut caller = stage.caller("jing").await;
    let target = "/v1/-/stream?chunks=100000&delay_ms=1";
    caller.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let begun = caller.answer_so_far(|answer| answer.body.len() >= 45).await;
    assert_eq!(begun.one("content-type"), Some("text/event-stream"));
    assert!(begun.text().starts_with("data: sandbox\n\ndata: sandbox\n\ndata: sandbox\n\n"));
    assert!(!begun.complete, "nobody waited for all of them");
}

#[tokio::test]
async fn p03_a_caller_who_goes_away_ends_the_stream() {
    let stage = Stage::new().await;
    let mut caller = stage.caller("aiclk").await;
    let target = "/openapi/-/stream?chunks=100000&delay_ms=1";
    caller.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    caller.answer_so_far(|answer| !answer.body.is_empty()).await;
    let active = [("upstream", "aiclk"), ("state", "active")];
    assert_eq!(stage.metric("tokenward_upstream_connections", &active).await, 1.0);
    drop(caller);
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    stage.metric_becomes("tokenward_requests_in_flight", &[("upstream", "aiclk")], 0.0).await;
}

#[tokio::test]
async fn p04_one_connection_serves_many_requests_on_both_sides() {
    let (vendor, stage) = stage().await;
    let mut caller = stage.caller("aiclk").await;
    for number in 0..20 {
        let body = format!("body {number}");
        let head = format!("Host: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        caller.send(format!("POST /openapi/{number} HTTP/1.1\r\n{head}")).await;
        assert_eq!(caller.answer().await.status(), 200);
    }
    let calls = vendor.calls();
    assert_eq!(calls.len(), 20);
    assert!(calls.iter().all(|call| call.connection == calls[0].connection));
}

#[tokio::test]
async fn p04_pipelined_requests_are_answered_in_their_order() {
    let (vendor, stage) = stage().await;
    let gate = Gate::new();
    vendor.will(Answer::new(200, &[], "first").behind(&gate));
    vendor.will(Answer::new(200, &[], "second")).will(Answer::new(200, &[], "third"));
    let mut caller = stage.caller("aiclk").await;
    let requests = ["1", "2", "3"].map(|number| {
        format!("POST /openapi/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{number}")
    });
    caller.send(requests.concat()).await;
    gate.open(1);
    for expected in ["first", "second", "third"] {
        assert_eq!(caller.answer().await.text(), expected);
    }
    let calls = vendor.calls();
    let targets: Vec<_> = calls.iter().map(|call| call.request.target()).collect();
    assert_eq!(targets, ["/openapi/1", "/openapi/2", "/openapi/3"]);
}

#[tokio::test]
async fn p04_http_1_0_is_answered_and_closed() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ));
    let mut caller = stage.caller("aiclk").await;
    caller.send("GET /openapi/x HTTP/1.0\r\n\r\n").await;
    let rest = String::from_utf8(caller.rest().await).expect("text");
    assert!(rest.starts_with("HTTP/1.0 200 OK\r\n") && rest.ends_with("\r\n\r\nok"), "{rest}");
}

#[tokio::test]
async fn p04_a_caller_who_waits_for_100_continue_is_told_to_go_on() {
    let (vendor, stage) = stage().await;
    let mut caller = stage.caller("aiclk").await;
    let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
         Content-Length: 4\r\n\r\n";
    caller.send(head).await;
    let go_on = soon("100 Continue", caller.answer()).await;
    assert_eq!(go_on.status(), 100);
    caller.send("body").await;
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(vendor.only_call().body, b"body");
}

#[tokio::test]
async fn p04_trailers_travel_both_ways() {
    let (vendor, stage) = stage().await;
    let chunks = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\n\r\n";
    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\n{chunks}")));
    let request = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nTrailer: X-Own\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Own: 34\r\n\r\n";
    let answer = stage.call("aiclk", request).await;
    let raw = |message: &Message| String::from_utf8_lossy(&message.raw).to_lowercase();
    assert!(raw(&vendor.only_call()).ends_with("0\r\nx-own: 34\r\n\r\n"), "{:?}", vendor.calls());
    assert!(raw(&answer).ends_with("0\r\nx-sum: 12\r\n\r\n"), "{answer:?}");
}

#[tokio::test]
async fn p04_interim_answers_of_the_vendor_do_not_confuse() {
    let (vendor, stage) = stage().await;
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast";
    vendor.will(Answer::raw(format!("{interim}{last}")));
    let answer = stage.post("aiclk", "/openapi/x", "{}").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "last"));
}

#[tokio::test]
async fn p03_an_answer_that_comes_before_the_upload_has_ended_reaches_the_caller() {
    let (vendor, stage) = stage().await;
    for closes in [false, true] {
        let refusal = Answer::new(413, &[], "too large for us").at_head();
        vendor.will(if closes { refusal.then_close() } else { refusal });
        let mut caller = stage.caller("aiclk").await;
        let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
        caller.send(format!("{head}{}", "x".repeat(1000))).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (413, "too large for us"));
    }
}

#[tokio::test]
async fn p03_large_bodies_pass_both_ways() {
    const SIZE: usize = 24 * 1024 * 1024;
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    let body = vec![b'y'; SIZE];
    vendor.will(Answer::new(200, &[("Content-Type", "application/octet-stream")], &body));
    let head =
        format!("PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n");
    let answer = stage.call("aiclk", [head.as_bytes(), &body].concat()).await;
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    assert!(vendor.only_call().body == body);
}

/// Nobody else gets a connection of which half an answer has been read.
#[tokio::test]
async fn p04_a_connection_is_busy_until_the_body_of_its_answer_has_ended() {
    let (vendor, stage) = stage().await;
    let connections = async |active: f64, idle: f64| {
        for (state, count) in [("active", active), ("idle", idle)] {
            let labels = [("upstream", "aiclk"), ("state", state)];
            stage.metric_becomes("tokenward_upstream_connections", &labels, count).await;
        }
    };
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut hand = hand.arrives().await;
    hand.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
    caller.answer_so_far(|answer| answer.body == b"half").await;
    connections(1.0, 0.0).await;
    assert_eq!(stage.get("aiclk", "/openapi/other").await.status(), 200);
    let calls = vendor.calls();
    assert_ne!(calls[0].connection, calls[1].connection);
    connections(1.0, 1.0).await;
    hand.send("half").await;
    assert_eq!(caller.answer().await.text(), "halfhalf");
    connections(0.0, 2.0).await;
}
