//! Answers as bytes, decoded and looked into: whatever they are, the look ends, stays within its
//! bounds, and says the same however they are cut into pieces.

#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, StatusCode, header};
use libfuzzer_sys::fuzz_target;
use tokenward::body::decode::Decoder;
use tokenward::vendor::rules::{Look, Progress, RuleIndex, Rules};

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let raw: Vec<tokenward::vendor::rules::RawRule> =
        serde_json::from_str(include_str!("../rules.json")).expect("rules");
    let rules = raw.into_iter().map(|raw| tokenward::vendor::rules::Rule::new(raw).expect("a rule"));
    Rules::new(rules.collect()).expect("few rules")
});

const CODINGS: [&str; 6] = ["identity", "gzip", "deflate", "br", "zstd", ""];
const TYPES: [&str; 4] = ["application/json", "text/html; charset=utf-8", "", "image/png"];
const STATUS: [u16; 3] = [200, 401, 500];

fuzz_target!(|input: &[u8]| {
    let [choice, split, bytes @ ..] = input else { return };
    let choice = usize::from(*choice);
    let mut headers = HeaderMap::new();
    let coding = CODINGS[choice % CODINGS.len()];
    if !coding.is_empty() {
        headers.insert(header::CONTENT_ENCODING, coding.parse().expect("a value"));
    }
    let media = TYPES[choice / 6 % TYPES.len()];
    if !media.is_empty() {
        headers.insert(header::CONTENT_TYPE, media.parse().expect("a value"));
    }
    let status = StatusCode::from_u16(STATUS[choice / 24 % 3]).expect("a status");
    let limit = if choice / 72 % 2 == 0 { 65_536 } else { 40 };

    let whole = look(status, &headers, [bytes].into_iter(), limit);
    let size = usize::from(*split) % 64 + 1;
    assert_eq!(look(status, &headers, bytes.chunks(size), limit), whole, "in pieces of {size}");
    assert_eq!(look(status, &headers, bytes.chunks(1), limit), whole, "byte by byte");
});

/// As the gateway looks, without its waiting.
fn look<'a>(
    status: StatusCode,
    headers: &HeaderMap,
    pieces: impl Iterator<Item = &'a [u8]>,
    limit: usize,
) -> Option<RuleIndex> {
    let mut look = match RULES.look(status, headers) {
        Look::Decided(rule) => return rule,
        Look::Body(look) => look,
    };
    let mut decoder = Decoder::for_headers(headers)?;
    let mut text = Vec::new();
    let mut decoded = 0;
    for piece in pieces {
        text.clear();
        let pushed = decoder.push(piece, &mut text, limit - decoded);
        decoded += text.len();
        assert!(decoded <= limit, "{decoded} bytes of {limit}");
        if let Progress::Decided(rule) = look.feed(&text) {
            return rule;
        }
        if pushed.is_err() || decoder.is_over() {
            break;
        }
    }
    look.finish()
}
