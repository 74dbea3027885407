//! How the server answers: who asks, whether he may, and what comes of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::objects::{self, LARGEST_BODY, Said, status};
use super::{Call, Cluster, LONGEST_WATCH, NAMESPACE, SECRET, State};

type Answer = Response<Either<Full<Bytes>, Lines>>;

/// The body of a watch.
pub(super) struct Lines(mpsc::Receiver<Bytes>);

/// A request in the words of the API.
struct Asked {
    verb: &'static str,
    namespace: String,
    /// Empty: all Secrets.
    name: String,
    query: HashMap<String, String>,
    target: String,
    content_type: String,
    authorization: Option<String>,
    body: Bytes,
}

pub(super) async fn connection(cluster: Cluster, stream: TcpStream) {
    let tls = cluster.tls.clone();
    let service = service_fn(move |request| answer(cluster.clone(), request));
    match tls {
        None => {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
        Some(tls) => {
            let Ok(stream) = tls.accept(stream).await else { return };
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

async fn answer(cluster: Cluster, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let gate = cluster.state().gate.clone();
    if let Some(gate) = gate {
        // It is closed when the server goes on.
        let _ = gate.acquire().await;
    }
    let asked = match Asked::read(request).await {
        Ok(asked) => asked,
        Err(said) => return Ok(whole(said)),
    };
    let fault = cluster.state().fault_of(asked.verb);
    let answer = match fault {
        Some(fault) => {
            if fault.carried_out {
                let _ = cluster.carry_out(&asked);
            }
            let body = Full::new(Bytes::from(fault.body));
            let mut answer = Response::builder().status(fault.code);
            if let Some(seconds) = fault.retry_after {
                answer = answer.header(RETRY_AFTER, seconds);
            }
            answer.body(Either::Left(body)).expect("an answer")
        }
        None => match cluster.carry_out(&asked) {
            Ok(Some(said)) => whole(said),
            Ok(None) => cluster.watch(&asked),
            Err(said) => whole(said),
        },
    };
    let Asked { verb, target, .. } = asked;
    cluster.state().calls.push(Call { verb, target, code: answer.status().as_u16() });
    Ok(answer)
}

fn whole((code, object): Said) -> Answer {
    let body = Full::new(Bytes::from(object.to_string()));
    let answer = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    answer.body(Either::Left(body)).expect("an answer")
}

impl Asked {
    async fn read(request: Request<Incoming>) -> Result<Self, Said> {
        let (head, body) = request.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let authorization = header(AUTHORIZATION).map(str::to_owned);
        let target = head.uri.to_string();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = head.uri.query().unwrap_or_default().split('&');
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let query: HashMap<_, _> = pairs.map(|(k, v)| (decoded(k), decoded(v))).collect();
        let segments: Vec<_> = head.uri.path().split('/').skip(1).collect();
        let nowhere =
            || status(404, "NotFound", "the server could not find the requested resource");
        let (namespace, name) = match segments[..] {
            ["api", "v1", "namespaces", namespace, "secrets"] => (namespace, ""),
            ["api", "v1", "namespaces", namespace, "secrets", name] => (namespace, name),
            _ => return Err(nowhere()),
        };
        let watches =
            query.get("watch").is_some_and(|value| matches!(value.as_str(), "1" | "true"));
        let verb = match (&head.method, name.is_empty()) {
            (&Method::GET, true) if watches => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::POST, true) => "create",
            (&Method::PUT, false) => "update",
            (&Method::PATCH, false) => "patch",
            (&Method::DELETE, false) => "delete",
            _ => return Err(status(405, "MethodNotAllowed", "not here")),
        };
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let body = body.collect().await.map_err(|_| status(400, "BadRequest", "cut off"))?;
        let body = body.to_bytes();
        Ok(Self { verb, namespace, name, query, target, content_type, authorization, body })
    }

    /// The name by which a Role can allow it: of the selector, where all Secrets are asked for.
    fn named(&self) -> &str {
        let selector = self.query.get("fieldSelector").map(String::as_str).unwrap_or_default();
        match self.verb {
            "watch" | "list" => selector.strip_prefix("metadata.name=").unwrap_or_default(),
            _ => &self.name,
        }
    }

    fn object(&self) -> Result<Value, Said> {
        serde_json::from_slice(&self.body)
            .map_err(|error| status(400, "BadRequest", format!("invalid: {error}")))
    }
}

impl Cluster {
    /// `None`: it is to be watched.
    fn carry_out(&self, asked: &Asked) -> Result<Option<Said>, Said> {
        let mut state = self.state();
        let state = &mut *state;
        let user = state.user(asked.authorization.as_deref())?;
        let Asked { verb, name, namespace, .. } = asked;
        // A Role cannot name what does not exist yet.
        let named = *verb == "create" || asked.named() == SECRET;
        if user != super::USER || !state.allowed.contains(verb) || !named || namespace != NAMESPACE
        {
            return Err(objects::forbidden(user, verb, name, namespace));
        }
        if asked.body.len() > LARGEST_BODY {
            return Err(objects::body_too_large());
        }
        let said = match *verb {
            "watch" => return Ok(None),
            "get" => {
                (200, state.secrets.get(name).cloned().ok_or_else(|| objects::not_found(name))?)
            }
            "create" => {
                let object = asked.object()?;
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if state.secrets.contains_key(&name) {
                    return Err(objects::exists(&name));
                }
                (201, state.replace(&name, object)?)
            }
            "update" => {
                let object = asked.object()?;
                let now = state.secrets.get(name).ok_or_else(|| objects::not_found(name))?;
                state.unchanged_since(name, &object, now)?;
                (200, state.replace(name, object)?)
            }
            "patch" => (200, state.patch(asked)?),
            _ => return Err(status(405, "MethodNotAllowed", "not here")),
        };
        Ok(Some(said))
    }

    fn watch(&self, asked: &Asked) -> Answer {
        let name = asked.named().to_owned();
        let bookmarks = asked.query.get("allowWatchBookmarks").is_some_and(|value| value == "true");
        let life = asked.query.get("timeoutSeconds").and_then(|text| text.parse().ok());
        let life = life.map_or(LONGEST_WATCH, Duration::from_secs);
        let (mut after, mut first) = (0, None);
        let (mut changes, ends) = {
            let state = self.state();
            match asked.query.get("resourceVersion").filter(|version| !version.is_empty()) {
                None => {
                    after = state.version;
                    let object = state.secrets.get(&name);
                    first = object.map(|object| json!({ "type": "ADDED", "object": object }));
                }
                Some(version) => match version.parse::<u64>() {
                    Err(_) => return whole(status(400, "BadRequest", "Invalid value")),
                    Ok(asked) if asked < state.oldest && state.expires_as_event => {
                        let (_, object) = objects::expired(asked, state.oldest);
                        first = Some(json!({ "type": "ERROR", "object": object }));
                    }
                    Ok(asked) if asked < state.oldest => {
                        return whole(objects::expired(asked, state.oldest));
                    }
                    Ok(asked) if asked > state.version => {
                        return whole(objects::too_large_version(asked, state.version));
                    }
                    Ok(asked) => after = asked,
                },
            }
            (state.changes.subscribe(), state.watch_ends.clone())
        };
        let over = first.as_ref().is_some_and(|event| event["type"] == "ERROR");
        let (sender, lines) = mpsc::channel(16);
        let cluster = self.clone();
        let telling = async move {
            let mut events: Vec<Value> = first.into_iter().collect();
            loop {
                for event in events.drain(..) {
                    let line = Bytes::from(format!("{event}\n"));
                    if sender.send(line).await.is_err() {
                        return;
                    }
                }
                if over {
                    return;
                }
                changes.borrow_and_update();
                {
                    let state = cluster.state();
                    events = state.since(after, &name, bookmarks);
                    after = state.version.max(after);
                }
                if events.is_empty() && changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let gone = self.gone.lock().expect("no panic").clone();
        let telling = gone.run_until_cancelled_owned(ends.run_until_cancelled_owned(telling));
        tokio::spawn(timeout(life, telling));
        let answer = Response::builder().status(200).header(CONTENT_TYPE, "application/json");
        answer.body(Either::Right(Lines(lines))).expect("an answer")
    }
}

impl State {
    fn patch(&mut self, asked: &Asked) -> Result<Value, Said> {
        let name = &asked.name;
        if asked.content_type != "application/merge-patch+json" {
            let message = "the body of the request was in an unknown format";
            return Err(status(415, "UnsupportedMediaType", message));
        }
        if self.interferences > 0 {
            self.interferences -= 1;
            self.touch(name);
        }
        let now = self.secrets.get(name).ok_or_else(|| objects::not_found(name))?;
        let mut object = now.clone();
        objects::merge(&mut object, &asked.object()?);
        self.unchanged_since(name, &object, now)?;
        self.replace(name, object)
    }

    /// An object that names a version may only replace that one.
    fn unchanged_since(&self, name: &str, object: &Value, now: &Value) -> Result<(), Said> {
        let version = &object["metadata"]["resourceVersion"];
        let same = *version == now["metadata"]["resourceVersion"];
        if version.is_null() || same { Ok(()) } else { Err(objects::conflict(name)) }
    }

    fn replace(&mut self, name: &str, object: Value) -> Result<Value, Said> {
        objects::validate(name, &object, self.secrets.get(name))?;
        // A write that changes nothing is none, and has no version.
        if self.secrets.get(name) != Some(&object) {
            self.store(name, object);
        }
        Ok(self.secrets[name].clone())
    }

    fn since(&self, after: u64, name: &str, bookmarks: bool) -> Vec<Value> {
        let later = self.history.iter().filter(|(version, _)| *version > after);
        let events = later.map(|(_, event)| event).filter(|event| match &event["type"] {
            kind if kind == "BOOKMARK" => bookmarks,
            _ => event["object"]["metadata"]["name"] == name,
        });
        events.cloned().collect()
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
