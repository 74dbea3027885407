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
    let rules =
        raw.into_iter().map(|raw| tokenward::vendor::rules::Rule::new(raw).expect("a rule"));
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
    for size in [size, 1] {
        let pieces = look(status, &headers, bytes.chunks(size), limit);
        // These libraries do not give out all that they decode in a call that fails.
        if !["br", "zstd"].contains(&coding) || whole.is_ok() && pieces.is_ok() {
            assert_eq!(verdict(pieces), verdict(whole), "in pieces of {size}");
        }
    }
});

fn verdict(looked: Result<Option<RuleIndex>, Option<RuleIndex>>) -> Option<RuleIndex> {
    looked.unwrap_or_else(|undecodable| undecodable)
}

/// As the gateway looks, without its waiting. `Err`: up to where the body could be decoded.
fn look<'a>(
    status: StatusCode,
    headers: &HeaderMap,
    pieces: impl Iterator<Item = &'a [u8]>,
    limit: usize,
) -> Result<Option<RuleIndex>, Option<RuleIndex>> {
    let mut look = match RULES.look(status, headers) {
        Look::Decided(rule) => return Ok(rule),
        Look::Body(look) => look,
    };
    let Some(mut decoder) = Decoder::for_headers(headers) else { return Ok(look.finish()) };
    let mut text = Vec::new();
    let mut decoded = 0;
    for piece in pieces {
        text.clear();
        let pushed = decoder.push(piece, &mut text, limit - decoded);
        decoded += text.len();
        assert!(decoded <= limit, "{decoded} bytes of {limit}");
        if let Progress::Decided(rule) = look.feed(&text) {
            return Ok(rule);
        }
        if pushed.is_err() {
            return Err(look.finish());
        }
        if decoder.is_over() {
            break;
        }
    }
    Ok(look.finish())
}
