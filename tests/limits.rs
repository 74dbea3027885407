//! Limits of size, time and number: each ends what goes beyond it at once, with an answer and a
//! metric of its own (p27).

use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Answer, Caller, Message, RawVendor, Stage, soon, until};

async fn stage(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

const GET: &str = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn put(framing: &str) -> String {
    format!("PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
}

async fn reached(stage: &Stage, limit: &str) -> f64 {
    stage.metric("tokenward_limits_reached_total", &[("limit", limit)]).await
}

#[track_caller]
fn assert_own(answer: &Message, status: u16, kind: &str) {
    assert_eq!(
        (answer.status(), answer.one("tokenward-error")),
        (status, Some(kind)),
        "{answer:?}"
    );
    assert_eq!(answer.one("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["status"], status);
}

/// Sends a request that is too much, and everything about it is as it should be.
async fn assert_refused(
    config: &str,
    request: impl AsRef<[u8]>,
    expected: (u16, &str),
    limit: &str,
) {
    let (vendor, stage) = stage(config).await;
    let mut caller = stage.caller("aiclk").await;
    caller.send_if_taken(request).await;
    assert_own(&caller.answer().await, expected.0, expected.1);
    assert_eq!(caller.rest_without_reset().await, b"", "what follows could not be told apart");
    assert!(vendor.calls().is_empty(), "a byte has left: {:?}", vendor.calls());
    assert_eq!(reached(&stage, limit).await, 1.0, "{limit}");
}

#[tokio::test]
async fn p27_a_target_has_a_length() {
    let target = |length: usize| {
        let path = "x".repeat(length - "/openapi/".len());
        format!("GET /openapi/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    };
    for (config, length) in [("", 16 << 10), ("limits.target_bytes = '1KiB'", 1 << 10)] {
        let (_vendor, stage) = stage(config).await;
        assert_eq!(stage.call("aiclk", target(length)).await.status(), 200, "{length}");
        assert_refused(config, target(length + 1), (414, "target-too-long"), "target_bytes").await;
    }
}

#[tokio::test]
async fn p27_header_fields_have_a_size_and_a_number() {
    let long = |length: usize| {
        format!("GET /x HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "v".repeat(length))
    };
    for (config, under, over) in
        [("", 65_000, 66_000), ("limits.header_bytes = '1KiB'", 900, 1_100)]
    {
        let (_vendor, stage) = stage(config).await;
        assert_eq!(stage.call("aiclk", long(under)).await.status(), 200, "{under}");
        assert_refused(config, long(over), (431, "headers-too-large"), "header_bytes").await;
    }
    let many = |count: usize| {
        let fields: String = (1..count).map(|number| format!("X-{number}: 1\r\n")).collect();
        format!("GET /x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
    };
    for (config, count) in [("", 100), ("limits.headers = 10", 10), ("limits.headers = 300", 300)] {
        let (_vendor, stage) = stage(config).await;
        assert_eq!(stage.call("aiclk", many(count)).await.status(), 200, "{count}");
        assert_refused(config, many(count + 1), (431, "too-many-headers"), "headers").await;
    }
}

/// Nobody waits for the end of a head that is too long already.
#[tokio::test]
async fn p27_an_endless_head_is_refused_before_its_end() {
    let config = "limits = { header_bytes = '4KiB', target_bytes = '4KiB' }";
    let line = format!("GET /{}", "x".repeat(10_000));
    assert_refused(config, line, (414, "target-too-long"), "target_bytes").await;
    let field = format!("GET /x HTTP/1.1\r\nX: {}", "x".repeat(10_000));
    assert_refused(config, field, (431, "headers-too-large"), "header_bytes").await;
    let fields = format!("GET /x HTTP/1.1\r\n{}", "X: y\r\n".repeat(200));
    assert_refused("limits.headers = 50", fields, (431, "too-many-headers"), "headers").await;
}

#[tokio::test]
async fn p27_a_head_has_its_time() {
    let config = "limits.head = '100ms'";
    for begun in ["G", "P", "GET /x HTTP/1.1\r\n", "GET /x HTTP/1.1\r\nHost: localhost\r\nX-Half: "]
    {
        assert_refused(config, begun, (408, "request-timeout"), "head").await;
    }
}

/// A byte now and then does not prolong it.
#[tokio::test]
async fn p27_a_head_that_trickles_in_has_no_more_time_than_another() {
    let (_vendor, stage) = stage("limits.head = '200ms'").await;
    let mut caller = stage.caller("aiclk").await;
    caller.send("GET /x HTTP/1.1\r\nX-Long: ").await;
    let mut answered = std::pin::pin!(async {
        while caller.has_nothing().await {
            caller.send_if_taken("x").await;
            tokio::task::yield_now().await;
        }
        caller.answer().await
    });
    assert_own(&soon("an answer", &mut answered).await, 408, "request-timeout");
}

#[tokio::test]
async fn p27_a_connection_without_a_request_ends_quietly() {
    let (_vendor, stage) = stage("limits.keep_alive = '100ms'").await;
    let mut unused = stage.caller("aiclk").await;
    assert_eq!(unused.rest_without_reset().await, b"");
    let mut used = stage.caller("aiclk").await;
    used.send(GET).await;
    assert_eq!(used.answer().await.status(), 200);
    assert_eq!(used.rest_without_reset().await, b"");
}

#[tokio::test]
async fn p27_an_upload_that_stands_still_is_answered_and_taken_back() {
    for (framing, half) in
        [("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")]
    {
        let (vendor, stage) = stage("limits.idle = '100ms'").await;
        let hand = vendor.by_hand();
        let mut caller = stage.caller("aiclk").await;
        caller.send(put(framing) + half).await;
        let mut hand = hand.arrives().await;
        assert_own(&caller.answer().await, 408, "request-timeout");
        assert_eq!(caller.rest_without_reset().await, b"");
        let sent = String::from_utf8_lossy(hand.rest().await).into_owned();
        assert!(sent.ends_with("half") || sent.ends_with("half\r\n"), "{sent}");
        assert_eq!(reached(&stage, "idle").await, 1.0);
    }
}

/// The vendor need not answer before it has the whole request.
#[tokio::test]
async fn p28_a_silence_of_the_callers_is_not_said_to_be_the_vendors() {
    let (vendor, stage) = stage("upstream.aiclk.timeouts.first_byte = '100ms'").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(put("Content-Length: 10") + "half").await;
    let _hand = hand.arrives().await;
    assert_own(&caller.answer().await, 408, "request-timeout");
    assert_eq!((reached(&stage, "idle").await, reached(&stage, "first_byte").await), (1.0, 0.0));
}

#[tokio::test]
async fn p27_a_caller_who_does_not_read_is_given_up() {
    let (vendor, stage) = stage("limits.idle = '200ms'").await;
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let mut hand = hand.arrives().await;
    hand.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    soon("the gateway closes", hand.trickle_until_closed(&"data: 1\n\n".repeat(1000))).await;
    stage.metric_becomes("tokenward_limits_reached_total", &[("limit", "idle")], 1.0).await;
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
}

#[tokio::test]
async fn p27_a_body_has_a_size() {
    let config = "upstream.aiclk.limits.body = '1KiB'";
    let with_length =
        |length: usize| put(&format!("Content-Length: {length}")) + &"x".repeat(length);
    let (vendor, stage) = stage(config).await;
    assert_eq!(stage.call("aiclk", with_length(1024)).await.status(), 200);
    assert_eq!(vendor.only_call().body.len(), 1024);
    let chunks = |length: usize| {
        let chunk = format!("{:x}\r\n{}\r\n", length, "x".repeat(length));
        put("Transfer-Encoding: chunked") + &chunk + "0\r\n\r\n"
    };
    assert_eq!(stage.call("aiclk", chunks(1024)).await.status(), 200);
    // Its length alone says that it is too much; and where all of it is there, the connection goes on.
    let before = vendor.calls().len();
    let answer = stage.call("aiclk", with_length(1025)).await;
    assert_own(&answer, 413, "body-too-large");
    assert_eq!(vendor.calls().len(), before, "a byte has left");
    let announced = put("Content-Length: 1000000000000000");
    assert_refused(config, announced, (413, "body-too-large"), "body").await;

    // Chunks show it only when they have come that far.
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    let whole = chunks(1024);
    let (most, end) = whole.split_at(whole.len() - "0\r\n\r\n".len());
    caller.send(most).await;
    let mut hand = hand.arrives().await;
    caller.send(format!("1\r\nx\r\n{end}")).await;
    assert_own(&caller.answer().await, 413, "body-too-large");
    let sent = String::from_utf8_lossy(hand.rest().await).into_owned();
    assert!(!sent.ends_with("0\r\n\r\n"), "an end that was none: {sent}");
    assert_eq!(reached(&stage, "body").await, 2.0);
}

#[tokio::test]
async fn p27_an_upstream_has_so_many_requests_at_a_time() {
    let (vendor, stage) = stage("upstream.aiclk.limits.in_flight = 2").await;
    let (one, two) = (vendor.by_hand(), vendor.by_hand());
    let (mut first, mut second) = (stage.caller("aiclk").await, stage.caller("aiclk").await);
    first.send(GET).await;
    let mut one = one.arrives().await;
    second.send(GET).await;
    let mut two = two.arrives().await;
    // An answer counts until it has ended.
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    one.send(begun).await;
    two.send(begun).await;
    first.answer_so_far(|answer| !answer.body.is_empty()).await;

    let mut third = stage.caller("aiclk").await;
    third.send(GET).await;
    assert_own(&third.answer().await, 429, "too-many-requests");
    assert_eq!(reached(&stage, "in_flight").await, 1.0);
    assert_eq!(vendor.calls().len(), 2);
    // The other upstream has its own.
    assert_eq!(stage.get("jing", "/x").await.status(), 200);
    one.close();
    first.answer().await;
    third.send(GET).await;
    assert_eq!(third.answer().await.status(), 200, "the connection of a refused one goes on");
}

#[tokio::test]
async fn p27_callers_have_so_many_connections_at_a_time() {
    let (vendor, stage) = stage("limits.connections = 2").await;
    let (one, two) = (vendor.by_hand(), vendor.by_hand());
    let mut first = stage.caller("aiclk").await;
    let mut second = stage.caller("aiclk").await;
    first.send(GET).await;
    let mut one = one.arrives().await;
    second.send(GET).await;
    let two = two.arrives().await;
    let mut third = stage.caller("aiclk").await;
    // It is told at once, whether it says something or not.
    assert_own(&third.answer().await, 503, "too-many-connections");
    assert_eq!(third.rest_without_reset().await, b"");
    assert_eq!(reached(&stage, "connections").await, 1.0);
    // Whoever is refused and stays, for a while, does not count.
    stage.metric_becomes("tokenward_caller_connections", &[], 2.0).await;
    let mut fourth = stage.caller("aiclk").await;
    assert_own(&fourth.answer().await, 503, "too-many-connections");
    assert_eq!(stage.metric("tokenward_caller_connections", &[]).await, 2.0);
    one.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(first.answer().await.status(), 200, "those that are there go on");
    // The first has nothing to ask any more.
    assert_eq!(stage.get("jing", "/x").await.status(), 200);
    assert_eq!(first.rest_without_reset().await, b"");
    drop((second, two));
    soon("there is room again", async {
        while stage.get("aiclk", "/openapi/x").await.status() != 200 {}
    })
    .await;
}

#[tokio::test]
async fn p27_the_whole_of_a_request_has_its_time() {
    let (vendor, stage) = stage("upstream.aiclk.timeouts.total = '150ms'").await;
    vendor.will(Answer::silence());
    assert_own(&stage.get("aiclk", "/openapi/x").await, 504, "took-too-long");
    assert_eq!(reached(&stage, "total").await, 1.0);

    // An answer that never ends, though there is always something new in it.
    let hand = vendor.by_hand();
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let mut hand = hand.arrives().await;
    hand.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").await;
    let feeding = tokio::spawn(async move { hand.trickle_until_closed("1\r\nx\r\n").await });
    let rest = caller.rest().await;
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"), "an end that was none");
    soon("the vendor's connection is closed, too", feeding).await.expect("no panic");
    stage.metric_becomes("tokenward_limits_reached_total", &[("limit", "total")], 2.0).await;
}

#[tokio::test]
async fn p27_a_vendor_has_its_times() {
    let times = "upstream.aiclk.timeouts = { first_byte = '100ms', idle = '100ms' }";
    let (vendor, stage) = stage(times).await;
    vendor.will(Answer::silence());
    assert_own(&stage.get("aiclk", "/openapi/x").await, 504, "upstream-silent");
    assert_eq!(reached(&stage, "first_byte").await, 1.0);

    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    vendor.will(Answer::raw(half).then_silence());
    let mut caller = stage.caller("aiclk").await;
    caller.send(GET).await;
    let rest = caller.rest().await;
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"), "an end that was none");
    stage.metric_becomes("tokenward_limits_reached_total", &[("limit", "answer_idle")], 1.0).await;
}

#[tokio::test]
async fn p27_a_connection_to_the_vendor_has_its_time() {
    let (vendor, stage) = stage("upstream.aiclk.timeouts.connect = '200ms'").await;
    vendor.leave().await;
    // A listener whose queue is full: whoever knocks there hears nothing.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket option");
    socket.bind(vendor.address).expect("the vendor's port");
    let _listener = socket.listen(1).expect("a listener");
    let knock = || tokio::spawn(TcpStream::connect(vendor.address));
    let knocking: Vec<_> = (0..8).map(|_| knock()).collect();
    let through = || knocking.iter().filter(|it| it.is_finished()).count();
    until("the queue is full", || through() >= 2).await;
    assert_own(&stage.get("aiclk", "/openapi/x").await, 502, "upstream-unreachable");
    assert_eq!(reached(&stage, "connect").await, 1.0);
}

/// What a limit has refused leaves the next caller untouched.
#[tokio::test]
async fn p27_refusals_leave_nothing_behind() {
    let (vendor, stage) = stage("limits = { head = '50ms', idle = '50ms' }").await;
    for _ in 0..5 {
        let mut slow: Caller = stage.caller("aiclk").await;
        slow.send(put("Content-Length: 10") + "half").await;
        assert_own(&slow.answer().await, 408, "request-timeout");
    }
    stage.metric_becomes("tokenward_requests_in_flight", &[("upstream", "aiclk")], 0.0).await;
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    vendor.will(Answer::new(200, &[], "next"));
    assert_eq!(stage.get("aiclk", "/openapi/x").await.text(), "next");
}
