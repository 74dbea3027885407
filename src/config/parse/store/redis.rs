//! The keys of a redis store.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::config::StorePlace;
use crate::config::parse::Parser;
use crate::config::raw::RawStore;
use crate::secret::Secret;
use crate::token::store::redis::{Config, Place, Server};
use crate::upstream::tls;

/// What an URL says beside the place.
#[derive(Debug, Default)]
struct Given {
    username: Option<Secret>,
    password: Option<Secret>,
    database: u32,
}

impl Parser<'_> {
    pub(super) fn redis_store(&mut self, raw: &RawStore) -> Option<StorePlace> {
        let username =
            raw.username.as_ref().map(|source| self.identifier(&["store", "username"], source));
        let password =
            raw.password.as_ref().map(|source| self.secret(&["store", "password"], source));
        let key_prefix = self.key_prefix(raw.key_prefix.as_deref());
        let (server, has_tls, given) = match (&raw.url, &raw.sentinels) {
            (Some(_), Some(_)) => {
                self.note(
                    &["store", "sentinels"],
                    "give `store.url` or `store.sentinels`, not both",
                );
                return None;
            }
            (Some(source), None) => {
                if raw.master.is_some() {
                    let problem =
                        "this is the sentinels' name of the server: give `store.sentinels`";
                    self.note(&["store", "master"], problem);
                }
                // Of the whole, only the password is looked for in the log.
                let url = self.identifier(&["store", "url"], source)?;
                let (place, has_tls, given) = self.redis_url(&url)?;
                (Server::At(place), has_tls, given)
            }
            (None, Some(sentinels)) => {
                let (server, has_tls) = self.sentinels(sentinels, raw.master.as_deref())?;
                (server, has_tls, Given::default())
            }
            (None, None) => {
                let problem = "a redis store needs `store.url`, or `store.sentinels` and \
                               `store.master`";
                let mistake = self.document.mistake(&["store"], problem);
                self.report.push(mistake.help("url = \"redis://127.0.0.1:6379\""));
                return None;
            }
        };
        let username = self.not_twice("username", username.flatten(), given.username);
        let password = self.not_twice("password", password.flatten(), given.password);
        if username.is_some() && password.is_none() && raw.password.is_none() {
            self.note(&["store"], "a user signs on by a password: give `store.password`");
        }
        let tls = self.store_tls(&raw.tls);
        if tls.is_some() && !has_tls {
            let problem = "without TLS these are of no use: begin `store.url`, or every sentinel, \
                           with rediss://";
            self.note(&["store", "tls"], problem);
        }
        let tls = has_tls.then(|| tls.unwrap_or_default());
        let database = given.database;
        let redis = Config { server, username, password, database, key_prefix: key_prefix? };
        Some(StorePlace::Redis { redis, tls })
    }

    /// What is wrong is said without a word of the URL, which may hold a password.
    fn redis_url(&mut self, url: &Secret) -> Option<(Place, bool, Given)> {
        parse_url(url.expose())
            .map_err(|problem| {
                let mistake = self.document.mistake(&["store", "url"], problem);
                self.report.push(mistake.expected(EXPECTED));
            })
            .ok()
    }

    fn sentinels(&mut self, texts: &[String], master: Option<&str>) -> Option<(Server, bool)> {
        let path = ["store", "sentinels"];
        let mut found = Vec::new();
        for text in texts {
            match sentinel(text) {
                Some(one) => found.push(one),
                None => {
                    let mistake = self.document.mistake(&path, "a sentinel is `host:port`");
                    let expected = "expected such as \"10.0.0.1:26379\", or \
                                    \"rediss://10.0.0.1:26379\" for TLS";
                    self.report.push(mistake.expected(expected));
                    return None;
                }
            }
        }
        let (sentinels, has_tls): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        match has_tls.first() {
            None => self.note(&path, "there is no sentinel in it"),
            Some(first) if has_tls.iter().any(|other| other != first) => {
                self.note(&path, "TLS is spoken to all of them, and to the server, or to none");
            }
            _ => {}
        }
        let Some(master) = master.filter(|master| !master.is_empty()) else {
            self.note(&path, "`store.master` is missing: the sentinels' name of the server");
            return None;
        };
        Some((Server::Watched { sentinels, master: master.to_owned() }, has_tls.contains(&true)))
    }

    fn key_prefix(&mut self, given: Option<&str>) -> Option<String> {
        let prefix = given.unwrap_or(KEY_PREFIX);
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}' | '*');
        if prefix.is_empty() || prefix.contains(bad) {
            let problem = "keys begin with a text without spaces, braces and stars";
            let mistake = self.document.mistake(&["store", "key_prefix"], problem);
            self.report.push(mistake.expected("expected such as \"tokenward:\""));
            return None;
        }
        Some(prefix.to_owned())
    }

    fn not_twice(
        &mut self,
        key: &str,
        own: Option<Secret>,
        in_url: Option<Secret>,
    ) -> Option<Secret> {
        if own.is_some() && in_url.is_some() {
            self.note(&["store", key], format!("`store.url` has a {key} already"));
        }
        own.or(in_url)
    }
}

