//! `tokenward schema`, `completions` and `man`: texts about the program for other programs, made from
//! what the program itself reads.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::config::schema;

use super::{Arguments, Failure, say};

#[derive(Debug, clap::Args)]
pub(super) struct SchemaArguments {
    /// Of which file.
    #[arg(value_enum, default_value_t = File::Config)]
    file: File,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum File {
    /// The config.
    Config,
    /// The list of clients that `clients.file` names.
    Clients,
}

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArguments {
    /// For which shell.
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArguments {
    /// The page of one command; left out: the program's.
    command: Option<String>,

    /// Write the pages of the program and of each command into this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    to: Option<PathBuf>,
}

pub(super) fn schema(arguments: &SchemaArguments) {
    let schema = match arguments.file {
        File::Config => schema::config(),
        File::Clients => schema::clients(),
    };
    say(io::stdout(), &format!("{schema:#}"));
}

pub(super) fn completions(arguments: &CompletionsArguments) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), NAME, &mut script);
    say(io::stdout(), String::from_utf8_lossy(&script).trim_end());
}

pub(super) fn man(arguments: &ManArguments) -> Result<(), Failure> {
    if let Some(folder) = &arguments.to {
        return write_all(folder)
            .map_err(|error| Failure::Failed(format!("{}: {error}", folder.display()).into()));
    }
    let program = program();
    let command = match &arguments.command {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
            let known: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
            Failure::Usage(format!("no command {name:?}, but: {}", known.join(", ")))
        })?,
    };
    let mut roff = Vec::new();
    page(command).render(&mut roff).map_err(Failure::failed)?;
    say(io::stdout(), String::from_utf8_lossy(&roff).trim_end());
    Ok(())
}

fn write_all(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let program = program();
    for command in program.get_subcommands().chain([&program]) {
        page(command.clone()).generate_to(folder)?;
    }
    Ok(())
}

fn program() -> clap::Command {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    program
}

fn page(command: clap::Command) -> Man {
    Man::new(command).source(concat!("tokenward ", env!("CARGO_PKG_VERSION"))).manual("tokenward")
}

const NAME: &str = "tokenward";
