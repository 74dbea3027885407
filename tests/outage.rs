//! Nobody notices a failing token endpoint while the token lives, and without one there is an
//! honest 503 (p13, p14, p28).

use std::time::Duration;

use tokenward::sandbox::{Fault, FaultKind, Rejection, Scope, Vendor};

use crate::support::{Stage, soon, until};

const CALL: &str = "/openapi/v1/account/info";

fn on_tokens(kind: FaultKind) -> Fault {
    Fault::new(kind).on(Scope::Token)
}

fn failures() -> Vec<FaultKind> {
    vec![
        FaultKind::ServerError(500),
        FaultKind::ServerError(429),
        FaultKind::Garbage,
        FaultKind::Cut,
        FaultKind::DropAnswer,
        FaultKind::Silent,
        FaultKind::RefuseRefresh,
        FaultKind::Answer("failure".to_owned()),
    ]
}

/// Little time for the token endpoint, and a token that lives on when an answer is lost.
async fn stage() -> Stage {
    let plan = Stage::plan().config("upstream.aiclk.refresh.timeout = '100ms'");
    plan.sandbox(|settings| settings.aiclk.tokens.refresh_ends_access = false).start().await
}

#[tokio::test]
async fn p13_while_the_token_lives_a_failing_token_endpoint_costs_no_request() {
    for kind in failures() {
        let stage = stage().await;
        stage.sandbox.fault(Vendor::Aiclk, on_tokens(kind.clone()));
        let tokens = stage.gateway.tokens("aiclk").expect("an upstream");
        soon("a failure", tokens.refresh_now()).await.expect_err("the token endpoint fails");
        for _ in 0..3 {
            let answer = stage.get("aiclk", CALL).await;
            assert_eq!((answer.status(), answer.one("tokenward-retry")), (200, None), "{kind:?}");
        }
        assert!(stage.gateway.readiness.is_ready(), "{kind:?}: a living token is ready");
        assert_eq!(stage.generation("aiclk"), 1);
    }
}

#[tokio::test]
async fn p13_requests_do_not_wait_for_a_refresh_while_the_token_lives() {
    let stage = Stage::new().await;
    stage.sandbox.fault(Vendor::Aiclk, on_tokens(FaultKind::Silent));
    let tokens = stage.gateway.tokens("aiclk").expect("an upstream").clone();
    let refresh = tokio::spawn(async move { tokens.refresh_now().await });
    soon("a call", stage.sandbox.until(Vendor::Aiclk, |counts| counts.refreshes == 2)).await;
    assert_eq!(stage.get("aiclk", CALL).await.status(), 200);
    assert!(!refresh.is_finished());
}

#[tokio::test]
async fn p13_a_rejection_while_no_new_token_can_be_had_goes_to_the_caller() {
    for kind in failures() {
        let stage = stage().await;
        stage.sandbox.expire(Vendor::Aiclk);
        stage.sandbox.fault(Vendor::Aiclk, on_tokens(kind.clone()));
        let recording = Some("rejected_expired".to_owned());
        let rejection = Rejection { recording, ..Rejection::default() };
        stage.sandbox.fault(Vendor::Aiclk, FaultKind::Rejection(rejection));
        for _ in 0..5 {
            let answer = stage.get("aiclk", CALL).await;
            assert_eq!(answer.one("tokenward-retry"), Some("skipped; reason=no-token"), "{kind:?}");
            assert_eq!(answer.json()["message"], "access token expired", "{kind:?}");
        }
        let counts = stage.sandbox.counts(Vendor::Aiclk);
        assert!(counts.token_calls() <= 3, "{kind:?}: the failure is shared: {counts:?}");
        assert_eq!(counts.calls, 5);
        let failed = [("upstream", "aiclk"), ("outcome", "failed")];
        assert_eq!(stage.metric("tokenward_retries_total", &failed).await, 5.0);
    }
}

