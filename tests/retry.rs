//! One more time, and the honest limits of that (p08, p10, p11).

use crate::support::vendor::Gate;
use crate::support::{Answer, Message, RawVendor, Stage, recording, until};

async fn stage() -> (RawVendor, Stage) {
    stage_with("").await
}

async fn stage_with(config: &str) -> (RawVendor, Stage) {
    let vendor = RawVendor::start().await;
    let stage = Stage::plan().before(vendor.address).config(config).start().await;
    (vendor, stage)
}

/// The request with the first token in place of the second.
fn as_first(vendor: &RawVendor, request: &Message) -> (String, Vec<(String, String)>, Vec<u8>) {
    let (one, two) = (vendor.token("aiclk", 1), vendor.token("aiclk", 2));
    let older = |(name, value): &(String, String)| (name.clone(), value.replace(&two, &one));
    (request.line.clone(), request.fields.iter().map(older).collect(), request.body.clone())
}

#[tokio::test]
async fn p08_a_second_rejection_goes_to_the_caller_as_it_came() {
    let (vendor, stage) = stage().await;
    let second = "HTTP/1.1 200 Fine\r\nX-Their: own\r\nContent-Length: 43\r\n\r\n\
         {\"code\":401,\"message\":\"invalid token\"}     ";
    vendor.will(Answer::rejection()).will(Answer::raw(second));
    let answer = stage.post("aiclk", "/openapi/x", "{}").await;
    assert_eq!(answer.text(), "{\"code\":401,\"message\":\"invalid token\"}     ");
    assert_eq!(answer.one("x-their"), Some("own"));
    assert_eq!(answer.one("tokenward-retry"), Some("rejected-again"));
    assert_eq!(answer.one("tokenward-error"), None, "this is the vendor's answer");
    assert_eq!(vendor.calls().len(), 2);
    assert_eq!(vendor.token_calls("aiclk").len(), 2, "one at the start, one for the rejection");
    let outcome = [("upstream", "aiclk"), ("outcome", "rejected_again")];
    assert_eq!(stage.metric("tokenward_retries_total", &outcome).await, 1.0);
    assert_eq!(stage.metric("tokenward_rejections_total", &[("upstream", "aiclk")]).await, 2.0);
}

#[tokio::test]
async fn p08_a_second_answer_that_only_wants_fewer_calls_has_accepted_the_token() {
    let rule = "[[upstream.aiclk.reject]]\nname = 'busy'\nstatus = [429]\n\
                verdict = 'rate_limited'";
    let (vendor, stage) = stage_with(rule).await;
    vendor.will(Answer::rejection()).will(Answer::json(429, "{}"));
    let answer = stage.get("aiclk", "/openapi/x").await;
    assert_eq!((answer.status(), answer.one("tokenward-retry")), (429, Some("recovered")));
    let busy = [("upstream", "aiclk"), ("rule", "busy")];
    assert_eq!(stage.metric("tokenward_rejections_total", &busy).await, 1.0);
}

#[tokio::test]
async fn p08_a_vendor_that_rejects_everything_is_not_flooded() {
    let (vendor, stage) = stage_with("upstream.aiclk.refresh.per_minute = 3").await;
    for number in 0..10 {
        vendor.will(Answer::rejection()).will(Answer::rejection());
        let answer = stage.get("aiclk", "/openapi/x").await;
        let expected = if number < 3 { "rejected-again" } else { "skipped; reason=no-token" };
        assert_eq!(answer.one("tokenward-retry"), Some(expected), "{number}");
        assert_eq!(answer.text(), recording("aiclk/rejected_expired", &[]));
    }
    assert_eq!(vendor.token_calls("aiclk").len(), 1 + 3);
}

