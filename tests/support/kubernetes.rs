//! A Kubernetes API server, as far as Secrets go: versions, conflicts, merge patches, watches,
//! permissions and tokens as the real one has them.

#[path = "kubernetes/objects.rs"]
mod objects;
#[path = "kubernetes/serve.rs"]
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use objects::{Said, status};

/// A running server. It forgets nothing when it goes away and comes back.
#[derive(Clone)]
pub struct Cluster {
    pub address: SocketAddr,
    tls: Option<TlsAcceptor>,
    state: Arc<Mutex<State>>,
    /// Ends everything that goes on: connections and watches.
    gone: Arc<Mutex<CancellationToken>>,
}

struct State {
    /// Of the whole cluster; it grows with every write, and with what happens elsewhere.
    version: u64,
    secrets: BTreeMap<String, Value>,
    /// What watches are told, with the version of each.
    history: Vec<(u64, Value)>,
    /// What was before this version is forgotten.
    oldest: u64,
    changes: watch::Sender<u64>,
    tokens: BTreeSet<String>,
    allowed: BTreeSet<&'static str>,
    calls: Vec<Call>,
    faults: Vec<Fault>,
    /// How many patches find that somebody was faster.
    interferences: u32,
    gate: Option<Arc<Semaphore>>,
    expires_as_event: bool,
    /// When watches end, whatever was asked.
    watch_ends: CancellationToken,
}

/// What was asked, and what was answered.
#[derive(Clone, Debug)]
pub struct Call {
    pub verb: &'static str,
    pub target: String,
    pub code: u16,
}

/// An answer that takes the place of the server's own.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Of which verb; empty: of any but `watch`.
    pub verb: &'static str,
    pub code: u16,
    pub body: String,
    pub retry_after: Option<&'static str>,
    /// So many requests that fit are answered as usual before.
    pub after: u32,
    /// The request is carried out all the same.
    pub carried_out: bool,
}

impl Cluster {
    /// Listens, with TLS if there is a config for it. One token is good: [`TOKEN`].
    pub async fn start(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = State {
            version: 1000,
            secrets: BTreeMap::new(),
            history: Vec::new(),
            oldest: 0,
            changes: watch::Sender::new(0),
            tokens: BTreeSet::from([TOKEN.to_owned()]),
            allowed: BTreeSet::from(["get", "create", "patch", "watch"]),
            calls: Vec::new(),
            faults: Vec::new(),
            interferences: 0,
            gate: None,
            expires_as_event: true,
            watch_ends: CancellationToken::new(),
        };
        let cluster = Self {
            address,
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            state: Arc::new(Mutex::new(state)),
            gone: Arc::default(),
        };
        cluster.accept(listener);
        cluster
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// Every connection is cut, and none is taken.
    pub fn leave(&self) {
        self.gone.lock().expect("no panic").cancel();
    }

    /// Comes back at the same address.
    pub async fn come_back(&self) {
        *self.gone.lock().expect("no panic") = CancellationToken::new();
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.accept(listener);
    }

    fn accept(&self, listener: TcpListener) {
        let gone = self.gone.lock().expect("no panic").clone();
        let cluster = self.clone();
        tokio::spawn(gone.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = serve::connection(cluster.clone(), stream);
                tokio::spawn(gone.clone().run_until_cancelled_owned(served));
            }
        }));
    }

    /// The Secret as it stands; `Null` without one.
    pub fn secret(&self, name: &str) -> Value {
        self.state().secrets.get(name).cloned().unwrap_or_default()
    }

    /// Somebody else puts this in the place of a Secret; `Null` deletes it.
    pub fn put(&self, name: &str, object: Value) {
        let mut state = self.state();
        match object {
            Value::Null => state.delete(name),
            object => state.store(name, object),
        }
    }

    /// From now on, these tokens are good and no others.
    pub fn accept_tokens(&self, tokens: &[&str]) {
        self.state().tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
    }

    /// From now on, the Role allows these verbs and no others.
    pub fn allow(&self, verbs: &[&'static str]) {
        self.state().allowed = verbs.iter().copied().collect();
    }

    /// So many patches find that somebody has changed another key since the Secret was read.
    pub fn interfere(&self, times: u32) {
        self.state().interferences = times;
    }

    /// The next request that fits is answered so.
    pub fn fault(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Every request from now on waits, watches too, until the server is told to go on.
    pub fn pause(&self) {
        self.state().gate = Some(Arc::new(Semaphore::new(0)));
    }

    pub fn go_on(&self) {
        if let Some(gate) = self.state().gate.take() {
            gate.close();
        }
    }

    /// Watches end; what was before now is forgotten, so that none can go on from there. The
    /// refusal is an event, or a status as it is of other servers.
    pub fn compact(&self, as_event: bool) {
        let mut state = self.state();
        state.elsewhere();
        (state.oldest, state.expires_as_event) = (state.version, as_event);
        state.end_watches();
    }

    /// Watches end, as they do every few minutes.
    pub fn end_watches(&self) {
        self.state().end_watches();
    }

    /// Watches are told how far they are, though nothing has changed.
    pub fn bookmark(&self) {
        let mut state = self.state();
        let version = state.elsewhere();
        let object = json!({ "kind": "Secret", "apiVersion": "v1",
            "metadata": { "resourceVersion": version.to_string(), "creationTimestamp": null } });
        state.tell(json!({ "type": "BOOKMARK", "object": object }));
    }

    /// What was asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub fn count(&self, verb: &str) -> usize {
        self.calls().iter().filter(|call| call.verb == verb).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }
}