#[tokio::test]
async fn p13_when_the_token_endpoint_is_back_the_gateway_heals_without_a_request() {
    let plan = Stage::plan().sandbox(|settings| {
        settings.aiclk.tokens.access_life = Duration::from_secs(3600);
    });
    let stage = plan.config("upstream.aiclk.refresh.timeout = '100ms'").start().await;
    for kind in [FaultKind::ServerError(503), FaultKind::Garbage, FaultKind::Silent] {
        let before = stage.generation("aiclk");
        stage.sandbox.fault(Vendor::Aiclk, on_tokens(kind).times(1));
        let tokens = stage.gateway.tokens("aiclk").expect("an upstream");
        tokens.refresh_now().await.expect_err("the token endpoint fails");
        until("a new token", || stage.generation("aiclk") > before).await;
    }
}

#[tokio::test]
async fn p28_without_a_token_nothing_is_sent_and_the_answer_is_503() {
    for kind in failures() {
        let plan = Stage::plan().config("upstream.aiclk.refresh.timeout = '100ms'");
        let plan = plan.config("upstream.aiclk.credentials.refresh_token = 'never-granted-1'");
        let stage = plan.without_tokens().start().await;
        stage.sandbox.fault(Vendor::Aiclk, on_tokens(kind.clone()));
        let answer = stage.get("aiclk", CALL).await;
        assert_eq!(answer.status(), 503, "{kind:?}: {answer:?}");
        assert_eq!(answer.one("tokenward-error"), Some("no-token"), "{kind:?}");
        let wait: u64 = answer.one("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=120).contains(&wait), "{kind:?}: {wait}");
        assert_eq!(stage.sandbox.counts(Vendor::Aiclk).calls, 0);
        assert!(!answer.text().contains("never-granted-1"));
        assert_eq!(stage.admin("/readyz").await.status(), 503);
    }
}

#[tokio::test]
async fn p28_a_refused_seed_says_what_a_person_must_do() {
    let plan = Stage::plan().config("upstream.aiclk.credentials.refresh_token = 'never-granted-1'");
    let stage = plan.without_tokens().start().await;
    let answer = stage.get("aiclk", CALL).await;
    let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("tokenward seed aiclk --refresh-token-file"), "{detail}");
    // The other upstream is none the worse.
    until("jing's token", || stage.generation("jing") == 1).await;
    assert_eq!(stage.get("jing", "/v1/x").await.status(), 200);
}

#[tokio::test]
async fn p28_callers_are_held_a_bounded_time() {
    let plan = Stage::plan().config("upstream.aiclk.refresh.wait = '50ms'").without_tokens();
    let stage = plan.sandbox(|settings| settings.aiclk.tokens.token_latency = HELD_LONG);
    let stage = stage.start().await;
    let answer = stage.get("aiclk", CALL).await;
    assert_eq!((answer.status(), answer.one("tokenward-error")), (503, Some("refresh-slow")));
    assert_eq!(answer.one("retry-after"), Some("1"));
    assert_eq!(stage.sandbox.counts(Vendor::Aiclk).calls, 0);
}

#[tokio::test]
async fn p28_callers_who_wait_for_the_first_token_get_their_answer() {
    let plan = Stage::plan().without_tokens();
    let stage = plan.sandbox(|settings| {
        settings.aiclk.tokens.token_latency = Duration::from_millis(50);
    });
    let stage = stage.start().await;
    assert_eq!(stage.get("aiclk", CALL).await.status(), 200);
    assert_eq!(stage.sandbox.counts(Vendor::Aiclk).token_calls(), 1);
}

#[tokio::test]
async fn p16_a_spent_budget_says_when_it_opens_again() {
    let plan = Stage::plan().config("upstream.aiclk.refresh.daily_limit = 1");
    let plan = plan.sandbox(|settings| {
        settings.aiclk.tokens.access_life = Duration::from_secs(1);
    });
    let stage = plan.start().await;
    soon("the token is over", async {
        while stage.get("aiclk", CALL).await.status() == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer = soon("a refusal", async {
        loop {
            let answer = stage.get("aiclk", CALL).await;
            if answer.status() == 503 {
                break answer;
            }
        }
    })
    .await;
    assert_eq!(answer.one("tokenward-error"), Some("budget-spent"), "{answer:?}");
    let wait: u64 = answer.one("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{wait}");
    assert_eq!(stage.sandbox.counts(Vendor::Aiclk).token_calls(), 1);
    assert_eq!(
        stage.metric("tokenward_refresh_budget_remaining", &[("upstream", "aiclk")]).await,
        0.0
    );
}

const HELD_LONG: Duration = Duration::from_secs(3600);
