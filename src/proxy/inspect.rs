//! The look at the head of an answer: is it a rejection?

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::body::decode::Decoder;
use crate::body::peek::Peeked;
use crate::upstream::AnswerBody;
use crate::vendor::rules::{Look, Progress, RuleIndex, Rules};

/// How far a look goes.
#[derive(Clone, Copy, Debug)]
pub struct LookLimits {
    /// Bytes of the answer, before or after decoding.
    pub bytes: usize,
    /// The longest that it waits for more of the answer; then that is handed on as it is.
    pub wait: Duration,
}

/// Applies the rules to an answer, reading no further into it than the first deciding byte, and no
/// further than the limits. What was read is still in the body.
pub async fn inspect(
    rules: &Rules,
    limits: LookLimits,
    method: &Method,
    response: &mut Response<Peeked<AnswerBody>>,
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
    let limit = limits.bytes;
    let (mut read, mut decoded) = (0, 0);
    let mut text = Vec::new();
    let mut deadline = None;
    while let Some(data) = read_ahead(body, limits.wait, &mut deadline).await {
        read += data.len();
        let plain: &[u8] = if decoder.is_identity() {
            &data[..data.len().min(limit - decoded)]
        } else {
            text.clear();
            // What came out before an error counts, wherever the pieces break; the decoder is over.
            let _ = decoder.push(data, &mut text, limit - decoded);
            &text
        };
        decoded += plain.len();
        if let Progress::Decided(rule) = look.feed(plain) {
            return rule;
        }
        if decoder.is_over() || decoded >= limit || read >= limit || body.is_complete() {
            break;
        }
    }
    look.finish()
}

/// The next piece, if it comes in time. Most answers are there as a whole: the clock begins to run,
/// and a timer is made, only when one is not.
async fn read_ahead<'body>(
    body: &'body mut Peeked<AnswerBody>,
    wait: Duration,
    deadline: &mut Option<Instant>,
) -> Option<&'body [u8]> {
    let mut ahead = pin!(body.read_ahead());
    match poll_fn(|cx| Poll::Ready(ahead.as_mut().poll(cx))).await {
        Poll::Ready(piece) => piece,
        Poll::Pending => {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
            timeout_at(deadline, ahead).await.ok().flatten()
        }
    }
}

fn has_no_body(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}
