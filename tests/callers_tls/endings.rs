//! How a connection of TLS ends before its time, as seen from either side.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, soon};

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
