//! `Expect: 100-continue`: the vendor is asked, not guessed. Its `100` lets the body come; its final
//! answer may come without it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::EXPECT;
use http::{HeaderMap, Response, Version};
use http_body::Body;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::body::replay::{Replay, ReplayBody};
use crate::framing::CallerBody;
use crate::headers::retain;
use crate::upstream::pool::{Lease, SendError, Upstream};
use crate::upstream::{AnswerBody, RequestHead};

/// Whether the caller waits to be told before it sends its body. HTTP/1.0 does not know the
/// expectation (RFC 9110, 10.1.1), and there it goes no further.
pub fn is_expected(version: Version, headers: &mut HeaderMap, body: &CallerBody) -> bool {
    let Some(expected) = headers.get(EXPECT) else { return false };
    if version == Version::HTTP_10 {
        retain(headers, |name| name != EXPECT);
        return false;
    }
    expected.as_bytes().eq_ignore_ascii_case(b"100-continue") && !body.is_end_stream()
}

/// Sends the head, and the body when the vendor wants it or has said nothing for `longest`: not all
/// know the word. Reading the body is what tells the caller to go on.
///
/// # Errors
/// When there is no answer.
pub async fn send(
    upstream: &Upstream<ReplayBody<CallerBody>>,
    request: RequestHead<'_>,
    replay: &Replay<CallerBody>,
    longest: Duration,
) -> Result<(Response<AnswerBody>, Lease<ReplayBody<CallerBody>>), SendError> {
    let wanted = Arc::new(Notify::new());
    let request = RequestHead { on_continue: Some(&wanted), ..request };
    let body = replay.attempt();
    replay.pause();
    let mut answer = pin!(upstream.send(request, body, Instant::now(), || replay.moved_at()));
    tokio::select! {
        biased;
        answered = answer.as_mut() => return answered,
        _ = timeout(longest, wanted.notified()) => replay.go_on(),
    }
    answer.await
}
