//! One request, from top to bottom: who asks, route, guard, strip, inject, send, look at the answer. Either it
//! goes to the caller, or its token is dead, and the request is sent once more with a newer one.

pub mod access;
mod admit;
mod awaited;
pub mod caller;
pub mod clients;
pub mod emulate;
pub mod error;
pub mod guard;
mod head;
pub mod inject;
pub mod inspect;
mod kinds;
pub mod listener;
mod note;
pub mod now;
pub mod peer;
pub mod proceed;
pub mod reply;
pub mod retry;
pub mod route;
pub mod strip;
pub mod tls;
pub mod tunnel;
pub mod vendor_body;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{Method, Request, Response, StatusCode, Version};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::body::peek::Peeked;
use crate::body::replay::{Replay, ReplayBody};
use crate::causes::causes;
use crate::drain::Drain;
use crate::framing::CallerBody;
use crate::framing::Fault;
use crate::telemetry::log::Sparse;
use crate::telemetry::metrics::{Limit, Metrics};
use crate::token::cache::Live;
use crate::upstream::AnswerBody;
use crate::upstream::pool::{Lease, SendError};
use crate::vendor::rules::{RuleIndex, Verdict};

use access::Entry;
use clients::Client;
use error::ProxyError;
use guard::Admission;
use head::Head;
use now::{Now, Serving};
use peer::Peer;
use reply::ReplyBody;
use retry::{Retry, Skip};
use route::{Entrance, Found, Route};
use tunnel::UpgradeRequest;
use vendor_body::{Flight, VendorBody};

/// A worker's proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    now: Now,
    metrics: Arc<Metrics>,
    failures: Rc<Sparse>,
    drain: Drain,
}

/// The head of an attempt's answer, with what the look at it said.
struct Answer {
    response: Response<Peeked<AnswerBody>>,
    /// `None`: the whole of the answer is here, and its connection serves others.
    lease: Option<Lease<ReplayBody<CallerBody>>>,
    rejected: Option<Rejected>,
}

struct Rejected {
    rule: RuleIndex,
    verdict: Verdict,
}

impl Proxy {
    pub fn new(now: Now, metrics: Arc<Metrics>, drain: Drain) -> Self {
        Self { now, metrics, failures: Rc::default(), drain }
    }

    /// Answers a request, whatever happens: the one place where errors become answers.
    pub async fn handle(
        &self,
        entrance: Entrance,
        peer: &Peer,
        mut request: Request<CallerBody>,
    ) -> Response<ReplyBody> {
        let method = request.method().clone();
        let now = self.now.get();
        let Serving { clients, routes, access } = &*now;
        let entry = Entry::new(access.as_ref(), entrance, peer, Some(&request));
        let entry = entry.as_ref();
        // Before routing, for an answer may name routes.
        let client = match clients {
            None => Ok(None),
            Some(roster) => roster.identify(peer, request.headers_mut()),
        };
        let (client, found) = match client {
            Ok(client) => (client, routes.find(entrance, &request)),
            Err(refusal) => (None, Err(refusal.into())),
        };
        let route = match &found {
            Ok(found) => Some(found.route),
            Err(ProxyError::Client(_)) => routes.at(entrance),
            Err(_) => None,
        };
        entry.inspect(|it| it.found(client.as_ref(), route.map(|route| &route.settings)));
        let client = client.as_deref();
        let settings = route.map(|route| &*route.settings);
        let answer = match found {
            Ok(found) => match found.route.settings.times.total {
                None => self.forward(found, client, entry, request).await,
                Some(total) => {
                    Box::pin(self.forward_within(total, found, client, entry, request)).await
                }
            },
            Err(error) => Err(error),
        };
        let answer = answer
            .unwrap_or_else(|error| self.own_answer(settings, client, entry, &method, &error));
        entry.inspect(|it| it.answered(answer.status(), answer.body()));
        let requests = route.map_or(self.metrics.unrouted(), |r| &r.metrics.requests);
        requests.answered(&method, answer.status());
        client.inspect(|it| it.requests.answered(settings.map(|s| s.place), answer.status()));
        answer
    }

    /// Answers what could not be read as a request.
    pub fn refuse(&self, entrance: Entrance, peer: &Peer, fault: Fault) -> Response<ReplyBody> {
        let now = self.now.get();
        let route = now.routes.at(entrance);
        let settings = route.map(|route| &*route.settings);
        let entry = Entry::new::<()>(now.access.as_ref(), entrance, peer, None);
        let (entry, error) = (entry.as_ref(), ProxyError::Malformed(fault));
        entry.inspect(|it| it.found(None, route.map(|route| &route.settings)));
        let answer = self.own_answer(settings, None, entry, &Method::GET, &error);
        entry.inspect(|it| it.answered(answer.status(), answer.body()));
        let requests = route.map_or(self.metrics.unrouted(), |r| &r.metrics.requests);
        requests.of_unknown_method(answer.status());
        answer
    }

    /// Counts a caller that met a limit without a request.
    fn reached(&self, entrance: Entrance, limit: Limit) {
        let now = self.now.get();
        let route = now.routes.at(entrance);
        route.map_or(self.metrics.unrouted_limits(), |r| &r.settings.metrics.limits).reached(limit);
    }

