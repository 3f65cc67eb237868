//! A file per command: its arguments, and what it does.

mod console;
mod cp;
mod create;
mod exec;
mod get;
mod host;
mod image;
mod keys;
mod logs;
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
    /// List the keys that may sign in to a VM, and change them
    Keys(keys::Keys),
    /// Open a shell in a VM, or run a command there
    Ssh(ssh::Ssh),
    /// Print a line that signs in to a VM, to paste into a shell
    SshCommand(ssh_command::SshCommand),
    /// Run a command in a VM, without SSH
    Exec(exec::Exec),
    /// Print what a VM's service printed
    Logs(logs::Logs),
    /// Open the console of a VM's kernel
    Console(console::Console),
    /// Copy files between here and a VM
    Cp(cp::Cp),
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
        Command::Exec(_) => Some(exec::OWN_FAILURE),
        Command::Create(_)
        | Command::Ls(_)
        | Command::Get(_)
        | Command::Start(_)
        | Command::Stop(_)
        | Command::Rm(_)
        | Command::Keys(_)
        | Command::SshCommand(_)
        | Command::Logs(_)
        | Command::Console(_)
        | Command::Cp(_)
        | Command::Host(_)
        | Command::Image(_)
        | Command::Version(_) => None,
    }
}

/// The same of a command by its name.
pub(crate) fn own_failure_of(name: &str) -> Option<u8> {
    match name {
        "ssh" => Some(crate::ssh::OWN_FAILURE),
        "exec" => Some(exec::OWN_FAILURE),
        _ => None,
    }
}

/// Gives the exit status.
pub(crate) async fn run(command: Command, global: &Global, output: &Output) -> Result<u8, Failure> {
    let done = match command {
        Command::Exec(command) => return command.run(global).await,
        Command::Console(command) => return command.run(global, output).await,
        Command::Logs(command) => command.run(global, output).await,
        Command::Cp(command) => command.run(global).await,
        Command::Create(command) => command.run(global, output).await,
        Command::Ls(command) => command.run(global, output).await,
        Command::Get(command) => command.run(global, output).await,
        Command::Start(command) => command.run(global, output).await,
        Command::Stop(command) => command.run(global, output).await,
        Command::Rm(command) => command.run(global, output).await,
        Command::Keys(command) => command.run(global, output).await,
        Command::Ssh(command) => command.run(global).await,
        Command::SshCommand(command) => command.run(global, output).await,
        Command::Host(command) => command.run(global, output).await,
        Command::Image(command) => command.run(global, output).await,
        Command::Version(command) => command.run(global, output).await,
    };
    done.map(|()| 0)
}