#[tokio::test]
async fn p11_a_replayed_request_is_the_same_but_for_the_token() {
    let head = "POST /openapi//%41/x?q=%2f&&= HTTP/1.1\r\nHost: localhost\r\nX-One: b\r\n\
         Cookie: a=b\r\nX-One: a\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Trailer: X-Sum\r\n";
    let length = format!("{head}Content-Length: 14\r\n\r\nbody \0 \u{e9} body");
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n5\r\nbody \r\n1\r\n\0\r\n7\r\n \u{e9} bod\r\n1\r\ny\r\n\
         0\r\nX-Sum: 4711\r\n\r\n"
    );
    for (request, has_trailer) in [(length, false), (chunked, true)] {
        let (vendor, stage) = stage().await;
        vendor.will(Answer::rejection());
        let answer = stage.call("aiclk", &request).await;
        assert_eq!(answer.one("tokenward-retry"), Some("recovered"));
        let calls = vendor.calls();
        assert_eq!(calls.len(), 2);
        let (first, second) = (&calls[0].request, &calls[1].request);
        assert!(first.complete && second.complete);
        assert_eq!(first.body, "body \0 \u{e9} body".as_bytes());
        assert_eq!(second.one("ogw_access_token"), Some(&*vendor.token("aiclk", 2)));
        assert_eq!(as_first(&vendor, first), as_first(&vendor, second));
        for request in [first, second] {
            let raw = String::from_utf8_lossy(&request.raw).to_lowercase();
            assert_eq!(raw.contains("\r\nx-sum: 4711\r\n"), has_trailer, "{request:?}");
        }
    }
}

#[tokio::test]
async fn p10_a_body_at_the_cap_is_replayed_and_one_byte_more_is_not() {
    for (extra, expected) in [(0, "recovered"), (1, "skipped; reason=body-too-large")] {
        for chunked in [false, true] {
            let (vendor, stage) = stage_with("upstream.aiclk.replay.max_body = '2KiB'").await;
            vendor.will(Answer::rejection());
            let body = "x".repeat(2048 + extra);
            let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\n";
            let request = if chunked {
                let (one, two) = body.split_at(1000);
                let sizes = (one.len(), two.len());
                format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
                    sizes.0, sizes.1
                )
            } else {
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            };
            let answer = stage.call("aiclk", request).await;
            assert_eq!(answer.one("tokenward-retry"), Some(expected), "{extra} {chunked}");
            if extra == 0 {
                assert_eq!(vendor.calls()[1].request.body, body.as_bytes());
                continue;
            }
            assert_eq!(answer.text(), recording("aiclk/rejected_expired", &[]));
            assert_eq!(vendor.calls().len(), 1);
            // Nobody waited for it, but the next call has a new token.
            until("a new token", || stage.generation("aiclk") == 2).await;
            stage.get("aiclk", "/openapi/y").await;
            let token = vendor.token("aiclk", 2);
            assert_eq!(vendor.calls()[1].request.one("ogw_access_token"), Some(&*token));
            let skipped = [("upstream", "aiclk"), ("outcome", "skipped")];
            assert_eq!(stage.metric("tokenward_retries_total", &skipped).await, 1.0);
        }
    }
}

#[tokio::test]
async fn p10_a_vendor_that_rejects_before_the_upload_has_ended_gets_all_of_it_again() {
    let body: String = (0..60_000).map(|number| char::from(b'a' + (number % 26) as u8)).collect();
    for (chunked, closes) in [(false, false), (false, true), (true, false), (true, true)] {
        let (vendor, stage) = stage().await;
        let rejection = Answer::rejection().at_head();
        vendor.will(if closes { rejection.then_close() } else { rejection });
        let (sent, unsent) = body.split_at(20_000);
        let framing = match chunked {
            true => format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()),
            false => format!("Content-Length: {}\r\n\r\n", body.len()),
        };
        let mut caller = stage.caller("aiclk").await;
        caller
            .send(format!("POST /openapi/x HTTP/1.1\r\nHost: localhost\r\n{framing}{sent}"))
            .await;
        vendor
            .until("the second call", |calls| {
                calls.get(1).is_some_and(|call| call.request.body.len() == sent.len())
            })
            .await;
        caller.send(unsent).await;
        if chunked {
            caller.send("\r\n0\r\n\r\n").await;
        }
        let answer = caller.answer().await;
        assert_eq!(answer.one("tokenward-retry"), Some("recovered"), "{chunked} {closes}");
        let second = &vendor.calls()[1].request;
        assert!(second.complete && second.body == body.as_bytes(), "{chunked} {closes}");
    }
}