    /// Says what went wrong to the caller and, when it is not the caller's fault, to the operator.
    fn own_answer(
        &self,
        settings: Option<&route::Settings>,
        client: Option<&Client>,
        entry: Option<&Entry>,
        method: &Method,
        error: &ProxyError,
    ) -> Response<ReplyBody> {
        let request_id = format!("{:016x}", fastrand::u64(..));
        let envelope = settings.map(|settings| &settings.envelope);
        let answer = reply::problem(error, envelope, &request_id);
        entry.inspect(|it| it.failed(error, &request_id));
        let limits = settings.map_or(self.metrics.unrouted_limits(), |s| &s.metrics.limits);
        error.limit().inspect(|limit| limits.reached(*limit));
        error.malformed().inspect(|fault| self.metrics.malformed(fault.name()));
        error.client().inspect(|refusal| self.metrics.guard_refusals(refusal.reason()).inc());
        let upstream = settings.map_or("", |settings| settings.name.as_str());
        let client = client.map_or("", |client| client.name.as_str());
        let (kind, detail) = (reply::kind(error), causes(error));
        self.metrics.own_answer(upstream, kind);
        if !answer.status().is_server_error() {
            debug!(upstream, client, %method, request_id, kind, detail, "a request was refused");
        } else if let Some(unlogged) = self.failures.admit() {
            warn!(upstream, client, %method, request_id, kind, detail, unlogged, "a request failed");
        }
        answer
    }

    async fn forward_within(
        &self,
        total: Duration,
        found: Found<'_>,
        client: Option<&Client>,
        entry: Option<&Entry>,
        request: Request<CallerBody>,
    ) -> Result<Response<ReplyBody>, ProxyError> {
        let upstream = found.route.settings.name.clone();
        let late = |_| Err(ProxyError::TookTooLong { upstream, after: total });
        timeout(total, self.forward(found, client, entry, request)).await.unwrap_or_else(late)
    }

    async fn forward(
        &self,
        found: Found<'_>,
        client: Option<&Client>,
        entry: Option<&Entry>,
        request: Request<CallerBody>,
    ) -> Result<Response<ReplyBody>, ProxyError> {
        let Found { route, target } = found;
        let settings = &route.settings;
        let began = Instant::now();
        let mut flight = Flight::new(route.clone(), began, entry.cloned());
        let (parts, body) = request.into_parts();
        let admission = settings.guard.admit(&parts.method, target.path(), &parts.headers)?;
        if let Some(client) = client {
            let asked = (&parts.method, target.path(), &parts.headers);
            client.admit(settings.place, &settings.guard, &admission, asked)?;
        }
        settings.admit(&body)?;
        if let Admission::Emulate(call) = admission {
            return Box::pin(emulate::answer(call, &flight, body)).await;
        }
        let mut head = Head::new(route, parts, target, &body);
        let passed = &route.metrics.request_bytes;
        flight.replay = Replay::new(body, settings.body_limits, passed);

        let (token, sent) = match settings.tokens.at_hand() {
            Some(token) => (token, began),
            // In a box: nearly all requests find one.
            None => (Box::pin(awaited::current(settings, entry)).await?, Instant::now()),
        };
        let first = attempt(&flight, &mut head, &token, sent).await;
        let mut first = told(entry, settings, first)?;
        let Some(rejected) = &first.rejected else {
            first.note_worked(&token);
            return Ok(self.hand_on(first, route, flight, None, head.upgrade.take()));
        };
        route.note_rejection(rejected);
        if rejected.verdict != Verdict::Expired {
            return Ok(self.hand_on(first, route, flight, None, None));
        }

        if let Err(skip) = retry::allow(settings, &head, &flight.replay) {
            settings.tokens.refresh_soon(token.generation);
            return Ok(self.hand_on(first, route, flight, Some(Retry::Skipped(skip)), None));
        }
        let newer = awaited::newer_than(settings, entry, token.generation);
        let settled = first.settle(settings.look.bytes as u64, &flight);
        // In a box: a request that meets no rejection shall not carry its weight.
        let meanwhile = Box::pin(async { tokio::join!(newer, settled).0 });
        let Ok(fresh) = flight.replay.paused(meanwhile).await else {
            let skipped = Retry::Skipped(Skip::NoToken);
            return Ok(self.hand_on(first, route, flight, Some(skipped), None));
        };
        let again = attempt(&flight, &mut head, &fresh, Instant::now());
        let second = match told(entry, settings, Box::pin(again).await) {
            Ok(second) => second,
            Err(error) => {
                if let Some(unlogged) = self.failures.admit() {
                    let (upstream, detail) = (settings.name.as_str(), causes(&error));
                    warn!(upstream, detail, unlogged, "a second attempt got no answer");
                }
                let skipped = Retry::Skipped(Skip::NoAnswer);
                return Ok(self.hand_on(first, route, flight, Some(skipped), None));
            }
        };
        let outcome = match &second.rejected {
            Some(rejected) if rejected.verdict == Verdict::Expired => Retry::RejectedAgain,
            _ => Retry::Recovered,
        };
        second.note_worked(&fresh);
        second.rejected.iter().for_each(|rejected| route.note_rejection(rejected));
        Ok(self.hand_on(second, route, flight, Some(outcome), head.upgrade.take()))
    }

