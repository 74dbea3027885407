//! The access log: a record for each request, of which nothing but its shape is told; and the level of
//! all other records (p31, p26).

use serde_json::Value;

use crate::support::process::Process;
use crate::support::reloading::{Reloading, call};
use crate::support::vendors::{client, get, send};
use crate::support::{Answer, leaks};

const ALL: &str = "[log]\naccess = 'all'\n";
/// So rarely that it does not happen in a test.
const SAMPLED: &str = "[log]\naccess = 'sampled'\naccess_sample = 4000000000\naccess_slow = '1h'\n";

/// The record of a request to this path.
async fn record(process: &Process, path: &str) -> Value {
    process.logged(|it| it["target"] == "access" && it["path"] == path).await
}

/// All records, when the gateway has stopped in order.
async fn records(gateway: Reloading) -> Vec<Value> {
    gateway.process.signal("TERM").await;
    let ended = gateway.process.ended().await;
    let records = ended.stderr.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    records.filter(|record: &Value| record["target"] == "access").collect()
}

#[tokio::test]
async fn p31_a_record_says_what_a_request_was_and_what_came_of_it() {
    let gateway = Reloading::with(ALL).await;
    let mut caller = gateway.caller("aiclk").await;
    let post = "POST /openapi/v1/items/4711?secret=of-the-caller&page=2 HTTP/1.1\r\n\
                Host: localhost\r\nContent-Length: 5\r\n\r\nhello";
    gateway.vendor.will(Answer::json(200, "{\"code\":200}"));
    caller.send(post).await;
    assert_eq!(caller.answer().await.status(), 200);
    let path = "/openapi/v1/items/*?secret&page";
    let told = record(&gateway.process, path).await;
    for (field, expected) in [
        ("message", "access".into()),
        ("level", "INFO".into()),
        ("method", "POST".into()),
        ("status", 200.into()),
        ("end", "complete".into()),
        ("upstream", "aiclk".into()),
        ("listener", "upstream".into()),
        ("generation", 1.into()),
        ("attempts", 1.into()),
        ("retry", "none".into()),
        ("bytes_in", 5.into()),
        ("bytes_out", 12.into()),
        ("stands_for", 1.into()),
        ("error", Value::Null),
    ] {
        assert_eq!(told[field], expected, "{field}: {told}");
    }
    let (took, first_byte) = (told["took_ms"].as_f64(), told["first_byte_ms"].as_f64());
    assert!(first_byte.is_some_and(|time| time > 0.0) && took > first_byte, "{told}");
    assert!(told["caller"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")), "{told}");

    gateway.vendor.will(Answer::rejection());
    assert_eq!(call(&mut caller, "GET /recovered").await.status(), 200);
    let told = record(&gateway.process, "/recovered").await;
    assert_eq!((&told["retry"], &told["attempts"]), (&"recovered".into(), &2.into()), "{told}");
    assert_eq!((&told["generation"], &told["status"]), (&2.into(), &200.into()), "{told}");

    caller.send("HEAD /head HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(caller.answer_to_head().await.status(), 200);
    let told = record(&gateway.process, "/head").await;
    assert_eq!((&told["end"], &told["bytes_out"]), (&"complete".into(), &0.into()), "{told}");

    gateway.vendor.will(Answer::close());
    let failed = call(&mut caller, "GET /failed").await;
    let told = record(&gateway.process, "/failed").await;
    assert_eq!(told["error"], failed.one("tokenward-error").expect("ours"));
    assert_eq!(told["request_id"], failed.json()["request_id"]);
    assert_eq!((&told["status"], &told["first_byte_ms"]), (&502.into(), &Value::Null), "{told}");
    assert_eq!(told["bytes_out"], failed.body.len());

    caller.send("GET /not a target HTTP/1.1\r\n\r\n").await;
    assert_eq!(caller.answer().await.status(), 400);
    let told = gateway.process.logged(|it| it["error"] == "malformed-request").await;
    assert_eq!((&told["path"], &told["method"]), (&Value::Null, &Value::Null), "{told}");
}

#[tokio::test]
async fn p31_a_record_says_who_broke_an_answer_off() {
    let gateway = Reloading::with(ALL).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbeginning";
    gateway.vendor.will(Answer::raw(head).then_close());
    let mut caller = gateway.caller("aiclk").await;
    caller.send("GET /vendor HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let told = record(&gateway.process, "/vendor").await;
    assert_eq!((&told["end"], &told["status"]), (&"vendor-cut".into(), &200.into()), "{told}");
    assert_eq!(told["bytes_out"], 9);

    for (path, answer, status) in [
        ("/early", Answer::silence(), Value::Null),
        ("/late", Answer::raw(head).then_silence(), 200.into()),
    ] {
        gateway.vendor.will(answer);
        let calls = gateway.vendor.calls().len();
        let mut caller = gateway.caller("aiclk").await;
        caller.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        gateway.vendor.until("the call", |all| all.len() > calls).await;
        if !status.is_null() {
            caller.answer_so_far(|it| it.body == b"beginning").await;
        }
        drop(caller);
        let told = record(&gateway.process, path).await;
        assert_eq!((&told["end"], &told["status"]), (&"caller-gone".into(), &status), "{told}");
    }
}

#[tokio::test]
async fn p31_a_sample_tells_of_everything_that_went_wrong() {
    let gateway = Reloading::with(SAMPLED).await;
    let mut caller = gateway.caller("aiclk").await;
    for (path, answer) in [
        ("/good", Answer::success()),
        ("/bad", Answer::json(503, "{}")),
        ("/retried", Answer::rejection()),
        ("/ours", Answer::close()),
        ("/refused", Answer::json(404, "{}")),
        ("/good", Answer::success()),
    ] {
        gateway.vendor.will(answer);
        call(&mut caller, &format!("GET {path}")).await;
    }
    let records = records(gateway).await;
    let paths: Vec<_> = records.iter().map(|it| it["path"].as_str().unwrap_or_default()).collect();
    assert_eq!(paths, ["/bad", "/retried", "/ours"]);
    assert!(records.iter().all(|record| record["stands_for"] == 1), "{records:?}");
}

#[tokio::test]
async fn p31_all_records_are_written_before_an_orderly_end() {
    let gateway = Reloading::with(ALL).await;
    let mut caller = gateway.caller("aiclk").await;
    for _ in 0..500 {
        assert_eq!(call(&mut caller, "GET /x").await.status(), 200);
    }
    gateway.metric("tokenward_access_records_dropped_total 0").await;
    assert_eq!(records(gateway).await.len(), 500);
}

#[tokio::test]
async fn p30_the_access_log_and_the_level_change_without_a_restart() {
    let gateway = Reloading::start().await;
    let mut caller = gateway.caller("aiclk").await;
    call(&mut caller, "GET /before").await;
    gateway.takes(&format!("{ALL}level = 'info,tokenward::proxy=debug'\n")).await;
    gateway.vendor.will(Answer::rejection());
    call(&mut caller, "GET /with").await;
    record(&gateway.process, "/with").await;
    gateway.process.logged(|it| it["message"] == "the vendor rejected a request").await;
    gateway.takes("").await;
    gateway.vendor.will(Answer::rejection());
    call(&mut caller, "GET /after").await;
    gateway.process.signal("TERM").await;
    let said = gateway.process.ended().await.stderr;
    assert_eq!(said.matches("the vendor rejected a request").count(), 1, "{said}");
    assert_eq!(said.matches("\"target\":\"access\"").count(), 1, "{said}");
}

#[tokio::test]
async fn p31_the_level_is_shown_and_set_for_a_while() {
    let gateway = Reloading::start().await;
    let url = format!("{}/-/log", gateway.admin);
    let level = async || {
        let now = get(url.clone()).await.json();
        (now["level"].clone(), now["usual"].clone(), now["seconds_left"].clone())
    };
    let usual = ("info".into(), "info".into(), Value::Null);
    assert_eq!(level().await, usual);
    let set = async |form: &str| {
        let request = client().post(&url).body(form.to_owned());
        send(request).await.expect("an answer")
    };
    for (form, expected) in [
        ("level=inof", "the log level \"inof\" is not one"),
        ("level=debug&for=10", "`for`: a number without a unit of time"),
        ("levle=debug", "\"levle\" means nothing here"),
    ] {
        let refused = set(form).await;
        assert_eq!(refused.status, 400, "{form}: {}", refused.body);
        assert!(refused.body.contains(expected), "{form}: {}", refused.body);
    }
    let from_a_page = client().post(&url).header("Sec-Fetch-Site", "same-origin").body("level=off");
    assert_eq!(send(from_a_page).await.expect("an answer").status, 403);
    assert_eq!(send(client().delete(&url)).await.expect("an answer").status, 405);
    assert_eq!(level().await, usual);

    let mut caller = gateway.caller("aiclk").await;
    assert_eq!(set("level=info,tokenward::proxy=debug&for=1h").await.status, 200);
    gateway.vendor.will(Answer::rejection());
    call(&mut caller, "GET /x").await;
    gateway.process.logged(|it| it["message"] == "the vendor rejected a request").await;
    let (now, usual, left) = level().await;
    assert_eq!((now, usual), ("info,tokenward::proxy=debug".into(), "info".into()));
    assert!(left.as_u64().is_some_and(|left| (3500..=3600).contains(&left)), "{left}");

    // A shorter time takes the place of the longer one, and its end brings the usual level back.
    assert_eq!(set("level=trace&for=10ms").await.status, 200);
    gateway.process.logged(|it| it["message"] == "the log level is the usual one again").await;
    assert_eq!(level().await, ("info".into(), "info".into(), Value::Null));
    assert_eq!(set("level=error").await.json()["level"], "error");
    assert_eq!(set("").await.json()["level"], "info");
}

#[tokio::test]
async fn p26_neither_the_access_log_nor_a_level_set_to_trace_tells_secrets_or_bodies() {
    let gateway = Reloading::with(ALL).await;
    let request = client().post(format!("{}/-/log?level=trace&for=1h", gateway.admin));
    assert_eq!(send(request).await.expect("an answer").status, 200);
    let ids = ["CALLERSKEY7f3b2a9c", "of-a-query-value", "the-body-of-a-request"];
    ids.iter().for_each(|id| leaks::secret(*id));
    let mut caller = gateway.caller("aiclk").await;
    gateway.vendor.will(Answer::rejection());
    let [segment, value, body] = ids;
    let length = body.len();
    caller
        .send(format!(
            "POST /v1/keys/{segment}?q={value}&{segment} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    assert_eq!(caller.answer().await.status(), 200);
    record(&gateway.process, "/v1/keys/*?q&*").await;
    gateway.process.signal("TERM").await;
    // What it said is searched for all secrets when this ends.
    let said = gateway.process.ended().await.stderr;
    assert!(said.contains("\"TRACE\""), "{said}");
}
