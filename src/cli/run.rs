//! `tokenward run`: the gateway, until a signal.

use tracing::{info, warn};

use crate::app::{self, Gateway};
use crate::config::parse;
use crate::signal::Shutdown;

use super::{Arguments, ConfigFile, Failure, block_on, environment};

pub(super) fn run(file: &ConfigFile, arguments: &Arguments) -> Result<(), Failure> {
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    arguments.init_log(&config.log)?;
    block_on(async {
        let mut shutdown = Shutdown::install().map_err(Failure::failed)?;
        let gateway = app::start(config).await.map_err(Failure::failed)?;
        until_signal(gateway, &mut shutdown).await
    })
}

/// Serves until a signal, then stops in order; a second signal ends it at once.
pub(super) async fn until_signal(
    mut gateway: Gateway,
    shutdown: &mut Shutdown,
) -> Result<(), Failure> {
    let signal = tokio::select! {
        signal = shutdown.recv() => signal,
        error = gateway.failed() => return Err(Failure::failed(error)),
    };
    info!(signal, "stopping: what has begun comes to its end");
    tokio::select! {
        left = gateway.stop() => match left {
            0 => info!("stopped"),
            left => warn!(left, "stopped; connections had to be cut"),
        },
        signal = shutdown.recv() => warn!(signal, "stopped at once, by a second signal"),
    }
    Ok(())
}