#[tokio::test]
async fn p10_what_is_uploaded_while_a_new_token_is_fetched_is_not_lost() {
    let (vendor, stage) = stage_with("upstream.aiclk.replay.max_body = '2KiB'").await;
    let gate = Gate::new();
    vendor.token_endpoint_will("aiclk", vendor.grant("aiclk", 2).behind(&gate));
    vendor.will(Answer::rejection().at_head());
    let mut caller = stage.caller("aiclk").await;
    let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |byte: &str, length: usize| format!("{length:x}\r\n{}\r\n", byte.repeat(length));
    caller.send(format!("{head}{}", chunk("a", 1000))).await;
    until("a refresh is under way", || vendor.token_calls("aiclk").len() == 2).await;
    // More than is kept: it has to wait for the second attempt.
    caller.send(format!("{}0\r\n\r\n", chunk("b", 10_000))).await;
    // The one worker has had the time to read it when it has served others after that.
    for _ in 0..3 {
        assert_eq!(stage.get("aiclk", "/openapi/other").await.status(), 200);
    }
    gate.open(1);
    assert_eq!(caller.answer().await.one("tokenward-retry"), Some("recovered"));
    let expected = format!("{}{}", "a".repeat(1000), "b".repeat(10_000));
    assert!(vendor.calls().last().expect("a call").request.body == expected.as_bytes());
}

#[tokio::test]
async fn p10_an_early_rejection_of_a_body_beyond_the_cap_reaches_the_caller() {
    let (vendor, stage) = stage_with("upstream.aiclk.replay.max_body = '1KiB'").await;
    vendor.will(Answer::rejection().at_head());
    let mut caller = stage.caller("aiclk").await;
    let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n";
    caller.send(head).await;
    let answer = caller.answer().await;
    assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=body-too-large"));
    assert_eq!(answer.text(), recording("aiclk/rejected_expired", &[]));
}

