//! `pwctl`: virtual machines from the command line.
//!
//! ```text
//!   args ─► commands::NAME ─► api::Client ─► the server
//!                │
//!                ├── wait      follows a VM until it is as asked, or will not be
//!                ├── output    results on stdout: text, or one JSON document
//!                └── failure   on stderr: what happened, why, the next step; and the exit code
//! ```
//!
//! It knows the HTTP contract and nothing below it. Data goes to stdout and talk to stderr.

mod args;
mod commands;
mod connect;
mod failure;
mod image;
mod keys;
mod output;
mod progress;
mod ssh;
mod table;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return refuse(told),
    };
    let output = Output::new(cli.global.json, cli.global.quiet);
    let own_failure = commands::own_failure(&cli.command);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            return failure::report(&Failure::Runtime { source }, cli.global.json, own_failure);
        }
    };
    match runtime.block_on(commands::run(cli.command, &cli.global, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure::report(&failure, cli.global.json, own_failure),
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
    let own = is_ssh(words()).then_some(ssh::OWN_FAILURE);
    let is_json = words().any(|word| word == "--json");
    failure::report(&Failure::Usage { told }, is_json, own)
}

/// Whether a command line that could not be parsed was meant for `ssh`.
fn is_ssh(mut words: impl Iterator<Item = String>) -> bool {
    while let Some(word) = words.next() {
        match word.as_str() {
            "--url" | "--state" => drop(words.next()),
            option if option.starts_with('-') => {}
            command => return command == "ssh",
        }
    }
    false
}
