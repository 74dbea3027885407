//! Requests and answers to the byte, seen from raw sockets on both sides: targets, methods, the
//! lines of a head and their order (p01).

use crate::support::{Answer, Message, RawVendor, Stage};

async fn stage() -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).start().await;
    (vendor, stage)
}

/// The lines of a head in their order, names in lower case, without those that frame the message.
fn lines(message: &Message) -> Vec<String> {
    let framing = ["content-length", "transfer-encoding"];
    let lower = message.fields.iter().map(|(name, value)| (name.to_lowercase(), value));
    let kept = lower.filter(|(name, _)| !framing.contains(&name.as_str()));
    kept.map(|(name, value)| format!("{name}: {value}")).collect()
}

/// Bytes of UTF-8, read as one character each, as the support reads a head.
fn as_latin(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

#[tokio::test]
async fn p01_targets_at_the_edge_arrive_byte_for_byte() {
    let (vendor, stage) = stage().await;
    let long_path = format!("/openapi/{}", "a%2Fb%2fc/".repeat(820));
    let long_query = format!("/openapi/x?{}", "k=%e4%BD%a0&".repeat(700));
    for target in [
        "/openapi/%7e%7E/%2e%2E/%2e%2e/x",
        "/openapi/%00%0d%0a%20%25",
        "/openapi/%",
        "/openapi/%4",
        "/openapi/x?%",
        "/openapi//",
        "/openapi/..//../x;",
        "/..",
        "/../..",
        "/.",
        "/;",
        "/;?;",
        "/?/?",
        "/openapi/x?&",
        "/openapi/x?=",
        "/openapi/x?a&b&&=&=",
        "/openapi/x?a=b=c==",
        "/openapi/x?a[]=1&a[]=2&b[c]=d",
        "/openapi/x?+%2B+",
        "/openapi/caf\u{e9}/\u{65e5}\u{672c}?\u{e9}=\u{1f600}",
        "/http://other.example/x",
        "/x:80",
        "/@x",
        "/*",
        &long_path,
        &long_query,
    ] {
        let before = vendor.calls().len();
        let answer = stage.get("aiclk", target).await;
        assert_eq!(answer.status(), 200, "{target}: {answer:?}");
        let call = &vendor.calls()[before].request;
        assert_eq!(call.line, format!("GET {} HTTP/1.1", as_latin(target)));
    }
}

#[tokio::test]
async fn p01_the_asterisk_of_options_arrives() {
    let (vendor, stage) = stage().await;
    let answer = stage.call("aiclk", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(vendor.only_call().line, "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn p01_any_token_is_a_method() {
    let (vendor, stage) = stage().await;
    let long = "X".repeat(60);
    for method in ["PURGE", "PROPFIND", "BASELINE-CONTROL", "get", "gET", "!#$%&'*+-.^_`|~", &long]
    {
        for body in ["", "body"] {
            let before = vendor.calls().len();
            let length =
                if body.is_empty() { String::new() } else { "Content-Length: 4\r\n".to_owned() };
            let head = format!("{method} /openapi/x HTTP/1.1\r\nHost: localhost\r\n{length}");
            let answer = stage.call("aiclk", format!("{head}\r\n{body}")).await;
            assert_eq!(answer.status(), 200, "{method}");
            let call = &vendor.calls()[before].request;
            assert_eq!(call.line, format!("{method} /openapi/x HTTP/1.1"));
            assert_eq!(call.body, body.as_bytes());
        }
    }
}

#[tokio::test]
async fn p01_the_lines_of_a_request_keep_their_order_when_some_of_them_go() {
    let (vendor, stage) = stage().await;
    let request = "POST /openapi/x HTTP/1.1\r\nX-First: 1\r\nConnection: keep-alive, X-Mine\r\n\
         Host: localhost\r\nX-Mine: gone\r\nX-Second: 2\r\nKeep-Alive: timeout=5\r\n\
         X-Third: 3\r\nX-Third: 3b\r\nTE: gzip\r\nProxy-Connection: x\r\nX-Fourth: 4\r\n\
         Content-Length: 2\r\nOGW-Access-Token: mine\r\nX-Fifth: 5\r\nUpgrade: h2c\r\n\
         X-Mine: gone too\r\nAccept: b\r\nX-Sixth: 6\r\nUser-Agent: me\r\n\r\n{}";
    assert_eq!(stage.call("aiclk", request).await.status(), 200);
    let host = format!("host: {}", vendor.address);
    let token = format!("ogw_access_token: {}", vendor.token("aiclk", 1));
    let expected = [
        "x-first: 1",
        &host,
        "x-second: 2",
        "x-third: 3",
        "x-third: 3b",
        "x-fourth: 4",
        "x-fifth: 5",
        "accept: b",
        "x-sixth: 6",
        "user-agent: me",
        &token,
    ];
    assert_eq!(lines(&vendor.only_call()), expected);
}

#[tokio::test]
async fn p01_the_lines_of_an_answer_keep_their_order_when_some_of_them_go() {
    let (vendor, stage) = stage().await;
    let head = "HTTP/1.1 200 OK\r\nServer: theirs\r\nConnection: keep-alive, X-Theirs\r\n\
         Date: today\r\nX-Theirs: gone\r\nSet-Cookie: b=2\r\nSet-Cookie: a=1; Path=/\r\n\
         Keep-Alive: timeout=5\r\nX-Third: 3\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\
         Vary: b\r\nVary: a\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nX-Theirs: gone\r\n\
         X-Last-But-One: 4\r\nX-Last: 5\r\n\r\nok";
    vendor.will(Answer::raw(head));
    let expected = [
        "server: theirs",
        "date: today",
        "set-cookie: b=2",
        "set-cookie: a=1; Path=/",
        "x-third: 3",
        "vary: b",
        "vary: a",
        "content-type: text/plain",
        "x-last-but-one: 4",
        "x-last: 5",
    ];
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!(lines(&answer), expected);
}

/// Lines of one name may come together (RFC 9110, 5.3), but in their order, and where the first of
/// them stood.
#[tokio::test]
async fn p01_repeats_that_stand_apart_keep_their_order() {
    let (vendor, stage) = stage().await;
    let fields = "X-One: c\r\nX-Two: 1\r\nX-One: a\r\nX-Three: 3\r\nX-Two: 0\r\nX-One: b\r\n\
         X-One: a\r\n";
    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n")));
    let request = format!("GET /openapi/x HTTP/1.1\r\n{fields}Host: localhost\r\n\r\n");
    let answer = stage.call("aiclk", request).await;
    let expected =
        ["x-one: c", "x-one: a", "x-one: b", "x-one: a", "x-two: 1", "x-two: 0", "x-three: 3"];
    assert_eq!(lines(&answer), expected);
    assert_eq!(lines(&vendor.only_call())[..7], expected);
}

#[tokio::test]
async fn p01_a_second_attempt_has_its_lines_in_the_same_order() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::rejection());
    let request = "GET /openapi/x HTTP/1.1\r\nX-First: 1\r\nConnection: X-Mine\r\nX-Mine: 1\r\n\
         Host: localhost\r\nX-Second: 2\r\nX-Third: 3\r\nX-First: 1b\r\n\r\n";
    stage.call("aiclk", request).await;
    let names = |message: &Message| {
        message.fields.iter().map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>()
    };
    let calls = vendor.calls();
    let expected = ["x-first", "x-first", "host", "x-second", "x-third", "ogw_access_token"];
    assert_eq!(names(&calls[0].request), expected);
    assert_eq!(names(&calls[1].request), expected);
}

#[tokio::test]
async fn p01_what_connection_names_goes_however_it_is_spelled() {
    assert_named_goes(&[
        "Connection: X-Mine",
        "connection:x-mine",
        "CONNECTION:\t X-MINE \t",
        "Connection: keep-alive,X-Mine",
        "Connection: ,, ,X-Mine,,",
        "Connection: keep-alive\r\nConnection: X-Mine",
        "Connection: x-absent, x-mine,x-mine",
        "Connection:\r\nConnection: X-Mine",
        "Connection: \"x\", X-Mine, /",
        "Connection: X-Mine, content-length, transfer-encoding, host",
    ])
    .await;
}

/// What is no name takes nothing out, but the names beside it still do.
#[tokio::test]
async fn p01_what_connection_names_goes_beside_bytes_that_are_no_name() {
    assert_named_goes(&["Connection: caf\u{e9}, X-Mine", "Connection: X-Mine, \u{e9}"]).await;
}

async fn assert_named_goes(connections: &[&str]) {
    let (vendor, stage) = stage().await;
    for connection in connections {
        let fields = format!("X-Mine: 1\r\n{connection}\r\nX-MINE: 2\r\nX-Minelike: 3\r\n");
        vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok")));
        let request = format!("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let answer = stage.call("aiclk", request).await;
        let call = vendor.calls().pop().expect("a call").request;
        assert_eq!(call.names(), ["host", "ogw_access_token", "x-minelike"], "{connection}");
        assert_eq!(answer.names(), ["content-length", "x-minelike"], "{connection}");
        assert_eq!(answer.text(), "ok");
    }
}

#[tokio::test]
async fn p01_odd_values_stay_as_they_are() {
    let (vendor, stage) = stage().await;
    let long = "v".repeat(30_000);
    let values = [
        ":",
        "a: b",
        "a\tb  c",
        "\"quoted \\\" text\"",
        "(a (nested) comment)",
        "%0d%0aX: y",
        "=?utf-8?B?4pyT?=",
        "\u{65e5}\u{672c}",
        ",,a,,",
        &long,
    ];
    let fields: Vec<_> = (0..).zip(values).map(|(n, v)| format!("X-{n}: {v}\r\n")).collect();
    let fields = fields.concat();
    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n")));
    let request = format!("GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let answer = stage.call("aiclk", request).await;
    for (number, value) in (0..).zip(values) {
        let name = format!("x-{number}");
        let expected = as_latin(value);
        assert_eq!(vendor.only_call().one(&name), Some(&*expected));
        assert_eq!(answer.one(&name), Some(&*expected));
    }
}

#[tokio::test]
async fn p01_bytes_that_are_no_text_are_values_too() {
    let (vendor, stage) = stage().await;
    let value: Vec<u8> = (0x80..=0xff).collect();
    let field = [b"X-Latin: ", &value[..], b"\r\n"].concat();
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", &field[..], b"\r\n"].concat();
    vendor.will(Answer::raw(answer));
    let request = [b"GET /openapi/x HTTP/1.1\r\nHost: localhost\r\n", &field[..], b"\r\n"].concat();
    let answer = stage.call("aiclk", request).await;
    let expected: String = value.iter().map(|byte| char::from(*byte)).collect();
    // The support trims what Unicode calls white space.
    let expected = expected.trim();
    assert_eq!(vendor.only_call().one("x-latin"), Some(expected));
    assert_eq!(answer.one("x-latin"), Some(expected));
}

#[tokio::test]
async fn p01_many_fields_pass_both_ways() {
    let (vendor, stage) = stage().await;
    let fields: Vec<_> = (0..95).map(|number| format!("x-{number}: {number}")).collect();
    let head = fields.join("\r\n");
    vendor.will(Answer::raw(format!("HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 0\r\n\r\n")));
    let request = format!("GET /openapi/x HTTP/1.1\r\n{head}\r\nHost: localhost\r\n\r\n");
    let answer = stage.call("aiclk", request).await;
    assert_eq!(lines(&answer), fields);
    assert_eq!(lines(&vendor.only_call())[..95], fields);
}

#[tokio::test]
async fn p01_the_words_of_a_status_line_stay() {
    let (vendor, stage) = stage().await;
    for line in ["200 Fine", "404 Nicht da", "200 OK", "299 ", "418 I'm a teapot", "520 <html>"] {
        vendor.will(Answer::raw(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")));
        let answer = stage.get("aiclk", "/openapi/x").await;
        assert_eq!(answer.line.trim_end(), format!("HTTP/1.1 {line}").trim_end());
    }
}
