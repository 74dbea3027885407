//! Which answers mean that the token is dead, however they are wrapped, and which do not (p07).

use std::io::Write;

use http::StatusCode;

use crate::support::{Answer, Message, RawVendor, Stage, recording};

/// A vendor, and a gateway whose rejections may spend as many refreshes as they like.
struct Scene {
    vendor: RawVendor,
    stage: Stage,
}

impl Scene {
    async fn new() -> Self {
        let vendor = RawVendor::start().await;
        let plenty =
            "upstream.aiclk.refresh.per_minute = 1000\nupstream.jing.refresh.per_minute = 1000";
        let stage = Stage::plan().before(vendor.address).config(plenty).start().await;
        Self { vendor, stage }
    }

    /// Sends a call whose first answer is this one, and expects that it is healed.
    async fn heals(&self, what: &str, answer: Answer) {
        let (calls, tokens) = self.counts("aiclk");
        self.vendor.will(answer);
        let answer = self.stage.post("aiclk", "/openapi/v1/x", "{\"a\":1}").await;
        assert_eq!(answer.text(), recording("aiclk/account_info", &[]), "{what}");
        assert_eq!(answer.one("tokenward-retry"), Some("recovered"), "{what}");
        assert_eq!(self.counts("aiclk"), (calls + 2, tokens + 1), "{what}");
    }

    /// Sends a call with this answer, and expects that it is handed on and nothing else happens.
    async fn hands_on(&self, upstream: &'static str, what: &str, answer: Answer) -> Message {
        let (calls, tokens) = self.counts(upstream);
        self.vendor.will(answer);
        let answer = self.stage.post(upstream, "/v1/x", "{\"a\":1}").await;
        assert_eq!(answer.one("tokenward-retry"), None, "{what}");
        assert_eq!(self.counts(upstream), (calls + 1, tokens), "{what}");
        answer
    }

    /// Business calls, and calls of the token endpoint.
    fn counts(&self, upstream: &'static str) -> (usize, usize) {
        (self.vendor.calls().len(), self.vendor.token_calls(upstream).len())
    }

    /// Nothing was refreshed without being waited for, either.
    async fn refreshed_nothing(&self) {
        let rejected = [("reason", "rejected")];
        assert_eq!(self.stage.metric("tokenward_token_refreshes_total", &rejected).await, 0.0);
    }
}

fn encoded(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match encoding {
        "gzip" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
            gzip.write_all(plain).expect("memory");
            gzip.finish().expect("memory")
        }
        "deflate" => {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
            zlib.write_all(plain).expect("memory");
            zlib.finish().expect("memory")
        }
        "br" => {
            let mut brotli = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams { quality: 4, ..Default::default() };
            brotli::BrotliCompress(&mut &plain[..], &mut brotli, &parameters).expect("memory");
            brotli
        }
        "zstd" => {
            let mut zstd = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
            zstd_safe::compress(&mut zstd, plain, 3).expect("memory");
            zstd
        }
        other => panic!("no encoding {other}"),
    }
}

