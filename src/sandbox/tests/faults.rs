//! Every fault, as it looks on the wire.

use std::io::Read;

use super::*;

#[tokio::test]
async fn refuse_all_rejects_a_living_token_as_often_as_told() {
    let vendor = Bench::start(Settings::default()).await;
    vendor.sandbox.fault(Vendor::Jing, Fault::new(FaultKind::RefuseAll).times(1));
    assert_eq!(vendor.call(Vendor::Jing, "GET", "/v1/x").await.json()["code"], 40102);
    assert_eq!(vendor.call(Vendor::Jing, "GET", "/v1/x").await.json()["code"], 0);
}

#[tokio::test]
async fn a_rejection_looks_as_told() {
    let vendor = Bench::start(Settings::default()).await;
    let rejected = async |rejection: Rejection| {
        vendor.sandbox.fault(Vendor::Jing, FaultKind::Rejection(rejection));
        vendor.send(&request("GET", "/v1/x", &jing_headers("unknown"), "")).await
    };
    let recorded =
        Rejection { recording: Some("rejected_http_401_zh".to_owned()), ..Rejection::default() };
    let answer = rejected(recorded).await;
    assert_eq!((answer.status, answer.json()["code"].as_i64()), (401, Some(401)));

    let chosen = Rejection {
        code: Some(99),
        message: Some("say \"when\"".to_owned()),
        status: Some(403),
        ..Rejection::default()
    };
    let answer = rejected(chosen).await;
    assert_eq!((answer.status, answer.json()["code"].as_i64()), (403, Some(99)));
    assert_eq!(answer.json()["msg"], "say \"when\"");
}

#[tokio::test]
async fn a_rejection_is_dressed_and_other_answers_are_not() {
    let vendor = Bench::start(Settings::default()).await;
    let sandbox = &vendor.sandbox;
    sandbox.fault(Vendor::Aiclk, FaultKind::Encoding(Encoding::Gzip));
    sandbox.fault(Vendor::Aiclk, FaultKind::ContentType("text/html".to_owned()));
    sandbox.fault(Vendor::Aiclk, FaultKind::Padding(40));
    sandbox.fault(Vendor::Aiclk, FaultKind::Split);

    let fine = vendor.call(Vendor::Aiclk, "GET", "/openapi/v1/x").await;
    assert_eq!(fine.json()["code"], 200);

    let rejected = vendor.send(&aiclk_call("unknown")).await;
    assert!(rejected.head.contains("content-type: text/html"), "{}", rejected.head);
    assert!(rejected.head.contains("content-encoding: gzip"), "{}", rejected.head);
    let chunks = rejected.chunks();
    assert!(chunks.len() > 50 && chunks.iter().all(|chunk| chunk.len() == 1));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&*chunks.concat()).read_to_string(&mut plain).unwrap();
    assert!(plain.find("\"code\"").unwrap() > 40 * 1024);
    assert_eq!(serde_json::from_str::<Value>(&plain).unwrap()["code"], 401);

    sandbox.clear_faults(Vendor::Aiclk);
    sandbox.fault(Vendor::Aiclk, FaultKind::Encoding(Encoding::Deflate));
    let rejected = vendor.send(&aiclk_call("unknown")).await;
    let mut plain = String::new();
    flate2::read::ZlibDecoder::new(&*rejected.body).read_to_string(&mut plain).unwrap();
    assert!(plain.contains("401"));
}

#[tokio::test]
async fn a_dropped_answer_has_changed_the_state() {
    let vendor = Bench::start(Settings::default()).await;
    vendor.sandbox.issue(Vendor::Jing);
    let old = vendor.sandbox.current(Vendor::Jing);
    vendor.sandbox.fault(Vendor::Jing, Fault::new(FaultKind::DropAnswer).times(1));
    let refresh = jing_refresh(old.refresh_token.as_ref().unwrap());
    assert!(vendor.raw(&refresh).await.is_empty());
    let new = vendor.sandbox.current(Vendor::Jing);
    assert_eq!(new.generation, 2);
    assert_ne!(new.refresh_token, old.refresh_token);
    assert_eq!(vendor.send(&refresh).await.json()["code"], 40107);
}

#[tokio::test]
async fn the_same_token_comes_again_and_a_good_refresh_token_is_refused_when_told() {
    let vendor = Bench::start(Settings::default()).await;
    let access = vendor.issue(Vendor::Jing);
    let refresh = jing_refresh(&vendor.sandbox.current(Vendor::Jing).refresh_token.unwrap());
    vendor.sandbox.fault(Vendor::Jing, Fault::new(FaultKind::SameToken).times(1));
    assert_eq!(vendor.send(&refresh).await.json()["data"]["access_token"], access.as_str());

    vendor.sandbox.fault(Vendor::Jing, Fault::new(FaultKind::RefuseRefresh).times(1));
    assert_eq!(vendor.send(&refresh).await.json()["code"], 40107);
    let granted = vendor.send(&refresh).await.json();
    assert_ne!(granted["data"]["access_token"], access.as_str());
}

#[tokio::test]
async fn a_cut_answer_announces_all_and_sends_half() {
    let vendor = Bench::start(Settings::default()).await;
    vendor.sandbox.fault(Vendor::Aiclk, FaultKind::Cut);
    let cut = vendor.call(Vendor::Aiclk, "GET", "/openapi/v1/account/info").await;
    let announced = cut.head.split("content-length: ").nth(1).unwrap();
    let announced: usize = announced.split("\r\n").next().unwrap().parse().unwrap();
    assert_eq!(cut.body.len(), announced / 2);
    assert!(cut.body.starts_with(b"{\"code\":200"));
}

#[tokio::test]
async fn answers_put_in_between_carry_nothing_out() {
    let vendor = Bench::start(Settings::default()).await;
    for (kind, status, begins) in [
        (FaultKind::ServerError(503), 503, "<html>"),
        (FaultKind::Garbage, 200, "<html>"),
        (FaultKind::Answer("rate_limited".to_owned()), 200, "{"),
    ] {
        vendor.sandbox.fault(Vendor::Jing, Fault::new(kind).on(Scope::Token).times(1));
        let answer = vendor.send(&jing_mint()).await;
        assert_eq!(answer.status, status);
        assert!(answer.body.starts_with(begins.as_bytes()));
    }
    let counts = vendor.sandbox.counts(Vendor::Jing);
    assert_eq!((counts.token_calls(), counts.faulted, counts.granted), (3, 3, 0));
    assert_eq!(vendor.send(&jing_mint()).await.json()["code"], 0);
}

#[tokio::test]
async fn silent_reads_and_never_answers_and_the_server_still_stops() {
    let vendor = Bench::start(Settings::default()).await;
    vendor.sandbox.fault(Vendor::Jing, FaultKind::Silent);
    let mut socket = TcpStream::connect(vendor.address).await.unwrap();
    socket.write_all(jing_mint().as_bytes()).await.unwrap();
    vendor.sandbox.until(Vendor::Jing, |counts| counts.faulted == 1).await;

    drop(vendor.shutdown);
    timeout(DEADLINE, vendor.served).await.unwrap().unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
}

#[tokio::test]
async fn slow_takes_its_time() {
    let vendor = Bench::start(Settings::default()).await;
    let slow = Fault::new(FaultKind::Slow(Duration::from_millis(80))).on(Scope::Token);
    vendor.sandbox.fault(Vendor::Jing, slow);
    let begun = Instant::now();
    assert_eq!(vendor.send(&jing_mint()).await.json()["code"], 0);
    assert!(begun.elapsed() >= Duration::from_millis(80));
}
