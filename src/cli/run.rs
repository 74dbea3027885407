//! `tokenward run`: the gateway, until a signal.

use std::io;
use std::process::ExitCode;

use tracing::{info, warn};

use crate::app::{self, Gateway, Handed, Reader};
use crate::config::parse;
use crate::secret::live::Hold;
use crate::signal::{Hangup, Shutdown};
use crate::systemd::Systemd;

use super::{Arguments, ConfigFile, Failure, block_on, core_dumps, environment};

/// `hold` is let go when the gateway serves.
pub(super) fn run(
    file: &ConfigFile,
    arguments: &Arguments,
    hold: &mut Option<Hold>,
) -> Result<ExitCode, Failure> {
    // Now, for there is no other thread yet.
    let handed = Handed::from_env();
    let config = parse::file(&file.config, environment()).map_err(Failure::Config)?;
    arguments.init_log(&config.log)?;
    let handed = handed.map_err(Failure::failed)?;
    if config.core_dumps {
        core_dumps::permit().map_err(|error| Failure::failed(io::Error::from(error)))?;
    }
    block_on(async {
        let mut shutdown = Shutdown::install().map_err(Failure::failed)?;
        // As early as the others: until then it ends the process.
        let mut hangup = Hangup::install().map_err(Failure::failed)?;
        let path = file.config.clone();
        let again: Reader = Box::new(move || parse::read(&path, environment()));
        let gateway = app::start_from(config, Some(again), Systemd::from_env(), handed).await;
        let gateway = gateway.map_err(Failure::failed)?;
        *hold = None;
        let reloads = gateway.reloads();
        let reload = async {
            loop {
                hangup.recv().await;
                info!("reading the config again, for SIGHUP");
                reloads.ask_soon();
            }
        };
        tokio::select! {
            ended = until_signal(gateway, &mut shutdown) => ended,
            () = reload => unreachable!("it waits for the next signal"),
        }
    })
}

/// Serves until a signal, then stops in order; a second signal ends it at once.
pub(super) async fn until_signal(
    mut gateway: Gateway,
    shutdown: &mut Shutdown,
) -> Result<ExitCode, Failure> {
    let signal = tokio::select! {
        signal = shutdown.recv() => signal,
        error = gateway.failed() => return Err(Failure::failed(error)),
    };
    info!(signal = signal.name, "stopping: what has begun comes to its end");
    tokio::select! {
        left = gateway.stop() => match left {
            0 => info!("stopped"),
            left => warn!(left, "stopped; connections had to be cut"),
        },
        signal = shutdown.recv() => {
            warn!(signal = signal.name, "stopped at once, by a second signal");
            // As if the signal itself had ended it.
            return Ok(ExitCode::from(128 + signal.number));
        }
    }
    Ok(ExitCode::SUCCESS)
}
