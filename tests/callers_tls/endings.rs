//! How a connection of TLS ends before its time, as seen from either side.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, Caller, soon};

use super::support::TlsStage;
use super::{CLIENTS, KEY};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";

/// A caller of HTTP/1.0 knows the end of such an answer by that of the connection alone.
#[tokio::test]
async fn p06_an_answer_that_breaks_off_does_not_end_in_good_order_over_tls() {
    let tls = TlsStage::with(CLIENTS, "").await;
    for (rest, expected) in [("0\r\n\r\n", None), ("", Some(ErrorKind::ConnectionReset))] {
        tls.vendor.will(Answer::raw(format!("{CHUNKED}{rest}")).then_close());
        let mut caller = tls.dial(&["http/1.1"]).await.expect("TLS");
        let request = format!("GET /openapi/x HTTP/1.0\r\n{KEY}\r\n\r\n");
        caller.write_all(request.as_bytes()).await.expect("a write");
        let mut got = Vec::new();
        let ended = soon("the end", caller.read_to_end(&mut got)).await;
        let failed = ended.err().map(|error| error.kind());
        // Without the reset it would be an end that lacks the word of goodbye, which many overlook.
        assert_eq!(failed, expected, "{}", got.escape_ascii());
    }
}

/// The vendor has stopped reading, and so the gateway reads nothing of the caller any more. That the
/// connection is gone shows in the socket alone.
#[tokio::test]
async fn p03_a_caller_of_tls_who_goes_in_the_middle_of_a_stalled_upload_is_noticed() {
    let times = "upstream.aiclk.timeouts = { first_byte = '60s', idle = '60s' }";
    let tls = TlsStage::with(CLIENTS, times).await;
    let hand = tls.vendor.by_hand();
    let stream = tls.dial(&["http/1.1"]).await.expect("TLS");
    stream.get_ref().0.set_zero_linger().expect("a socket option");
    let mut caller = Caller::over(stream);
    let head = format!("PUT /openapi/x HTTP/1.1\r\nHost: localhost\r\n{KEY}\r\n");
    caller.send(head + "Content-Length: 1000000000\r\n\r\n").await;
    let hand = hand.arrives().await;
    caller.send_until_blocked(512 << 20).await;
    drop(caller);
    let in_flight = "tokenward_requests_in_flight";
    tls.stage.metric_becomes(in_flight, &[("upstream", "aiclk")], 0.0).await;
    drop(hand);
}
