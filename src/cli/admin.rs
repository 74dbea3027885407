//! The admin address of a gateway that runs, and what it answers to a GET. To read needs no key,
//! wherever the gateway is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::parse;
use crate::units::{BaseUrl, Scheme};

use super::{Failure, environment};

#[derive(Debug, clap::Args)]
pub(super) struct Whereabouts {
    /// The gateway's admin address, http://127.0.0.1:9464 by default; TOKENWARD_ADMIN can say it.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    admin: Option<String>,

    /// The gateway's config, to take the address from; TOKENWARD_CONFIG can say it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Where a gateway is asked how it is.
#[derive(Debug)]
pub(super) struct Admin {
    base: BaseUrl,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("nobody answers at {at}")]
    Connect {
        at: String,
        #[source]
        source: io::Error,
    },
    #[error("what answers at {at} breaks off")]
    Broken {
        at: String,
        #[source]
        source: io::Error,
    },
    #[error("what answers at {at} is no gateway: it does not speak HTTP, or says too much")]
    Strange { at: String },
    #[error("no answer from {at} within {}", humantime::format_duration(*.after))]
    Silent { at: String, after: Duration },
}

// === impl Whereabouts ===

impl Whereabouts {
    /// What the command line says counts before the environment, and an address before a config.
    pub(super) fn admin(&self) -> Result<Admin, Failure> {
        let of_environment = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(text) = &self.admin {
            return Admin::parse(text, "--admin");
        }
        if let Some(path) = &self.config {
            return Admin::in_config(path.clone());
        }
        if let Some(text) = of_environment(ADMIN) {
            return Admin::parse(&text.to_string_lossy(), ADMIN);
        }
        match of_environment(CONFIG) {
            Some(path) => Admin::in_config(path.into()),
            None => Admin::at(parse::ADMIN.into()),
        }
    }
}

// === impl Admin ===

impl Admin {
    fn parse(text: &str, source: &str) -> Result<Self, Failure> {
        let bad = |problem: String| Failure::Usage(format!("{source}: {problem}"));
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let base: BaseUrl = whole.parse().map_err(|error| bad(format!("{error}")))?;
        if base.scheme() != Scheme::Http {
            return Err(bad("the admin address speaks http://, without TLS".to_owned()));
        }
        Ok(Self { base })
    }

    fn in_config(path: PathBuf) -> Result<Self, Failure> {
        let listen = parse::admin_of(&path, environment()).map_err(Failure::Config)?;
        if listen.port() == 0 {
            let path = path.display();
            let problem = format!("{path}: the system chooses the admin's port: give --admin");
            return Err(Failure::Usage(problem));
        }
        Self::at(listen)
    }

    fn at(listen: SocketAddr) -> Result<Self, Failure> {
        // At all addresses: this machine is one of them.
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self::parse(&SocketAddr::new(ip, listen.port()).to_string(), "admin.listen")
    }

    /// # Errors
    /// When there is no whole answer within `limit`.
    pub(super) async fn get(&self, path: &str, limit: Duration) -> Result<Answer, Unanswered> {
        let at = || self.base.to_string();
        match timeout(limit, self.exchange(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unanswered::Silent { at: at(), after: limit }),
        }
    }

    /// HTTP/1.0, so that the end of the connection is the end of the answer.
    async fn exchange(&self, path: &str) -> Result<Answer, Unanswered> {
        let base = &self.base;
        let at = || base.to_string();
        let address = (base.host(), base.port());
        let stream = TcpStream::connect(address).await;
        let mut stream = stream.map_err(|source| Unanswered::Connect { at: at(), source })?;
        let (prefix, authority) = (base.prefix(), base.authority());
        let request = format!("GET {prefix}{path} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
        let mut whole = Vec::new();
        let exchanged = async {
            stream.write_all(request.as_bytes()).await?;
            stream.take(LONGEST_ANSWER).read_to_end(&mut whole).await
        };
        let exchanged = exchanged.await;
        exchanged.map_err(|source| Unanswered::Broken { at: at(), source })?;
        read(&whole).ok_or_else(|| Unanswered::Strange { at: at() })
    }
}

impl std::fmt::Display for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.base.fmt(f)
    }
}

fn read(whole: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(whole).ok()? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return None,
    };
    let body = whole[length..].to_vec();
    Some(Answer { status: head.code?, body }).filter(|_| (whole.len() as u64) < LONGEST_ANSWER)
}

const ADMIN: &str = "TOKENWARD_ADMIN";
const CONFIG: &str = "TOKENWARD_CONFIG";
/// Some KiB for each upstream.
const LONGEST_ANSWER: u64 = 8 << 20;