impl State {
    /// Something happens in the cluster: versions are its, not those of one object.
    fn elsewhere(&mut self) -> u64 {
        self.version += fastrand::u64(1..10);
        self.version
    }

    fn store(&mut self, name: &str, mut object: Value) {
        let kind = if self.secrets.contains_key(name) { "MODIFIED" } else { "ADDED" };
        let version = self.elsewhere();
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(name);
        metadata["resourceVersion"] = json!(version.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("{:032x}", fastrand::u128(..)));
        }
        self.secrets.insert(name.to_owned(), object.clone());
        self.tell(json!({ "type": kind, "object": object }));
    }

    fn delete(&mut self, name: &str) {
        let Some(mut object) = self.secrets.remove(name) else { return };
        object["metadata"]["resourceVersion"] = json!(self.elsewhere().to_string());
        self.tell(json!({ "type": "DELETED", "object": object }));
    }

    fn touch(&mut self, name: &str) {
        if let Some(mut object) = self.secrets.get(name).cloned() {
            object["metadata"]["annotations"]["example.com/other"] =
                json!(fastrand::u64(..).to_string());
            self.store(name, object);
        }
    }

    fn tell(&mut self, event: Value) {
        self.history.push((self.version, event));
        self.changes.send_replace(self.version);
    }

    fn end_watches(&mut self) {
        std::mem::take(&mut self.watch_ends).cancel();
    }

    fn fault_of(&mut self, verb: &str) -> Option<Fault> {
        let fits = |fault: &Fault| match fault.verb {
            "" => verb != "watch",
            other => other == verb,
        };
        let place = self.faults.iter().position(fits)?;
        if self.faults[place].after > 0 {
            self.faults[place].after -= 1;
            return None;
        }
        Some(self.faults.remove(place))
    }

    /// Who asks, by the token.
    fn user(&self, authorization: Option<&str>) -> Result<&'static str, Said> {
        let Some(value) = authorization else { return Ok("system:anonymous") };
        match value.strip_prefix("Bearer ") {
            Some(token) if self.tokens.contains(token) => Ok(USER),
            _ => Err(objects::unauthorized()),
        }
    }
}

impl Fault {
    pub fn new(code: u16) -> Self {
        let (_, body) = status(code, "InternalError", "scripted");
        Self {
            verb: "",
            code,
            body: body.to_string(),
            retry_after: None,
            after: 0,
            carried_out: false,
        }
    }

    pub fn of(self, verb: &'static str) -> Self {
        Self { verb, ..self }
    }
}

pub const TOKEN: &str = "service-account-token-1";
pub const USER: &str = "system:serviceaccount:apps:gateway";
/// The only namespace.
pub const NAMESPACE: &str = "apps";
/// The Secret that the Role names.
pub const SECRET: &str = "tokenward-tokens";
/// How long a watch lasts at most.
const LONGEST_WATCH: Duration = Duration::from_secs(1800);
