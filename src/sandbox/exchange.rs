//! One request to a vendor, from its arrival to its answer.

use std::{future, time::Duration};

use http::StatusCode;
use hyper::{Request, Response, body::Incoming};
use thiserror::Error;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    answer::{Answer, HTML},
    answer_body::AnswerBody,
    desk::Desk,
    endpoint::{Endpoint, Grant, GrantRefused, carried, read_grant},
    fault::{FaultKind, Scope},
    history::{Outcome, Seen},
    received::Received,
    recorded, replies,
    strict::{Mistake, sound_http},
    tokens::Standing,
    websocket,
};

/// The connection is to be closed without an answer.
#[derive(Debug, Error)]
#[error("no answer, on purpose")]
pub(super) struct NoAnswer;

/// An answer, what it means, and the generation of the access token that the call carried.
struct Reply {
    answer: Answer,
    outcome: Outcome,
    generation: Option<u64>,
}

pub(super) async fn exchange(
    desk: &Desk,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, NoAnswer> {
    let endpoint = Endpoint::of(desk.vendor, request.method(), request.uri().path());
    let scope = endpoint.scope();
    desk.arrived(endpoint);
    let received = Received::read(request).await;
    think(desk, scope).await;

    if desk.meets(scope, &FaultKind::Silent) {
        info!(vendor = desk.vendor.name(), "vendor: request read, no answer will come (fault)");
        desk.saw(Seen::new(received, None, Outcome::Faulted));
        return future::pending().await;
    }
    let reply = match instead(desk, scope) {
        Some(answer) => Reply::new(answer, Outcome::Faulted),
        None => carry_out(desk, endpoint, &received).await,
    };
    let Reply { mut answer, outcome, generation } = reply;
    desk.saw(Seen::new(received, generation, outcome));

    let done = matches!(outcome, Outcome::Granted | Outcome::Accepted);
    if done && desk.meets(scope, &FaultKind::DropAnswer) {
        info!(vendor = desk.vendor.name(), "vendor: done, but the answer is lost (fault)");
        return Err(NoAnswer);
    }
    let look = match outcome {
        Outcome::Rejected => Scope::Rejections,
        _ => scope,
    };
    dress(desk, look, &mut answer);
    Ok(answer.into_response())
}

async fn think(desk: &Desk, scope: Scope) {
    let usual = match scope {
        Scope::Token => desk.tokens().token_latency,
        _ => desk.tokens().call_latency,
    };
    let slow = desk.take_fault(scope, |kind| match kind {
        FaultKind::Slow(delay) => Some(*delay),
        _ => None,
    });
    let delay = usual + slow.unwrap_or_default();
    if delay > Duration::ZERO {
        sleep(delay).await;
    }
}

/// What a fault answers before the request is looked at.
fn instead(desk: &Desk, scope: Scope) -> Option<Answer> {
    let answer = desk.take_fault(scope, |kind| match kind {
        FaultKind::ServerError(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
            Some(Answer::new(status, HTML, format!("<html><h1>{status}</h1></html>\n")))
        }
        FaultKind::Garbage => Some(Answer::new(StatusCode::OK, HTML, GARBAGE)),
        FaultKind::Answer(name) => recorded::find(desk.vendor, name).map(replies::of_any_name),
        _ => None,
    })?;
    info!(vendor = desk.vendor.name(), "vendor: something else is answered instead (fault)");
    Some(answer)
}

async fn carry_out(desk: &Desk, endpoint: Endpoint, received: &Received) -> Reply {
    if let Err(mistake) = sound_http(received, desk.tokens().host.as_deref()) {
        return mistaken(desk, &mistake, "bad_request");
    }
    match endpoint {
        Endpoint::Mint | Endpoint::Refresh => grant(desk, endpoint, received).await,
        Endpoint::Call(name) => {
            call(desk, received, || replies::business(desk.vendor, name, received))
        }
        Endpoint::Stream => call(desk, received, || replies::stream(received)),
        Endpoint::WebSocket => match websocket::handshake(received) {
            Ok(answer) => call(desk, received, || answer),
            Err(mistake) => mistaken(desk, &mistake, "bad_request"),
        },
        Endpoint::Unknown => {
            let mistake = Mistake::new("a token endpoint's path or method that does not exist");
            mistaken(desk, &mistake, "unknown_path")
        }
    }
}

async fn grant(desk: &Desk, endpoint: Endpoint, received: &Received) -> Reply {
    let vendor = desk.vendor;
    let asked = match read_grant(vendor, endpoint, received, &desk.settings) {
        Ok(asked) => asked,
        Err(GrantRefused::Mistake(mistake)) => return mistaken(desk, &mistake, "bad_request"),
        Err(GrantRefused::Credentials(name)) => {
            info!(vendor = vendor.name(), "vendor: wrong credentials, no token handed out");
            return Reply::new(replies::recorded(vendor, name), Outcome::Refused);
        }
    };
    let Ok(issued) = desk.grant(&asked) else {
        info!(
            vendor = vendor.name(),
            "vendor: refresh token is spent or unknown, no token handed out"
        );
        return Reply::new(replies::recorded(vendor, "refresh_refused"), Outcome::Refused);
    };
    let rotated = matches!(&asked, Grant::Refresh(presented) if *presented != issued.refresh_token);
    let refresh_token = match &asked {
        Grant::Mint => "new",
        Grant::Refresh(_) if rotated => "replaced",
        Grant::Refresh(_) => "kept",
    };
    info!(
        vendor = vendor.name(),
        generation = issued.generation,
        seconds = issued.life.as_secs(),
        refresh_token,
        "vendor: access token handed out"
    );
    Reply::new(replies::tokens(vendor, &issued, rotated), Outcome::Granted)
}

fn call(desk: &Desk, received: &Received, answer: impl FnOnce() -> Answer) -> Reply {
    let vendor = desk.vendor;
    let token = match carried(vendor, &received.headers, &desk.settings) {
        Err(mistake) => return mistaken(desk, &mistake, "bad_request"),
        Ok(None) => return mistaken(desk, &Mistake::new("no access token"), "rejected_missing"),
        Ok(Some(token)) => token,
    };
    let (generation, reason, usual) = match desk.judge(token) {
        Standing::Live(generation) if desk.meets(Scope::Calls, &FaultKind::RefuseAll) => {
            (Some(generation), "every token is refused for now (fault)", "rejected_invalid")
        }
        Standing::Live(generation) => {
            debug!(vendor = vendor.name(), generation, "vendor: call accepted");
            let accepted = Reply::new(answer(), Outcome::Accepted);
            return Reply { generation: Some(generation), ..accepted };
        }
        Standing::Expired(generation) => (Some(generation), "it has expired", "rejected_expired"),
        Standing::Ended(generation) => {
            (Some(generation), "a newer one has ended it", "rejected_invalid")
        }
        Standing::Unknown => (None, "it is unknown", "rejected_invalid"),
    };
    info!(
        vendor = vendor.name(),
        generation, reason, "vendor: access token not accepted, call refused"
    );
    let wanted = desk.take_fault(Scope::Rejections, |kind| match kind {
        FaultKind::Rejection(wanted) => Some(wanted.clone()),
        _ => None,
    });
    let answer = Answer::rejection(vendor, usual, &wanted.unwrap_or_default());
    Reply { answer, outcome: Outcome::Rejected, generation }
}

fn mistaken(desk: &Desk, mistake: &Mistake, recording: &'static str) -> Reply {
    let Mistake(reason) = mistake;
    warn!(vendor = desk.vendor.name(), reason, "vendor: request breaks a rule");
    desk.mistake(reason);
    let answer = replies::recorded(desk.vendor, recording).naming_mistake(reason);
    Reply::new(answer, Outcome::Mistaken)
}

fn dress(desk: &Desk, scope: Scope, answer: &mut Answer) {
    let padding = desk.take_fault(scope, |kind| match kind {
        FaultKind::Padding(kib) => Some(*kib),
        _ => None,
    });
    if let Some(kib) = padding {
        answer.pad(kib);
    }
    let encoding = desk.take_fault(scope, |kind| match kind {
        FaultKind::Encoding(encoding) => Some(*encoding),
        _ => None,
    });
    if let Some(encoding) = encoding {
        answer.encode(encoding);
    }
    let content_type = desk.take_fault(scope, |kind| match kind {
        FaultKind::ContentType(content_type) => Some(content_type.clone()),
        _ => None,
    });
    if let Some(content_type) = content_type {
        answer.claiming(&content_type);
    }
    if desk.meets(scope, &FaultKind::Split) {
        answer.split();
    }
    if desk.meets(scope, &FaultKind::Cut) {
        answer.cut();
    }
}

impl Reply {
    fn new(answer: Answer, outcome: Outcome) -> Self {
        Self { answer, outcome, generation: None }
    }
}

const GARBAGE: &str = "<html><body>Welcome to the hotel's network. Please accept.</body></html>\n";
