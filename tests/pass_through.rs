//! What goes through the gateway stays as it is (p01, p06).

use crate::support::{Answer, Message, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    (vendor, stage)
}

/// The fields of a message without those of the names in `but`, as lower-case names and values.
fn fields_but(message: &Message, but: &[&str]) -> Vec<(String, String)> {
    let lower = message.fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    lower.filter(|(name, _)| !but.contains(&name.as_str())).collect()
}

#[tokio::test]
async fn p01_the_target_arrives_byte_for_byte() {
    let (vendor, stage) = stage().await;
    for target in [
        "/openapi/%41%2f%2F%25%zz?x=%2f%2F+%20",
        "/openapi//a///b",
        "/openapi/./a/../b/..",
        "/openapi/a;v=1;w/b?c;d",
        "/openapi/x?",
        "/openapi/x?=&&a=&=b&",
        "/openapi/x??a=?",
        "/openapi/x?a=1&a=2&a=1",
        "/openapi/x?url=http://other.example/a?b#c",
        "/openapi/!$&'()*+,:@~-._|^",
        "/openapi/x?q={a:[1,2]}|`\\",
        "/",
        "/?",
        "//",
        "//host.example/x",
    ] {
        let before = vendor.calls().len();
        let answer = stage.get("aiclk", target).await;
        assert_eq!(answer.status(), 200, "{target}: {answer:?}");
        let call = &vendor.calls()[before].request;
        // HTTP libraries take what follows for a fragment, which no server gets to see.
        let expected = target.replace('#', "%23");
        assert_eq!(call.line, format!("GET {expected} HTTP/1.1"));
    }
}

#[tokio::test]
async fn p01_methods_arrive_as_they_are() {
    let (vendor, stage) = stage().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get", "M-SEARCH"] {
        let before = vendor.calls().len();
        let request = format!("{method} /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stage.call("aiclk", request).await;
        assert_eq!(vendor.calls()[before].request.line, format!("{method} /openapi/x HTTP/1.1"));
    }
}

#[tokio::test]
async fn p01_fields_keep_their_values_order_and_repeats() {
    let (vendor, stage) = stage().await;
    let request = "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\nX-One: b\r\nAccept: */*\r\n\
         X-One: a, c\r\nCookie: k=v; l=\"w\"\r\nX-Empty:\r\nX-One: b\r\nUser-Agent: me/1.0 (x;y)\r\n\
         If-None-Match: \"abc\", W/\"d\"\r\nX-Latin: caf\u{e9}\r\nTrailer: x-sum\r\n\
         X-Forwarded-For: 10.0.0.1\r\nAuthorization: Basic eDp5\r\n\r\n";
    stage.call("aiclk", request).await;
    let call = vendor.only_call();
    assert_eq!(call.all("x-one"), ["b", "a, c", "b"]);
    assert_eq!(call.one("x-empty"), Some(""));
    assert_eq!(call.one("cookie"), Some("k=v; l=\"w\""));
    // Bytes of UTF-8, read as one character each.
    assert_eq!(call.one("x-latin"), Some("caf\u{c3}\u{a9}"));
    // aiclk's token has a field of its own: this one is the caller's.
    assert_eq!(call.one("authorization"), Some("Basic eDp5"));
    let mut expected: Vec<_> = [
        "host",
        "x-one",
        "x-one",
        "x-one",
        "accept",
        "cookie",
        "x-empty",
        "user-agent",
        "trailer",
        "if-none-match",
        "x-latin",
        "x-forwarded-for",
        "authorization",
        "ogw_access_token",
    ]
    .into();
    expected.sort();
    assert_eq!(call.names(), expected, "nothing is added but the token");
}

#[tokio::test]
async fn p01_nothing_is_added_to_a_bare_request() {
    let (vendor, stage) = stage().await;
    for request in [
        "GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "DELETE /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /openapi/x HTTP/1.0\r\n\r\n",
    ] {
        let before = vendor.calls().len();
        stage.call("aiclk", request).await;
        let call = &vendor.calls()[before].request;
        assert_eq!(call.names(), ["host", "ogw_access_token"], "{call:?}");
        assert!(call.line.ends_with(" HTTP/1.1"), "{call:?}");
    }
}

#[tokio::test]
async fn p01_hop_by_hop_fields_end_here() {
    let (vendor, stage) = stage().await;
    let hop = "Connection: keep-alive, X-Mine\r\nConnection: x-other\r\nX-Mine: 1\r\nX-Other: 2\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\n\
         TE: trailers\r\nUpgrade: h2c\r\n";
    let answer = "Connection: keep-alive, X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=7\r\n\
         Proxy-Authenticate: Basic\r\nX-End: 3\r\nUpgrade: h2c\r\n";
    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{answer}Content-Length: 2\r\n\r\nok")));
    let request = format!("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n{hop}X-End: 3\r\n\r\n");
    let answer = stage.call("aiclk", request).await;
    // What the caller said of trailers is said anew for the next hop.
    let call = vendor.only_call();
    assert_eq!(call.names(), ["connection", "host", "ogw_access_token", "te", "x-end"]);
    assert_eq!((call.all("connection"), call.all("te")), (vec!["te"], vec!["trailers"]));
    assert_eq!(answer.names(), ["content-length", "x-end"], "{answer:?}");
    assert_eq!(answer.text(), "ok");
}