/// aiclk's rejection with so many bytes of data before its code.
fn late_rejection(bytes: usize) -> String {
    // Text that no compressor shortens to nothing.
    let data: String =
        (0..bytes / 8).map(|number| format!("{:08x}", number * 2_654_435_761)).collect();
    format!("{{\"data\":[\"{data}\"],\"code\":401,\"message\":\"access token expired\"}}")
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn p07_every_recorded_rejection_is_healed() {
    let Scene { vendor, stage } = Scene::new().await;
    for (upstream, target) in [("aiclk", "/openapi/v1/x"), ("jing", "/v1/x")] {
        for (name, status) in [
            ("rejected_expired", 200),
            ("rejected_expired_zh", 200),
            ("rejected_invalid", 200),
            ("rejected_invalid_zh", 200),
            ("rejected_missing", 200),
            ("rejected_http_401", 401),
            ("rejected_http_401_zh", 401),
            ("rejected_expired", 400),
            ("rejected_expired_zh", 403),
        ] {
            let tokens = vendor.token_calls(upstream).len();
            vendor.will(Answer::json(status, &recording(&format!("{upstream}/{name}"), &[])));
            let answer = stage.get(upstream, target).await;
            assert_eq!(answer.one("tokenward-retry"), Some("recovered"), "{upstream} {name}");
            assert_eq!(vendor.token_calls(upstream).len(), tokens + 1, "{upstream} {name}");
        }
    }
}

#[tokio::test]
async fn p07_http_401_is_a_rejection_with_any_body_or_none() {
    let scene = Scene::new().await;
    scene.heals("empty", Answer::new(401, &[], "")).await;
    scene.heals("html", Answer::new(401, &[("Content-Type", "text/html")], "<html>")).await;
    scene.heals("binary", Answer::new(401, &[("Content-Type", "image/png")], [0, 1, 2])).await;
    let Scene { vendor, stage } = Scene::new().await;
    vendor.will(Answer::raw("HTTP/1.1 401 Unauthorized\r\nContent-Length: 77\r\n\r\n"));
    vendor.will(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 78\r\n\r\n"));
    let mut caller = stage.caller("aiclk").await;
    caller.send("HEAD /openapi/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = caller.answer_to_head().await;
    assert_eq!((answer.status(), answer.one("content-length")), (200, Some("78")));
}

#[tokio::test]
async fn p07_a_rejection_in_packets_of_one_byte_is_seen() {
    let scene = Scene::new().await;
    let body = recording("aiclk/rejected_expired", &[]);
    scene.heals("split", Answer::json(200, &body).split()).await;
    let chunks: String = body.chars().map(|c| format!("{:x}\r\n{c}\r\n", c.len_utf8())).collect();
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    scene.heals("chunks", Answer::raw(format!("{head}{chunks}0\r\n\r\n")).split()).await;
    let until_close = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}");
    scene.heals("until the end", Answer::raw(until_close).then_close()).await;
}

#[tokio::test]
async fn p07_a_rejection_split_in_two_anywhere_is_seen() {
    let Scene { vendor, stage } = Scene::new().await;
    let body = recording("aiclk/rejected_expired_zh", &[]);
    let bytes = body.as_bytes();
    for at in 1..bytes.len() {
        let (one, two) = bytes.split_at(at);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sizes = (format!("{:x}\r\n", one.len()), format!("\r\n{:x}\r\n", two.len()));
        let whole =
            [head.as_bytes(), sizes.0.as_bytes(), one, sizes.1.as_bytes(), two, b"\r\n0\r\n\r\n"];
        vendor.will(Answer::raw(whole.concat()));
        let answer = stage.get("aiclk", "/openapi/x").await;
        assert_eq!(answer.one("tokenward-retry"), Some("recovered"), "split at {at}");
    }
}

#[tokio::test]
async fn p07_compressed_rejections_are_seen() {
    let scene = Scene::new().await;
    let plain = recording("aiclk/rejected_invalid_zh", &[]);
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let fields = [JSON, ("Content-Encoding", encoding)];
        let body = encoded(encoding, plain.as_bytes());
        scene.heals(encoding, Answer::new(200, &fields, &body)).await;
        scene.heals(encoding, Answer::new(200, &fields, &body).split()).await;
        let late = encoded(encoding, late_rejection(40_000).as_bytes());
        scene.heals(encoding, Answer::new(200, &fields, late)).await;
    }
}

#[tokio::test]
async fn p07_mislabelled_rejections_are_seen() {
    let scene = Scene::new().await;
    let body = recording("aiclk/rejected_expired", &[]);
    for content_type in [
        "text/html",
        "text/html; charset=utf-8",
        "text/plain",
        "TEXT/PLAIN;charset=gbk",
        "Application/JSON",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "nonsense",
        "",
    ] {
        scene.heals(content_type, Answer::new(200, &[("Content-Type", content_type)], &body)).await;
    }
    scene.heals("no content type", Answer::new(200, &[], &body)).await;
}

#[tokio::test]
async fn p07_the_look_is_bounded() {
    let scene = Scene::new().await;
    scene.heals("within 64 KiB", Answer::new(200, &[JSON], late_rejection(40_000))).await;
    let beyond = late_rejection(66_000);
    let answer = scene.hands_on("aiclk", "beyond", Answer::new(200, &[JSON], &beyond)).await;
    assert_eq!(answer.text(), beyond);
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let body = encoded(encoding, beyond.as_bytes());
        let fields = [JSON, ("Content-Encoding", encoding)];
        let answer = scene.hands_on("aiclk", encoding, Answer::new(200, &fields, &body)).await;
        assert!(answer.body == body, "the caller gets the original bytes of {encoding}");
        assert_eq!(answer.one("content-encoding"), Some(encoding));
    }
}