    /// The vendor's answer, unchanged but for hop-by-hop fields and, when a rejection was met, the
    /// one field that says what became of it.
    fn hand_on(
        &self,
        answer: Answer,
        route: &Route,
        mut flight: Flight,
        retry: Option<Retry>,
        upgrade: Option<Box<UpgradeRequest>>,
    ) -> Response<ReplyBody> {
        let settings = &route.settings;
        let Answer { mut response, lease, .. } = answer;
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocols = switches.then(|| response.headers().get(UPGRADE).cloned()).flatten();
        flight.note_end(response.headers());
        // Every server on the way says its own version (RFC 9110, 2.5).
        *response.version_mut() = Version::HTTP_11;
        crate::headers::remove_hop_by_hop(response.headers_mut());
        if let Some(retry) = retry {
            response.headers_mut().insert(reply::RETRY_HEADER, retry.header());
            settings.note_retry(retry);
            flight.entry.iter().for_each(|entry| entry.retried(retry));
        }
        if let Some(upgrade) = upgrade.filter(|_| switches) {
            tunnel::set_fields(response.headers_mut(), protocols.as_ref());
            let drain = self.drain.clone();
            upgrade.establish(lease, flight, settings.times.idle, drain);
            return response.map(|_| ReplyBody::Own(None));
        }
        response.map(|body| ReplyBody::Vendor(VendorBody::new(body, lease, flight, settings.times)))
    }
}

/// Sends the request with this token and looks at the head of the answer.
async fn attempt(
    flight: &Flight,
    head: &mut Head,
    token: &Live,
    sent: Instant,
) -> Result<Answer, ProxyError> {
    let Flight { route, replay, entry, .. } = flight;
    let settings = &route.settings;
    entry.iter().for_each(|entry| entry.attempts(settings, head, token.generation));
    let mut unread = 0;
    let target = inject::target(&head.target, &token.injection).ok_or(ProxyError::TargetTooLong)?;
    let request = head.with(&target, token);
    let (response, lease) = loop {
        let answered = if head.expects {
            Box::pin(proceed::send(&route.upstream, request, replay, settings.proceed)).await
        } else {
            route.upstream.send(request, replay.attempt(), sent, || replay.moved_at()).await
        };
        match answered {
            Ok(answered) => break answered,
            Err(it) if it.is_unread() && unread < MOST_UNREAD && replay.check().is_ok() => {
                unread += 1;
            }
            Err(error) => return Err(settings.no_answer(error, replay)),
        }
    };
    let first_byte = sent.elapsed();
    route.metrics.upstream_duration.observe(first_byte.as_secs_f64());
    entry.iter().for_each(|entry| entry.heard(first_byte));

    if crate::headers::has_unknown_coding(response.headers()) {
        return Err(settings.no_answer(SendError::Coding, replay));
    }
    let knows_its_end = lease.is_stream();
    let mut response = response.map(|body| Peeked::new(body, knows_its_end));
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match &head.upgrade {
            Some(_) => Ok(Answer { response, lease: Some(lease), rejected: None }),
            None => Err(settings.no_answer(SendError::Switched, replay)),
        };
    }
    let rule = inspect::inspect(&settings.rules, settings.look, &head.method, &mut response).await;
    let rejected = rule.map(|rule| Rejected { rule, verdict: settings.rules.get(rule).verdict() });
    Ok(Answer { response, lease: Some(lease), rejected })
}

/// Tells a trace what came of an attempt. By value, for what is borrowed takes room in the future until
/// its end.
fn told(
    entry: Option<&Entry>,
    settings: &route::Settings,
    answer: Result<Answer, ProxyError>,
) -> Result<Answer, ProxyError> {
    entry.inspect(|it| it.attempted(settings, answer.as_ref()));
    answer
}

impl Answer {
    /// An answer of success says that the token is good.
    fn note_worked(&self, token: &Live) {
        if self.rejected.is_none() && self.response.status().is_success() {
            token.note_worked();
        }
    }

    /// Reads what is left of a rejection, up to `limit` bytes. The second attempt takes the
    /// request's body over, which ends the connection if the body was still being sent on it: the
    /// answer must be here by then, for it may yet be handed on. And a connection that is done with
    /// is free for the second attempt.
    async fn settle(&mut self, limit: u64, flight: &Flight) {
        let _ = timeout(SETTLE_TIME, self.response.body_mut().read_to_end(limit)).await;
        if self.response.body().is_complete() && flight.replay.has_ended() {
            self.lease.take().into_iter().for_each(Lease::done);
        }
    }
}

/// How often the vendor may say of one attempt that it has read nothing of it.
const MOST_UNREAD: u32 = 2;

/// The longest that a second attempt waits for the rest of a rejection.
const SETTLE_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