#[tokio::test]
async fn p01_connection_cannot_name_what_frames_a_request_or_carries_the_token() {
    let (vendor, stage) = stage().await;
    let request = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\n\
         Connection: content-length, host, ogw_access_token, transfer-encoding\r\n\
         Content-Length: 4\r\n\r\nbody";
    assert_eq!(stage.call("aiclk", request).await.status(), 200);
    let call = vendor.only_call();
    assert_eq!(call.body, b"body");
    assert_eq!(call.one("ogw_access_token"), Some(&*vendor.token("aiclk", 1)));
    assert_eq!(call.one("host"), Some(&*vendor.address.to_string()));
}

#[tokio::test]
async fn p01_the_host_is_the_vendors_whatever_the_caller_says() {
    let (vendor, stage) = stage().await;
    for host in ["localhost", "127.0.0.1:1", "LOCALHOST:9"] {
        let before = vendor.calls().len();
        stage.call("aiclk", format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let call = &vendor.calls()[before].request;
        assert_eq!(call.one("host"), Some(&*vendor.address.to_string()));
    }
}

#[tokio::test]
async fn p01_redirects_are_handed_on() {
    let (vendor, stage) = stage().await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://{}/elsewhere?a=%2f", vendor.address);
        vendor.will(Answer::new(status, &[("Location", &location)], "moved"));
        let before = vendor.calls().len();
        let answer = stage.get("aiclk", "/openapi/x").await;
        assert_eq!((answer.status(), answer.one("location")), (status, Some(&*location)));
        assert_eq!(vendor.calls().len(), before + 1, "{status} was followed");
    }
}

#[tokio::test]
async fn p01_the_path_of_the_base_url_comes_before_the_target() {
    let vendor = RawVendor::start().await;
    let config = format!("upstream.aiclk.base_url = 'http://{}/base/v9/'", vendor.address);
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    for (target, expected) in [
        ("/openapi/x?a=%2f", "/base/v9/openapi/x?a=%2f"),
        ("/", "/base/v9/"),
        ("//x/..", "/base/v9//x/.."),
        ("/?q", "/base/v9/?q"),
    ] {
        let before = vendor.calls().len();
        stage.get("aiclk", target).await;
        assert_eq!(vendor.calls()[before].request.target(), expected);
    }
    let token_calls = vendor.token_calls("aiclk");
    assert_eq!(token_calls[0].target(), "/base/v9/oauth2/token");
}

#[tokio::test]
async fn p01_bodies_arrive_as_they_are() {
    let (vendor, stage) = stage().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let length = bytes.len();
    let head = |method: &str, framing: String| {
        format!("{method} /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n")
    };
    let chunked =
        [format!("{length:x};ext=1\r\n").as_bytes(), &bytes, b"\r\n1\r\n!\r\n0\r\n\r\n"].concat();
    let bang = [&bytes[..], b"!"].concat();
    for method in ["POST", "PUT", "DELETE", "PATCH", "GET"] {
        let length = head(method, format!("Content-Length: {length}\r\n"));
        let chunks = head(method, "Transfer-Encoding: chunked\r\n".to_owned());
        for (request, expected) in [
            ([length.as_bytes(), &bytes].concat(), &bytes),
            ([chunks.as_bytes(), &chunked].concat(), &bang),
        ] {
            let before = vendor.calls().len();
            assert_eq!(stage.call("aiclk", request).await.status(), 200);
            let call = &vendor.calls()[before].request;
            assert!(call.body == *expected, "{method}: {} bytes arrived", call.body.len());
        }
    }
}

