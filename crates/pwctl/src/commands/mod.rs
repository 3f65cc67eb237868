//! A file per command: its arguments, and what it does.

mod create;
mod get;
mod host;
mod image;
mod ls;
mod power;
mod rm;
mod ssh;
mod ssh_command;
mod version;

use clap::Subcommand;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a VM and wait until you can ssh into it
    Create(create::Create),
    /// List VMs
    #[command(visible_alias = "ps")]
    Ls(ls::Ls),
    /// Show all there is to know about a VM
    Get(get::Get),
    /// Start a VM that is off or has failed
    Start(power::Start),
    /// Stop a VM, keeping its disk, address and host key
    Stop(power::Stop),
    /// Remove VMs with their disks, whatever their status
    #[command(visible_alias = "delete")]
    Rm(rm::Rm),
    /// Open a shell in a VM, or run a command there
    Ssh(ssh::Ssh),
    /// Print a line that signs in to a VM, to paste into a shell
    SshCommand(ssh_command::SshCommand),
    /// Hosts, and the VMs found on them that pitwall does not know
    #[command(subcommand)]
    Host(host::Host),
    /// Images that hosts hold
    #[command(subcommand)]
    Image(image::Image),
    /// Show the versions of pwctl and of the server
    Version(version::Version),
}

/// The exit status for pwctl's own failures, in commands that pass another's on.
pub(crate) const fn own_failure(command: &Command) -> Option<u8> {
    match command {
        Command::Ssh(_) => Some(crate::ssh::OWN_FAILURE),
        Command::Create(_)
        | Command::Ls(_)
        | Command::Get(_)
        | Command::Start(_)
        | Command::Stop(_)
        | Command::Rm(_)
        | Command::SshCommand(_)
        | Command::Host(_)
        | Command::Image(_)
        | Command::Version(_) => None,
    }
}

pub(crate) async fn run(command: Command, global: &Global, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Create(command) => command.run(global, output).await,
        Command::Ls(command) => command.run(global, output).await,
        Command::Get(command) => command.run(global, output).await,
        Command::Start(command) => command.run(global, output).await,
        Command::Stop(command) => command.run(global, output).await,
        Command::Rm(command) => command.run(global, output).await,
        Command::Ssh(command) => command.run(global).await,
        Command::SshCommand(command) => command.run(global, output).await,
        Command::Host(command) => command.run(global, output).await,
        Command::Image(command) => command.run(global, output).await,
        Command::Version(command) => command.run(global, output).await,
    }
}
