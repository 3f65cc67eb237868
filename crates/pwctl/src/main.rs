//! `pwctl`: virtual machines from the command line.
//!
//! ```text
//!   args ─► commands::NAME ─► api::Client ─► the server
//!                │
//!                ├── session   a program or console, on this terminal
//!                ├── copy      files, packed and unpacked as they travel
//!                ├── contexts  the servers that this person knows; connect chooses one
//!                ├── bulk      the same asked of several VMs
//!                ├── wait      follows a VM until it is as asked, or will not be
//!                ├── ssh_config  what config-ssh keeps in ~/.ssh
//!                ├── output    results on stdout: table, names, JSON or YAML
//!                └── failure   on stderr: what happened, why, the next step; and the exit code
//! ```
//!
//! It knows the HTTP contract and nothing below it. Data goes to stdout and talk to stderr.

mod args;
mod bulk;
mod commands;
mod complete;
mod connect;
mod contexts;
mod copy;
mod duration;
mod escape;
mod failure;
mod files;
mod image;
mod impatience;
mod keys;
mod names;
mod output;
mod progress;
mod registry;
mod session;
mod ssh;
mod ssh_config;
mod table;
mod terminal;
mod wait;
mod when;
mod yaml;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    // Ends the process where it was a shell that asked.
    CompleteEnv::with_factory(Cli::command)
        .var(commands::COMPLETION_VARIABLE)
        .complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return refuse(told),
    };
    let output = Output::new(cli.global.format(), cli.global.quiet);
    let own_failure = commands::own_failure(&cli.command);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            return failure::report(&Failure::Runtime { source }, output.is_document(), own_failure);
        }
    };
    let ended = runtime.block_on(commands::run(cli.command, &cli.global, &output));
    // Somebody who does not read our output must not keep us.
    runtime.shutdown_background();
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(failure) => failure::report(&failure, output.is_document(), own_failure),
    }
}

/// Help and version are answers; everything else that stops the parser is a mistake in the command line.
fn refuse(told: clap::Error) -> ExitCode {
    if !told.use_stderr() {
        // Nobody is left to tell when the terminal is gone.
        let _ = told.print();
        return ExitCode::SUCCESS;
    }
    let words = || std::env::args().skip(1).take_while(|word| word != "--");
    let own = command_of(words()).and_then(|command| commands::own_failure_of(&command));
    let is_json =
        words().any(|word| matches!(word.as_str(), "--json" | "-ojson" | "-oyaml" | "json" | "yaml"));
    failure::report(&Failure::Usage { told }, is_json, own)
}

/// The command of a command line that could not be parsed.
fn command_of(mut words: impl Iterator<Item = String>) -> Option<String> {
    while let Some(word) = words.next() {
        match word.as_str() {
            "--url" | "--context" | "--state" | "--output" | "-o" => drop(words.next()),
            option if option.starts_with('-') => {}
            command => return Some(command.to_owned()),
        }
    }
    None
}
