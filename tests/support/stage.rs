//! A gateway with vendors behind it, all in this process and on ports of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokenward::app::{self, Address, Gateway};
use tokenward::config::parse;
use tokenward::document::Document;
use tokenward::sandbox::{Sandbox, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use toml::{Table, Value};

use super::caller::Caller;
use super::leaks::{self, Watch};
use super::message::Message;
use super::metrics::Samples;
use super::{logs, soon, until};

/// A running gateway. It and everything behind it ends when the test does.
pub struct Stage {
    pub gateway: Gateway,
    /// Both vendors, where the stage was built with them.
    pub sandbox: Arc<Sandbox>,
    vendors: SocketAddr,
    /// The last to go.
    _watch: Watch,
}

/// A stage to be.
pub struct Plan {
    vendors: Option<SocketAddr>,
    /// Simulated vendors that there are already.
    sandbox: Option<Arc<Sandbox>>,
    settings: Settings,
    config: Table,
    waits: bool,
}

impl Stage {
    /// The gateway before both simulated vendors, with a token of each.
    pub async fn new() -> Self {
        Self::plan().start().await
    }

    pub fn plan() -> Plan {
        Plan {
            vendors: None,
            sandbox: None,
            settings: Settings::default(),
            config: Table::new(),
            waits: true,
        }
    }

    /// One request over a connection of its own, as these bytes.
    pub async fn call(&self, upstream: &str, request: impl AsRef<[u8]>) -> Message {
        let mut caller = self.caller(upstream).await;
        caller.send(request).await;
        caller.answer().await
    }

    pub async fn get(&self, upstream: &str, target: &str) -> Message {
        self.call(upstream, format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
    }

    pub async fn post(&self, upstream: &str, target: &str, body: &str) -> Message {
        let length = body.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.call(upstream, head + body).await
    }

    pub async fn caller(&self, upstream: &str) -> Caller {
        Caller::to(self.address(upstream)).await
    }

    /// A connection to the address of all upstreams.
    pub async fn gateway_caller(&self) -> Caller {
        Caller::to(self.gateway.addresses.gateway.as_ref().expect("a gateway address")).await
    }

    pub fn address(&self, upstream: &str) -> &Address {
        self.gateway.addresses.upstream(upstream).expect("an upstream with a listener")
    }

    /// `GET` at the admin address.
    pub async fn admin(&self, path: &str) -> Message {
        let mut caller = Caller::tcp(self.gateway.addresses.admin).await;
        caller.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = caller.answer().await;
        leaks::look_into(path, &answer.raw);
        answer
    }

    /// A new token now, as a person asks for it.
    pub async fn refresh(&self, upstream: &str) -> Message {
        let mut caller = Caller::tcp(self.gateway.addresses.admin).await;
        let head = format!("POST /-/refresh/{upstream} HTTP/1.1\r\nHost: localhost\r\n");
        caller.send(head + "Content-Length: 0\r\n\r\n").await;
        caller.answer().await
    }

    pub async fn metrics(&self) -> Samples {
        Samples::read(&self.admin("/metrics").await.text())
    }

    /// The sum of the samples with these labels.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().await.sum(name, labels)
    }

    /// Waits until a metric has a value; what is counted in the background comes a little later.
    pub async fn metric_becomes(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name} {labels:?} becomes {value}");
        soon(&what, async {
            while self.metric(name, labels).await != value {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The generation of an upstream's token.
    pub fn generation(&self, upstream: &str) -> u64 {
        self.gateway.tokens(upstream).expect("an upstream").status().generation
    }
}

impl Plan {
    /// Another server than the simulated vendors behind both upstreams.
    pub fn before(mut self, vendor: SocketAddr) -> Self {
        self.vendors = Some(vendor);
        self
    }

    /// The same simulated vendors as another gateway's.
    pub fn beside(mut self, stage: &Stage) -> Self {
        (self.vendors, self.sandbox) = (Some(stage.vendors), Some(stage.sandbox.clone()));
        self
    }

    /// How the simulated vendors behave.
    pub fn sandbox(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Lays TOML over the config: keys in it add to what is there, or take its place.
    pub fn config(mut self, toml: &str) -> Self {
        lay_over(&mut self.config, toml.parse().expect("TOML"));
        self
    }

    /// Starts without waiting for tokens.
    pub fn without_tokens(mut self) -> Self {
        self.waits = false;
        self
    }

    pub async fn start(self) -> Stage {
        logs::capture();
        let sandbox = self.sandbox.unwrap_or_else(|| Sandbox::new(self.settings.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address");
        tokio::spawn(sandbox.clone().serve(listener, CancellationToken::new()));

        let vendors = self.vendors.unwrap_or(own);
        let mut config = usual_config(vendors, &self.settings);
        lay_over(&mut config, self.config);
        leaks::secrets_of(&config);
        let (document, mut report) = Document::parse("test.toml", config.to_string());
        let config = parse::config(&document, Path::new(env!("CARGO_MANIFEST_DIR")), &mut report);
        let config = config.unwrap_or_else(|| panic!("{report}"));
        let gateway = app::start(config).await.expect("the gateway starts");
        if self.waits {
            until("a token of every upstream", || gateway.readiness.is_ready()).await;
        }
        Stage { gateway, sandbox, vendors, _watch: Watch::default() }
    }
}

fn usual_config(vendors: SocketAddr, settings: &Settings) -> Table {
    let Settings { jing, aiclk } = settings;
    let text = format!(
        r#"
workers = 1
admin.listen = "127.0.0.1:0"
store.kind = "memory"

[upstream.jing]
vendor = "jing"
listen = "127.0.0.1:0"
base_url = "http://{vendors}"
credentials = {{ app_id = "{}", app_secret = "{}" }}

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://{vendors}"
credentials = {{ client_id = "{}", refresh_token = "{}" }}
"#,
        jing.app_id, jing.app_secret, aiclk.client_id, aiclk.first_refresh_token
    );
    text.parse().expect("TOML")
}

fn lay_over(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(there)), Value::Table(more)) => lay_over(there, more),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}