fn parse_url(text: &str) -> Result<(Place, bool, Given), &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path);
    }
    if !text.contains("://") {
        return Err("the URL of the server lacks its scheme");
    }
    let url = Url::parse(text).map_err(|_| "this is no URL")?;
    let has_tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return Err("this is not the URL of a Redis server"),
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the URL of a Redis server has no `?` and no `#`");
    }
    let place = place(&url, REDIS_PORT).ok_or("the URL lacks its host")?;
    if has_tls && !is_name(&place) {
        return Err("no certificate can have the name of this host");
    }
    let decoded = |text| percent_decode_str(text).decode_utf8();
    let not_text = |_| "what is percent-encoded in the URL is no text in UTF-8";
    let username = Some(url.username()).filter(|name| !name.is_empty()).map(decoded);
    let (username, password) = (username.transpose(), url.password().map(decoded).transpose());
    let database = database(url.path().trim_start_matches('/'))?;
    let given = Given {
        username: username.map_err(not_text)?.map(Secret::identifier),
        password: password.map_err(not_text)?.map(Secret::new),
        database,
    };
    Ok((place, has_tls, given))
}

/// `unix:/path`, `unix:///path`, and perhaps `?db=1`.
fn unix(rest: &str) -> Result<(Place, bool, Given), &'static str> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, "db=0"));
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') {
        return Err("a socket's path begins with `/`");
    }
    let number = query.strip_prefix("db=").ok_or("after a socket's path, only `?db=` may stand")?;
    let given = Given { database: database(number)?, ..Given::default() };
    Ok((Place::Unix(PathBuf::from(path)), false, given))
}

fn database(text: &str) -> Result<u32, &'static str> {
    match text {
        "" => Ok(0),
        number => number.parse().map_err(|_| "the database is a number"),
    }
}

/// `host:port`, or that after `rediss://`: with TLS.
fn sentinel(text: &str) -> Option<(Place, bool)> {
    let (text, has_tls) = match text.strip_prefix("rediss://") {
        Some(rest) => (rest, true),
        None => (text.strip_prefix("redis://").unwrap_or(text), false),
    };
    let url = Url::parse(&format!("redis://{text}")).ok()?;
    let bare = url.username().is_empty() && url.password().is_none();
    let bare = bare && url.path().is_empty() && url.query().is_none() && url.fragment().is_none();
    let place = place(&url, SENTINEL_PORT).filter(|place| bare && (!has_tls || is_name(place)))?;
    Some((place, has_tls))
}

fn place(url: &Url, port: u16) -> Option<Place> {
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let port = url.port().unwrap_or(port);
    (!host.is_empty() && port > 0).then_some(Place::Tcp { host, port })
}

fn is_name(place: &Place) -> bool {
    matches!(place, Place::Tcp { host, .. } if tls::is_name(host))
}

const EXPECTED: &str = "expected such as \"redis://127.0.0.1:6379/0\", \
                        \"rediss://redis.example.com\" for TLS, or \"unix:/run/redis.sock\"";
const KEY_PREFIX: &str = "tokenward:";
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
