//! The command line.

mod admin;
mod check;
mod classify;
mod core_dumps;
#[cfg(feature = "sandbox")]
mod demo;
mod generate;
mod people;
mod probe;
mod progress;
mod run;
mod seed;
mod status;
mod wait;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::causes::causes;
use crate::config::LogConfig;
use crate::document::Report;
use crate::secret::live::{self, Hold};
use crate::telemetry::log::{self, Format, LogError, Origin};

/// An authenticating egress gateway: adds a vendor's access token to requests, keeps it alive, and
/// sends a request again when the token has died.
#[derive(Debug, Parser)]
#[command(name = "tokenward", version, max_term_width = 100, after_long_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// How log lines look: text or json.
    #[arg(long, global = true, value_parser = parse_format)]
    log_format: Option<Format>,

    /// What is logged: error, warn, info, debug or trace, or a filter (`info,tokenward::proxy=debug`).
    #[arg(long, global = true)]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Run(ConfigFile),
    /// Both vendors simulated, the gateway before them, short-lived tokens: needs nothing.
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArguments),
    /// The simulated vendors alone, with fault switches.
    #[cfg(feature = "sandbox")]
    Sandbox(demo::SandboxArguments),
    /// Read the config and show every mistake in it.
    Check(check::Arguments),
    /// Store the first refresh token of an upstream.
    Seed(seed::Arguments),
    /// Say how a gateway is: its tokens, their ends and budgets. Exit code 1: it is not ready.
    Status(status::Arguments),
    /// Wait until a gateway is ready.
    Wait(wait::Arguments),
    /// Try a vendor's rules on a saved answer.
    Classify(classify::Arguments),
    /// Call a vendor with a wrong token, to learn how it says so and which rule would match.
    Probe(probe::Arguments),
    /// Print the keys of the config, or of the list of clients, as a JSON Schema.
    Schema(generate::SchemaArguments),
    /// Print what completes the command line in a shell.
    Completions(generate::CompletionsArguments),
    /// Print the manual page, in roff.
    Man(generate::ManArguments),
}

#[derive(Clone, Debug, clap::Args)]
struct ConfigFile {
    /// The config, in TOML.
    #[arg(long, env = "TOKENWARD_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Wrong use, or a wrong config: exit code 2.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Config(Report),
    /// The rest: exit code 1.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error>),
}

/// Runs the command line and gives the exit code: 2 when it or the config is wrong, 1 for other
/// failures.
pub fn main() -> ExitCode {
    let undone = core_dumps::forbid();
    log::tell_panics();
    if let Err(error) = undone {
        say(io::stderr(), &format!("warning: core dumps cannot be forbidden: {error}"));
    }
    let arguments = Arguments::parse();
    // What fails may be told when the config that it comes from has gone.
    let mut hold = Some(live::hold());
    match dispatch(&arguments, &mut hold) {
        Ok(code) => code,
        Err(failure) => {
            let code = match &failure {
                Failure::Usage(_) | Failure::Config(_) => 2,
                Failure::Failed(_) => 1,
            };
            show(&failure);
            ExitCode::from(code)
        }
    }
}

fn dispatch(arguments: &Arguments, hold: &mut Option<Hold>) -> Result<ExitCode, Failure> {
    let done = match &arguments.command {
        // These run for long, and let secrets go that are no longer used.
        Command::Run(file) => return run::run(file, arguments, hold),
        #[cfg(feature = "sandbox")]
        Command::Demo(demo) => {
            *hold = None;
            return demo::demo(demo, arguments);
        }
        #[cfg(feature = "sandbox")]
        Command::Sandbox(sandbox) => demo::sandbox(sandbox, arguments),
        Command::Check(check) => check::check(check),
        Command::Seed(seed) => seed::seed(seed),
        Command::Status(status) => return status::status(status),
        Command::Wait(wait) => wait::wait(wait),
        Command::Classify(classify) => classify::classify(classify),
        Command::Probe(probe) => probe::probe(probe),
        Command::Schema(arguments) => {
            generate::schema(arguments);
            Ok(())
        }
        Command::Completions(completions) => {
            generate::completions(completions);
            Ok(())
        }
        Command::Man(man) => generate::man(man),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn show(failure: &Failure) {
    let text = match failure {
        Failure::Config(report) if io::stderr().is_terminal() => report.coloured().to_string(),
        Failure::Config(report) => report.to_string(),
        Failure::Usage(problem) => format!("error: {problem}"),
        Failure::Failed(error) => format!("error: {}", causes(error.as_ref())),
    };
    say(io::stderr(), &text);
}

/// Writes a line, or more, unless a secret stands in it.
fn say(mut to: impl Write, text: &str) {
    let text = match log::holds_secret(text.as_bytes()) {
        true => "this message is withheld: it holds a secret",
        false => text,
    };
    // There is nobody else to tell that it is closed.
    let _ = writeln!(to, "{text}");
}

impl Arguments {
    /// Logging as the command line says, else as the config does.
    fn init_log(&self, config: &LogConfig) -> Result<(), Failure> {
        let format = self.log_format.unwrap_or(config.format);
        let (level, origin) = match &self.log_level {
            Some(level) => (level, Origin::CommandLine),
            None => (&config.level, Origin::Config),
        };
        log::init(format, level, origin).map_err(|error| match error {
            LogError::Level { .. } => Failure::Usage(causes(&error)),
            _ => Failure::failed(error),
        })
    }
}

impl Failure {
    fn failed(error: impl std::error::Error + 'static) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Runs a command on the runtime of everything but requests. What blocks at its end (a name look-up,
/// a worker that does not stop) is not waited for.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::failed)?;
    let result = runtime.block_on(command);
    runtime.shutdown_timeout(LAST_WORK);
    result
}

/// The variables that may stand for keys of a config. Others may hold anything, and bytes that are
/// not UTF-8 (`std::env::vars` would panic on them) are no reason not to start.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text)
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("give text or json".to_owned()),
    }
}

/// Of the long help and the manual.
const AFTER_HELP: &str = "\
The exit code is 0 when all is well, 2 when the command line or the config is wrong, and 1 for any other failure. A gateway \
that a second signal has ended before its time gives 128 and the signal's number: 143 for SIGTERM, 130 for SIGINT.

TOKENWARD_CONFIG can name the config, TOKENWARD_ADMIN the admin address of a gateway that runs. Any key of the config can \
come from the environment: TOKENWARD__UPSTREAM__NAME__BASE_URL is upstream.NAME.base_url.";
const LAST_WORK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::app::LAST_RENEWAL;
    use crate::config::parse::GRACE;

    use super::*;

    /// Kubernetes kills 30 s after its signal, if nothing else is said.
    #[test]
    fn p29_with_the_defaults_the_end_comes_before_kubernetes_kills() {
        let after = LAST_RENEWAL + LAST_WORK;
        assert!(GRACE + after < Duration::from_secs(30));
        assert!(after <= Duration::from_secs(4), "so it says in the README");
    }

    #[test]
    fn every_command_can_be_parsed() {
        Arguments::command().debug_assert();
    }
}