#[tokio::test]
async fn p07_the_looks_bound_can_be_changed() {
    let vendor = RawVendor::start().await;
    let config = "upstream.aiclk.look.max_bytes = '1KiB'";
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    vendor.will(Answer::new(200, &[JSON], late_rejection(2_000)));
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!(answer.text(), late_rejection(2_000));
    assert_eq!(vendor.calls().len(), 1);
}

#[tokio::test]
async fn p07_what_speaks_of_tokens_or_failures_but_is_no_rejection_is_handed_on() {
    let scene = Scene::new().await;
    for (upstream, name) in [
        ("jing", "user_create_partial"),
        ("jing", "bad_request"),
        ("jing", "field_refused"),
        ("jing", "rate_limited"),
        ("jing", "token_quota"),
        ("aiclk", "charge_refused"),
        ("aiclk", "bad_request"),
        ("aiclk", "field_refused"),
        ("aiclk", "rate_limited"),
        ("aiclk", "token_quota"),
        ("aiclk", "unknown_path"),
    ] {
        let body = recording(&format!("{upstream}/{name}"), &[]);
        let answer = scene.hands_on(upstream, name, Answer::json(200, &body)).await;
        assert_eq!(answer.text(), body);
    }
    scene.refreshed_nothing().await;
}

#[tokio::test]
async fn p07_403_429_and_5xx_refresh_nothing() {
    let scene = Scene::new().await;
    let denied = r#"{"code":403,"message":"no permission","data":null}"#;
    let limited = recording("aiclk/rate_limited", &[]);
    for (status, body) in [(403, denied.to_owned()), (429, limited), (403, String::new())] {
        let answer = scene.hands_on("aiclk", "4xx", Answer::json(status, &body)).await;
        assert_eq!((answer.status(), answer.text()), (status, body));
    }
    let rejection = recording("aiclk/rejected_expired", &[]);
    for status in [500, 502, 503, 504, 599] {
        assert!(StatusCode::from_u16(status).is_ok_and(|status| status.is_server_error()));
        let answer = scene.hands_on("aiclk", "5xx", Answer::json(status, &rejection)).await;
        assert_eq!((answer.status(), answer.text()), (status, rejection.clone()));
    }
    scene.refreshed_nothing().await;
}

#[tokio::test]
async fn p07_an_inner_code_or_a_look_alike_never_counts() {
    let scene = Scene::new().await;
    for body in [
        r#"{"code":200,"data":{"code":401,"message":"access token expired"},"message":"Success"}"#,
        r#"{"data":[{"code":401}],"code":200,"message":"Success"}"#,
        r#"{"code":200,"message":"access token expired"}"#,
        r#"{"Code":401,"Message":"access token expired"}"#,
        r#"[{"code":401,"message":"access token expired"}]"#,
        r#""code":401"#,
        r#"{"x":"\"code\":401,","code":200}"#,
        r#"{"code":null,"message":"access token expired"}"#,
    ] {
        let answer = scene.hands_on("aiclk", body, Answer::json(200, body)).await;
        assert_eq!(answer.text(), body);
    }
    scene.refreshed_nothing().await;
}

#[tokio::test]
async fn p07_the_operators_rules_come_first() {
    let vendor = RawVendor::start().await;
    let rules = r#"
[[upstream.aiclk.reject]]
name = "mine"
pointer = "/errors/0/kind"
in = ["stale"]
verdict = "expired"
[[upstream.aiclk.reject]]
name = "slow-down"
pointer = "/code"
in = [401]
verdict = "rate_limited"
"#;
    let stage = Stage::plan().before(vendor.address).config(rules).start().await;
    vendor.will(Answer::json(409, r#"{"errors":[{"kind":"stale"}]}"#));
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!(answer.one("tokenward-retry"), Some("recovered"));
    // The built-in rule for this would refresh.
    vendor.will(Answer::rejection());
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!(answer.text(), recording("aiclk/rejected_expired", &[]));
    assert_eq!(vendor.token_calls("aiclk").len(), 2);
    for (rule, count) in [("mine", 1.0), ("slow-down", 1.0), ("code-401", 0.0)] {
        assert_eq!(stage.metric("tokenward_rejections_total", &[("rule", rule)]).await, count);
    }
}