#[tokio::test]
async fn p10_nothing_is_resent_after_a_time_out_a_reset_or_a_5xx() {
    for (answer, status, kind) in [
        (Answer::silence(), 504, Some("upstream-silent")),
        (Answer::raw("HTTP/1.1 200 O").then_silence(), 504, Some("upstream-silent")),
        (Answer::reset(), 502, Some("upstream-broken")),
        (Answer::close(), 502, Some("upstream-broken")),
        (Answer::raw("HTTP/1.1 200 O").then_close(), 502, Some("upstream-broken")),
        (Answer::raw("this is no HTTP\r\n\r\n").then_close(), 502, Some("upstream-broken")),
        (Answer::new(500, &[], "boom"), 500, None),
        (Answer::new(503, &[], ""), 503, None),
    ] {
        for method in ["GET", "POST"] {
            let (vendor, stage) = stage_with("upstream.aiclk.timeouts.first_byte = '100ms'").await;
            // The second time on a connection that has served before.
            for (count, fresh) in [(1, true), (3, false)] {
                if !fresh {
                    vendor.will(Answer::success());
                    assert_eq!(stage.get("aiclk", "/openapi/before").await.status(), 200);
                }
                vendor.will(answer.clone());
                let length = "Content-Length: 2\r\n\r\n{}";
                let request =
                    format!("{method} /openapi/x HTTP/1.1\r\nHost: localhost\r\n{length}");
                let answer = stage.call("aiclk", request).await;
                assert_eq!((answer.status(), answer.one("tokenward-error")), (status, kind));
                assert_eq!(vendor.calls().len(), count, "{method} {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn p10_a_stale_connection_is_not_the_callers_problem() {
    const CALLERS: usize = 16;
    const EACH: usize = 30;
    let (vendor, stage) = stage().await;
    // Announces nothing, and closes after every answer.
    for _ in 0..CALLERS * EACH {
        vendor.will(Answer::success().then_close());
    }
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(stage.caller("aiclk").await);
    }
    for _ in 0..EACH {
        for caller in &mut callers {
            let length = "Content-Length: 2\r\n\r\n{}";
            caller.send(format!("POST /openapi/x HTTP/1.1\r\nHost: localhost\r\n{length}")).await;
        }
        for caller in &mut callers {
            let answer = caller.answer().await;
            assert_eq!(answer.status(), 200, "{answer:?}");
        }
    }
    assert_eq!(vendor.calls().len(), CALLERS * EACH);
}

#[tokio::test]
async fn p10_paths_that_move_money_are_never_resent() {
    for path in [
        "/openapi/v1/charge/agent",
        "/openapi/v1/charge/agent-coupon?account_id=1",
        "/openapi//v1/%63harge/agent",
        "/openapi/v1/x/../charge/agent",
        "/mine/x",
    ] {
        let (vendor, stage) = stage_with("upstream.aiclk.replay.never = ['/mine/*']").await;
        vendor.will(Answer::rejection());
        let answer = stage.post("aiclk", path, "{\"amount\":1}").await;
        assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=path-excluded"), "{path}");
        assert_eq!(answer.text(), recording("aiclk/rejected_expired", &[]));
        until("a new token", || stage.generation("aiclk") == 2).await;
        assert_eq!(vendor.calls().len(), 1);
    }
}

#[tokio::test]
async fn p10_a_field_that_names_a_path_which_moves_money_counts_like_the_path() {
    let (vendor, stage) = stage_with("").await;
    vendor.will(Answer::rejection());
    let fields = "Host: localhost\r\nX-Original-URL: /openapi/v1/charge/agent\r\nContent-Length: 0";
    let answer = stage.call("aiclk", format!("POST /openapi/x HTTP/1.1\r\n{fields}\r\n\r\n")).await;
    assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=path-excluded"));
    assert_eq!(vendor.calls().len(), 1);
}

#[tokio::test]
async fn p10_paths_that_move_money_are_never_resent_below_a_base_path_either() {
    let vendor = RawVendor::start().await;
    let config = format!("upstream.aiclk.base_url = 'http://{}/proxy/v9'", vendor.address);
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    vendor.will(Answer::rejection());
    let answer = stage.post("aiclk", "/openapi/v1/charge/agent", "{}").await;
    assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=path-excluded"));
    assert_eq!(vendor.calls().len(), 1);
}

#[tokio::test]
async fn p10_when_the_second_attempt_gets_no_answer_the_first_ones_is_handed_on() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::rejection()).will(Answer::reset());
    let answer = stage.post("aiclk", "/openapi/x", "{}").await;
    assert_eq!(answer.text(), recording("aiclk/rejected_expired", &[]));
    assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=no-answer"));
    assert_eq!(vendor.calls().len(), 2);
}

#[tokio::test]
async fn p10_an_early_rejection_is_whole_when_the_second_attempt_gets_no_answer() {
    let (vendor, stage) = stage().await;
    let body = "x".repeat(50_000);
    vendor.will(Answer::new(401, &[], &body).at_head()).will(Answer::close().at_head());
    let mut caller = stage.caller("aiclk").await;
    // The upload that is still under way goes over to the second attempt, and ends the first.
    let head = "POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";
    caller.send(format!("{head}half")).await;
    let answer = caller.answer().await;
    assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=no-answer"));
    assert_eq!(answer.text(), body);
}

#[tokio::test]
async fn p10_the_connection_of_a_rejection_serves_the_second_attempt() {
    let (vendor, stage) = stage().await;
    vendor.will(Answer::rejection()).will(Answer::success());
    vendor.will(Answer::new(401, &[], "")).will(Answer::success());
    for place in [0, 2] {
        stage.get("aiclk", "/openapi/x").await;
        let calls = vendor.calls();
        assert_eq!(calls[place].connection, calls[0].connection);
        assert_eq!(calls[place + 1].connection, calls[0].connection);
    }
}

#[tokio::test]
async fn p10_a_caller_who_breaks_off_while_a_new_token_is_fetched_leaves_nothing_behind() {
    let (vendor, stage) = stage().await;
    let gate = Gate::new();
    vendor.token_endpoint_will("aiclk", vendor.grant("aiclk", 2).behind(&gate));
    vendor.will(Answer::rejection().at_head());
    let mut caller = stage.caller("aiclk").await;
    caller
        .send("POST /openapi/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    until("a refresh is under way", || vendor.token_calls("aiclk").len() == 2).await;
    drop(caller);
    gate.open(1);
    until("a new token", || stage.generation("aiclk") == 2).await;
    stage.metric_becomes("tokenward_requests_in_flight", &[("upstream", "aiclk")], 0.0).await;
    let active = [("upstream", "aiclk"), ("state", "active")];
    stage.metric_becomes("tokenward_upstream_connections", &active, 0.0).await;
    assert_eq!(stage.get("aiclk", "/openapi/y").await.status(), 200);
}
