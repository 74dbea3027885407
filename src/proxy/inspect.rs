//! The look at the head of an answer: is it a rejection?

use http::{Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::decode::Decoder;
use crate::body::peek::Peeked;
use crate::vendor::rules::{Look, Progress, RuleIndex, Rules};

/// Applies the rules to an answer, reading no further into it than the first deciding byte, and no
/// further than `limit` bytes before or after decoding. What was read is still in the body.
pub async fn inspect(
    rules: &Rules,
    limit: usize,
    method: &Method,
    response: &mut Response<Peeked<Incoming>>,
) -> Option<RuleIndex> {
    let mut look = match rules.look(response.status(), response.headers()) {
        Look::Decided(rule) => return rule,
        Look::Body(look) => look,
    };
    if has_no_body(method, response.status()) {
        return look.finish();
    }
    // What cannot be decoded cannot be looked into.
    let Some(mut decoder) = Decoder::for_headers(response.headers()) else {
        return look.finish();
    };
    let body = response.body_mut();
    let (mut read, mut decoded) = (0, 0);
    let mut text = Vec::new();
    while let Some(frame) = body.read_ahead().await {
        let Some(data) = frame.data_ref() else { break };
        read += data.len();
        let plain: &[u8] = if decoder.is_identity() {
            &data[..data.len().min(limit - decoded)]
        } else {
            text.clear();
            if decoder.push(data, &mut text, limit - decoded).is_err() {
                break;
            }
            &text
        };
        decoded += plain.len();
        if let Progress::Decided(rule) = look.feed(plain) {
            return rule;
        }
        if decoded >= limit || read >= limit || body.is_complete() {
            break;
        }
    }
    look.finish()
}

fn has_no_body(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}
