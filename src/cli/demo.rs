//! `tokenward demo` and `tokenward sandbox`: the simulated vendors, with and without the gateway
//! before them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{self, StartError};
use crate::config::{LogConfig, parse};
use crate::document::Document;
use crate::sandbox::{Sandbox, Settings, tour};
use crate::signal::Shutdown;
use crate::telemetry::log::Format;

use super::run::until_signal;
use super::{Arguments, Failure, block_on};

#[derive(Debug, clap::Args)]
pub(super) struct DemoArguments {
    /// How long access tokens live: short, so that renewals can be watched.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    token_life: Duration,
}

#[derive(Debug, clap::Args)]
pub(super) struct SandboxArguments {
    /// Where both vendors answer.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,

    /// How long access tokens live.
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = humantime::parse_duration)]
    token_life: Duration,
}

pub(super) fn sandbox(own: &SandboxArguments, arguments: &Arguments) -> Result<(), Failure> {
    arguments.init_log(&log("info"))?;
    block_on(async {
        let mut shutdown = Shutdown::install().map_err(Failure::failed)?;
        let listener = TcpListener::bind(own.listen).await.map_err(|error| {
            Failure::Failed(format!("cannot listen on {} (--listen): {error}", own.listen).into())
        })?;
        let at = listener.local_addr().map_err(Failure::failed)?;
        let settings = Settings::default().with_access_life(own.token_life);
        let credentials = tour::credentials(&settings);
        println!("Both vendors answer on http://{at}, to these (invented) credentials:\n");
        println!(
            "{credentials}\n\nFaults are switched over HTTP: see http://{at}/-/. Ctrl-C ends it."
        );
        let stop = CancellationToken::new();
        let vendors = tokio::spawn(Sandbox::new(settings).serve(listener, stop.clone()));
        shutdown.recv().await;
        stop.cancel();
        vendors.await.map_err(Failure::failed)
    })
}

pub(super) fn demo(own: &DemoArguments, arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.init_log(&log(DEMO_LOG))?;
    block_on(async {
        let mut shutdown = Shutdown::install().map_err(Failure::failed)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Failure::failed)?;
        let vendors_at = listener.local_addr().map_err(Failure::failed)?;
        let settings = Settings::default().with_access_life(own.token_life);
        let stop = CancellationToken::new();
        let sandbox = Sandbox::new(settings.clone());
        let vendors = tokio::spawn(sandbox.serve(listener, stop.clone()));

        let start = async |admin, vendors: [u16; 2]| {
            let ports = tour::Ports { admin: local(admin), vendors: vendors.map(local) };
            let text = tour::config(vendors_at, &settings, ports);
            let (document, mut report) = Document::parse("the demo's config", text);
            let config = parse::config(&document, Path::new("."), &mut report);
            Ok(app::start(config.ok_or(Failure::Config(report))?).await)
        };
        let gateway = match start(9464, [8081, 8082]).await? {
            // One is taken, by another demo perhaps: then any will do.
            Err(StartError::Bind(_)) => start(0, [0, 0]).await?,
            started => started,
        };
        let gateway = gateway.map_err(Failure::failed)?;
        let listener = |name: &str| {
            gateway.addresses.upstream(name).map(ToString::to_string).unwrap_or_default()
        };
        let admin = gateway.addresses.admin;
        println!("{}", tour::calls(vendors_at, &settings, listener));
        println!(
            "The gateway's own view: http://{admin}/status and /metrics, and / in a browser. Ctrl-C ends it.\n"
        );

        let code = until_signal(gateway, &mut shutdown).await?;
        stop.cancel();
        vendors.await.map_err(Failure::failed)?;
        Ok(code)
    })
}

fn log(level: &str) -> LogConfig {
    LogConfig { format: Format::Text, level: level.to_owned(), access: None }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// With what the gateway does about each rejection, which it tells at debug.
const DEMO_LOG: &str = "info,tokenward::proxy=debug";
