//! Trailers in both directions (p04): what is announced arrives, and what is not harms nobody.

use crate::support::{Answer, Message, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    (vendor, stage)
}

/// What stands after the last chunk.
fn trailers(message: &Message) -> Vec<String> {
    let text = String::from_utf8_lossy(&message.raw).to_lowercase();
    let (_, end) = text.rsplit_once("\r\n0\r\n").expect("a last chunk");
    end.split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn request(te: &str, announced: &str, trailers: &str) -> String {
    let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";
    format!("{head}{te}{announced}\r\n2\r\nhi\r\n0\r\n{trailers}\r\n")
}

fn answer(announced: &str, trailers: &str) -> Answer {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
    Answer::raw(format!("{head}{announced}\r\n2\r\nok\r\n0\r\n{trailers}\r\n"))
}

#[tokio::test]
async fn p04_announced_trailers_of_a_request_arrive() {
    let (vendor, stage) = stage().await;
    for (announced, sent, expected) in [
        ("Trailer: X-Sum\r\n", "X-Sum: 1\r\n", vec!["x-sum: 1"]),
        ("trailer:x-sum\r\n", "x-sum:1\r\n", vec!["x-sum: 1"]),
        ("Trailer: X-A, X-B\r\n", "X-A: 1\r\nX-B: 2\r\n", vec!["x-a: 1", "x-b: 2"]),
        ("Trailer: X-A\r\nTrailer: X-B\r\n", "X-A: 1\r\nX-B: 2\r\n", vec!["x-a: 1", "x-b: 2"]),
        ("Trailer: X-A\r\n", "", vec![]),
    ] {
        let before = vendor.calls().len();
        assert_eq!(stage.call("aiclk", request("", announced, sent)).await.status(), 200);
        let call = &vendor.calls()[before].request;
        assert_eq!(call.body, b"hi");
        assert_eq!(trailers(call), expected, "{call:?}");
        assert!(!call.all("trailer").is_empty(), "{call:?}");
    }
}

/// RFC 9110, 10.1.4: only who says `TE: trailers` is sent any.
#[tokio::test]
async fn p04_announced_trailers_of_an_answer_arrive_where_they_are_wanted() {
    let (vendor, stage) = stage().await;
    for (te, expected) in [
        ("TE: trailers\r\n", vec!["x-sum: 12", "x-more: 13"]),
        ("Connection: TE\r\nte: gzip;q=0.5, Trailers\r\n", vec!["x-sum: 12", "x-more: 13"]),
        ("", vec![]),
    ] {
        let sent = "X-Sum: 12\r\nX-More: 13\r\n";
        vendor.will(answer("Trailer: X-Sum, X-More\r\n", sent));
        let before = vendor.calls().len();
        let got = stage.call("aiclk", request(te, "", "")).await;
        assert_eq!(got.text(), "ok");
        assert_eq!(trailers(&got), expected, "{got:?}");
        let call = &vendor.calls()[before].request;
        let wanted = if te.is_empty() { None } else { Some("trailers") };
        assert_eq!(call.one("te"), wanted, "{call:?}");
    }
}

/// They may be dropped (RFC 9110, 6.5.1); the message must stay whole.
#[tokio::test]
async fn p04_trailers_that_nobody_has_announced_do_no_harm() {
    let (vendor, stage) = stage().await;
    vendor.will(answer("", "X-Sum: 1\r\n"));
    let mut caller = stage.caller("aiclk").await;
    caller.send(request("TE: trailers\r\n", "", "X-Sum: 1\r\n")).await;
    let got = caller.answer().await;
    assert_eq!((got.status(), got.text().as_str()), (200, "ok"));
    let call = vendor.calls().pop().expect("a call").request;
    assert!(call.complete && call.body == b"hi", "{call:?}");
    caller.send("GET /openapi/y HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(caller.answer().await.status(), 200);
}

#[tokio::test]
async fn p25_trailers_that_would_frame_or_route_a_request_are_refused() {
    let (_, stage) = stage().await;
    for (number, sent) in
        ["Content-Length: 99", "Host: other", "Connection: close", "Transfer-Encoding: chunked"]
            .into_iter()
            .enumerate()
    {
        let got = stage.call("aiclk", request("", "", &format!("{sent}\r\n"))).await;
        assert_eq!(
            (got.status(), got.one("tokenward-error")),
            (400, Some("body-broken")),
            "{sent}"
        );
        assert!(got.text().contains("trailer"), "{got:?}");
        let fault = [("fault", "trailer-name")];
        let counted = stage.metric("tokenward_malformed_requests_total", &fault).await;
        assert_eq!(counted, number as f64 + 1.0, "{sent}");
    }
}

/// The token's own name, and what frames a message, must not come in by this door.
#[tokio::test]
async fn p25_trailers_cannot_shadow_the_token() {
    let (vendor, stage) = stage().await;
    for name in ["OGW_ACCESS_TOKEN", "ogw-access-token"] {
        let announced = format!("Trailer: {name}, X-Sum\r\n");
        let sent = format!("{name}: mine\r\nX-Sum: 1\r\n");
        let got = stage.call("aiclk", request("", &announced, &sent)).await;
        assert_eq!(got.status(), 200, "{got:?}");
        let call = vendor.calls().pop().expect("a call").request;
        let raw = String::from_utf8_lossy(&call.raw).to_lowercase();
        assert!(call.complete && !raw.contains("mine"), "{raw}");
    }
}

#[tokio::test]
async fn p04_trailers_survive_a_second_attempt() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::rejection()).will(answer("Trailer: X-Sum\r\n", "X-Sum: 12\r\n"));
    let request = request("TE: trailers\r\n", "Trailer: X-Own\r\n", "X-Own: 34\r\n");
    let got = stage.call("aiclk", request).await;
    assert_eq!(got.one("tokenward-retry"), Some("recovered"));
    assert_eq!(trailers(&got), ["x-sum: 12"]);
    for call in vendor.calls() {
        assert_eq!(trailers(&call.request), ["x-own: 34"]);
    }
}