#[tokio::test]
async fn p06_any_answer_is_handed_on_to_the_byte() {
    let (vendor, stage) = stage().await;
    let binary: Vec<u8> = (0..=255).rev().cycle().take(100_000).collect();
    let json = ("Content-Type", "application/json");
    for (status, fields, body) in [
        (200, vec![json], b"{\"code\":200,\"message\":\"Success\"}".to_vec()),
        (200, vec![], b"".to_vec()),
        (200, vec![("Content-Type", "image/png")], binary.clone()),
        (200, vec![json, ("Content-Encoding", "gzip")], b"\x1f\x8b\x08 not gzip at all".to_vec()),
        (200, vec![json, ("Content-Encoding", "br")], binary.clone()),
        (200, vec![json, ("Content-Encoding", "mystery")], binary.clone()),
        (200, vec![json], b"{\"code\":402,\"message\":\"access token exp".to_vec()),
        (201, vec![json, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/")], b"{}".to_vec()),
        (400, vec![json], b"{\"code\":400,\"message\":\"bad\"}".to_vec()),
        (403, vec![json], b"{\"code\":403,\"message\":\"no permission\"}".to_vec()),
        (404, vec![("Content-Type", "text/html")], b"<html>not here</html>".to_vec()),
        (418, vec![("X-Tea", "caf\u{e9}"), ("Date", "yesterday")], b"short".to_vec()),
        (429, vec![json, ("Retry-After", "17")], b"{\"code\":429,\"message\":\"slow\"}".to_vec()),
        (500, vec![json], b"{\"code\":500,\"message\":\"access token expired\"".to_vec()),
        (503, vec![("Retry-After", "3"), ("Server", "nginx")], b"".to_vec()),
        (599, vec![], b"?".to_vec()),
        (777, vec![], b"beyond".to_vec()),
    ] {
        let sent = Answer::new(status, &fields, &body);
        vendor.will(sent);
        let answer = stage.get("aiclk", "/openapi/x").await;
        assert_eq!(answer.status(), status);
        assert!(answer.body == body, "{status}: {answer:?}");
        let got = fields_but(&answer, &["content-length"]);
        let utf8_as_latin1 = |text: &str| text.bytes().map(char::from).collect::<String>();
        let expected: Vec<_> =
            fields.iter().map(|(n, v)| (n.to_lowercase(), utf8_as_latin1(v))).collect();
        assert_eq!(got, expected, "{status}");
    }
    assert_eq!(vendor.token_calls("aiclk").len(), 1, "nothing was refreshed");
}

#[tokio::test]
async fn p06_the_length_is_told_where_the_vendor_tells_it_and_chunks_stay_chunks() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::new(200, &[], "twelve bytes"));
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!(answer.one("content-length"), Some("12"));
    assert_eq!(answer.one("transfer-encoding"), None);

    let chunks = "Transfer-Encoding: chunked\r\n\r\n6\r\ntwelve\r\n6\r\n bytes\r\n0\r\n\r\n";
    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{chunks}")));
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!(answer.one("content-length"), None);
    assert_eq!(answer.text(), "twelve bytes");

    vendor.will(Answer::raw("HTTP/1.1 200 OK\r\n\r\ntwelve bytes").then_close());
    assert_eq!(stage.get("aiclk", "/openapi/x").await.text(), "twelve bytes");
}

#[tokio::test]
async fn p06_a_length_that_the_chunks_override_does_not_cut_the_answer() {
    let (vendor, stage) = stage().await;
    let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{both}")));
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!((answer.text().as_str(), answer.one("content-length")), ("hello", None));
}

#[tokio::test]
async fn p06_answers_without_a_body_are_handed_on() {
    let (vendor, stage) = stage().await;
    let mut caller = stage.caller("aiclk").await;
    let json = "Content-Type: application/json\r\n";

    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{json}Content-Length: 4711\r\n\r\n")));
    caller.send("HEAD /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = caller.answer_to_head().await;
    assert_eq!(answer.one("content-length"), Some("4711"));
    assert_eq!(vendor.calls()[0].request.line, "HEAD /openapi/x HTTP/1.1");

    vendor.will(Answer::raw("HTTP/1.1 204 No Content\r\nX-Is: 1\r\n\r\n"));
    caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = caller.answer().await;
    assert_eq!((answer.status(), answer.names()), (204, vec!["x-is".to_owned()]));

    let etag = "ETag: \"v1\"\r\nContent-Length: 99\r\n";
    vendor.will(Answer::raw(format!("HTTP/1.1 304 Not Modified\r\n{json}{etag}\r\n")));
    caller
        .send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \"v1\"\r\n\r\n")
        .await;
    let answer = caller.answer().await;
    assert_eq!((answer.status(), answer.one("etag")), (304, Some("\"v1\"")));

    // The connections on both sides are still in step.
    caller.send("GET /openapi/y HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(caller.answer().await.status(), 200);
    assert!(vendor.calls().iter().all(|call| call.connection == vendor.calls()[0].connection));
}

#[tokio::test]
async fn p06_an_answer_that_breaks_off_breaks_off_for_the_caller() {
    let (vendor, stage) = stage().await;
    for answer in [
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").then_close(),
        Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            .then_reset(),
    ] {
        vendor.will(answer);
        let mut caller = stage.caller("aiclk").await;
        caller.send("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let rest = caller.rest().await;
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.ends_with("0\r\n\r\n"), "an end that was none: {text}");
    }
}
