//! Who calls: the operator's clients, told apart by a key or by a certificate, and what each may.

mod credential;
mod refusal;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, HeaderMap, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method};

use crate::headers::retain;
use crate::telemetry::metrics::{ClientRequests, Metrics};

use super::guard::allow::AllowList;
use super::guard::{Admission, Guard};
use super::peer::Peer;
use credential::Credential;

pub use credential::KeyHash;
pub use refusal::Refusal;

/// One client, as the operator describes it.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: String,
    /// One, or an old and a new one while they are changed.
    pub keys: Vec<KeyHash>,
    /// Names that its certificate may have, as [`certificate_name`] spells them.
    pub certificates: Vec<String>,
    /// May act at an admin address from another machine.
    pub admin: bool,
    /// What it may call of each upstream, by the upstream's place; `None`: nothing.
    pub upstreams: Vec<Option<AllowList>>,
}

/// All clients of one moment. It can hold no key twice.
#[derive(Debug)]
pub struct Clients {
    /// In one piece, for every key is compared with all of them.
    keys: Vec<KeyHash>,
    /// Whose they are.
    owners: Vec<usize>,
    certificates: HashMap<String, usize>,
    clients: Vec<Arc<Client>>,
}

/// A client whose request is under way.
#[derive(Debug)]
pub struct Client {
    pub name: String,
    pub admin: bool,
    upstreams: Vec<Option<AllowList>>,
    /// Its answers.
    pub requests: ClientRequests,
}

/// The clients of now. They are swapped as a whole, and a request sees them by one load.
#[derive(Debug)]
pub struct Roster(ArcSwap<Clients>);

// === impl Roster ===

impl Roster {
    pub fn new(clients: Clients) -> Self {
        Self(ArcSwap::from_pointee(clients))
    }

    /// From the next request on, these are the clients.
    pub fn replace(&self, clients: Clients) {
        self.0.store(Arc::new(clients));
    }

    /// Who asks; `None`: somebody at a Unix socket, whose mode and owner have let them in. A key
    /// that was ours to read is taken out.
    ///
    /// # Errors
    /// When it is nobody whom the operator knows.
    pub fn identify(
        &self,
        peer: &Peer,
        headers: &mut HeaderMap,
    ) -> Result<Option<Arc<Client>>, Refusal> {
        self.0.load().identify(peer, headers)
    }

    /// The client whose key is in `Authorization`.
    pub fn by_authorization(&self, headers: &HeaderMap) -> Option<Arc<Client>> {
        let clients = self.0.load();
        clients.by_key(only(headers, AUTHORIZATION).ok()??)?.ok().cloned()
    }
}

// === impl Clients ===

impl Clients {
    /// `upstreams` are their names in their order.
    pub fn new(configs: Vec<Config>, upstreams: &[String], metrics: &Metrics) -> Self {
        let mut clients = Self {
            keys: Vec::new(),
            owners: Vec::new(),
            certificates: HashMap::new(),
            clients: Vec::new(),
        };
        for (owner, config) in configs.into_iter().enumerate() {
            let Config { name, keys, certificates, admin, upstreams: allowed } = config;
            clients.owners.extend(keys.iter().map(|_| owner));
            clients.keys.extend(keys);
            clients.certificates.extend(certificates.into_iter().map(|name| (name, owner)));
            let requests = metrics.requests_of_client(&name, upstreams);
            clients.clients.push(Arc::new(Client { name, admin, upstreams: allowed, requests }));
        }
        clients
    }

    fn identify(
        &self,
        peer: &Peer,
        headers: &mut HeaderMap,
    ) -> Result<Option<Arc<Client>>, Refusal> {
        // It ends here, as hop-by-hop fields do.
        if let Some(value) = only(headers, PROXY_AUTHORIZATION)? {
            let client = self.by_key(value).ok_or(Refusal::Unknown)??.clone();
            if self.in_authorization(headers).is_some() {
                retain(headers, |name| name != AUTHORIZATION);
            }
            return Ok(Some(client));
        }
        // It may be the vendor's, if who calls is clear without it; but no key of ours goes there.
        if let Some(found) = self.in_authorization(headers) {
            only(headers, AUTHORIZATION)?;
            let client = found?.clone();
            retain(headers, |name| name != AUTHORIZATION);
            return Ok(Some(client));
        }
        match peer {
            Peer::Unix => Ok(None),
            Peer::Certified(_, names) => self.by_certificate(names).map(Some),
            Peer::Tcp(_) if headers.contains_key(AUTHORIZATION) => Err(Refusal::Unknown),
            Peer::Tcp(_) => Err(Refusal::Absent),
        }
    }

    /// Whose key this is, or that it came by a wrong name; `None`: it is nobody's. Compared with every
    /// key there is, so that the time does not tell which one was near.
    fn by_key(&self, value: &HeaderValue) -> Option<Result<&Arc<Client>, Refusal>> {
        let credential = Credential::read(value.as_bytes())?;
        let place = credential.key.place_in(&self.keys)?;
        let client = &self.clients[self.owners[place]];
        Some(credential.is_of(&client.name).then_some(client).ok_or(Refusal::Unknown))
    }

    fn in_authorization(&self, headers: &HeaderMap) -> Option<Result<&Arc<Client>, Refusal>> {
        headers.get_all(AUTHORIZATION).iter().find_map(|value| self.by_key(value))
    }

    fn by_certificate(&self, names: &[String]) -> Result<Arc<Client>, Refusal> {
        let mut owners =
            names.iter().filter_map(|name| self.certificates.get(&certificate_name(name)));
        let owner = owners.next().ok_or(Refusal::Certificate)?;
        if owners.any(|other| other != owner) {
            return Err(Refusal::Ambiguous);
        }
        Ok(self.clients[*owner].clone())
    }
}

// === impl Client ===

impl Client {
    /// A call that reaches no vendor needs the upstream alone.
    ///
    /// # Errors
    /// When the operator has not allowed it this, at the upstream of this place.
    pub fn admit(
        &self,
        upstream: usize,
        guard: &Guard,
        admission: &Admission<'_>,
        request: (&Method, &str, &HeaderMap),
    ) -> Result<(), Refusal> {
        let allowed = self.upstreams.get(upstream).and_then(Option::as_ref);
        let allowed = allowed.ok_or(Refusal::Upstream)?;
        match admission {
            Admission::ToVendor => {
                let judge = |method: &Method, path: &str| {
                    allowed.admits(method, path).map_err(|_| Refusal::Rule)
                };
                guard.judge_each(request, judge, Refusal::Rule)
            }
            Admission::Emulate(_) => Ok(()),
        }
    }
}

/// DNS names in lower case, as they are compared; URIs as they are.
pub fn certificate_name(name: &str) -> String {
    if name.contains("://") { name.to_owned() } else { name.to_ascii_lowercase() }
}

/// The field's value, if it came; an error if it came twice.
fn only(headers: &HeaderMap, name: http::HeaderName) -> Result<Option<&HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Refusal::Twice),
    }
}

#[cfg(test)]
mod tests;
