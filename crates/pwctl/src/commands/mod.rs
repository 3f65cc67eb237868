//! A file per command: its arguments, and what it does.

mod audit;
mod completion;
mod config;
mod config_ssh;
mod console;
mod cp;
mod create;
mod doctor;
mod events;
mod exec;
mod extend;
mod get;
mod host;
mod image;
mod key;
mod keys;
mod label;
mod login;
mod logs;
mod ls;
mod man_pages;
mod me;
mod open;
mod power;
mod quota;
mod rebuild;
mod removal;
mod resize;
mod rm;
mod run;
mod share;
mod ssh;
mod ssh_command;
mod ssh_proxy;
mod team;
mod token;
mod user;
mod version;
mod wait;

pub(crate) use completion::VARIABLE as COMPLETION_VARIABLE;

use clap::Subcommand;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a VM and wait until you can ssh into it
    Create(create::Create),
    /// Create a VM, run a command in it, and see how it ends
    Run(run::Run),
    /// List VMs
    #[command(visible_aliases = ["ps", "list"])]
    Ls(ls::Ls),
    /// Show all there is to know about a VM
    #[command(visible_aliases = ["inspect", "show"])]
    Get(get::Get),
    /// Start VMs that are off or have failed
    Start(power::Start),
    /// Stop VMs, keeping their disks, addresses and host keys
    Stop(power::Stop),
    /// Boot VMs again
    Restart(power::Restart),
    /// Make VMs' disks anew from their image, or from another
    Rebuild(rebuild::Rebuild),
    /// Give VMs more or fewer processors, more or less memory, a larger disk
    Resize(resize::Resize),
    /// Let a VM live longer
    Extend(extend::Extend),
    /// Wait until a VM is as it was asked to be
    Wait(wait::Wait),
    /// Follow what happens to a VM, or to all
    Events(events::Events),
    /// Remove VMs with their disks, whatever their status
    #[command(visible_aliases = ["delete", "destroy"])]
    Rm(rm::Rm),
    /// List the keys that may sign in to a VM, and change them
    Keys(keys::Keys),
    /// Show a VM's labels, and change them
    Label(label::Label),
    /// Open a shell in a VM, or run a command there
    Ssh(ssh::Ssh),
    /// Print a line that signs in to a VM, to paste into a shell
    SshCommand(ssh_command::SshCommand),
    /// Set up ssh, scp, rsync and all else that reads ~/.ssh for your VMs
    ConfigSsh(config_ssh::ConfigSsh),
    /// Carry an SSH connection to a VM, for ssh's ProxyCommand
    SshProxy(ssh_proxy::SshProxy),
    /// Run a command in a VM, without SSH
    Exec(exec::Exec),
    /// Print what a VM's service printed
    Logs(logs::Logs),
    /// Open the console of a VM's kernel
    Console(console::Console),
    /// Copy files between here and a VM
    Cp(cp::Cp),
    /// Open what a VM serves in a browser
    Open(open::Open),
    /// Hosts, and the VMs found on them that pitwall does not know
    #[command(subcommand)]
    Host(host::Host),
    /// Images that hosts hold
    #[command(subcommand)]
    Image(image::Image),
    /// Show who you are here
    #[command(visible_alias = "whoami")]
    Me(me::Me),
    /// Users, for admins
    #[command(subcommand)]
    User(user::User),
    /// Teams, and who is in them
    #[command(subcommand)]
    Team(team::Team),
    /// Share a VM with a user or team
    Share(share::Share),
    /// Share a VM with a user or team no more
    Unshare(share::Unshare),
    /// Give a VM to another owner
    Transfer(share::Transfer),
    /// How much users and teams may own
    #[command(subcommand)]
    Quota(quota::Quota),
    /// The SSH keys of your account
    #[command(subcommand)]
    Key(key::Key),
    /// The tokens of your account
    #[command(subcommand)]
    Token(token::Token),
    /// Who did what, and what was refused
    Audit(audit::Audit),
    /// Sign in to a server
    Login(login::Login),
    /// Sign out of a server
    Logout(login::Logout),
    /// The servers that pwctl knows
    #[command(subcommand)]
    Config(config::Config),
    /// Look for what is in the way of pwctl here
    Doctor(doctor::Doctor),
    /// Print what makes a shell complete pwctl's words
    Completion(completion::Completion),
    /// Write the manual's pages
    #[command(hide = true)]
    ManPages(man_pages::ManPages),
    /// Show the versions of pwctl and of the server
    Version(version::Version),
}

/// The exit status for pwctl's own failures, in commands that pass another's on.
pub(crate) const fn own_failure(command: &Command) -> Option<u8> {
    match command {
        Command::Ssh(_) => Some(crate::ssh::OWN_FAILURE),
        Command::Exec(_) | Command::Run(_) => Some(exec::OWN_FAILURE),
        Command::Create(_)
        | Command::Restart(_)
        | Command::Rebuild(_)
        | Command::Resize(_)
        | Command::Extend(_)
        | Command::Audit(_)
        | Command::Wait(_)
        | Command::Events(_)
        | Command::ConfigSsh(_)
        | Command::SshProxy(_)
        | Command::Open(_)
        | Command::Login(_)
        | Command::Logout(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Completion(_)
        | Command::ManPages(_)
        | Command::Ls(_)
        | Command::Get(_)
        | Command::Start(_)
        | Command::Stop(_)
        | Command::Rm(_)
        | Command::Keys(_)
        | Command::Label(_)
        | Command::SshCommand(_)
        | Command::Logs(_)
        | Command::Console(_)
        | Command::Cp(_)
        | Command::Host(_)
        | Command::Image(_)
        | Command::Me(_)
        | Command::User(_)
        | Command::Team(_)
        | Command::Share(_)
        | Command::Unshare(_)
        | Command::Transfer(_)
        | Command::Quota(_)
        | Command::Key(_)
        | Command::Token(_)
        | Command::Version(_) => None,
    }
}

/// The same of a command by its name.
pub(crate) fn own_failure_of(name: &str) -> Option<u8> {
    match name {
        "ssh" => Some(crate::ssh::OWN_FAILURE),
        "exec" | "run" => Some(exec::OWN_FAILURE),
        _ => None,
    }
}

/// Gives the exit status.
pub(crate) async fn run(command: Command, global: &Global, output: &Output) -> Result<u8, Failure> {
    let done = match command {
        Command::Exec(command) => return command.run(global).await,
        Command::Run(command) => return command.run(global, output).await,
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
        Command::Label(command) => command.run(global, output).await,
        Command::Ssh(command) => command.run(global).await,
        Command::SshCommand(command) => command.run(global, output).await,
        Command::Host(command) => command.run(global, output).await,
        Command::Image(command) => command.run(global, output).await,
        Command::Restart(command) => command.run(global, output).await,
        Command::Rebuild(command) => command.run(global, output).await,
        Command::Resize(command) => command.run(global, output).await,
        Command::Extend(command) => command.run(global, output).await,
        Command::Audit(command) => command.run(global, output).await,
        Command::Wait(command) => command.run(global, output).await,
        Command::Events(command) => command.run(global, output).await,
        Command::ConfigSsh(command) => command.run(global, output).await,
        Command::SshProxy(command) => command.run(global).await,
        Command::Open(command) => command.run(global, output).await,
        Command::Me(command) => command.run(global, output).await,
        Command::User(command) => command.run(global, output).await,
        Command::Team(command) => command.run(global, output).await,
        Command::Share(command) => command.run(global, output).await,
        Command::Unshare(command) => command.run(global, output).await,
        Command::Transfer(command) => command.run(global, output).await,
        Command::Quota(command) => command.run(global, output).await,
        Command::Key(command) => command.run(global, output).await,
        Command::Token(command) => command.run(global, output).await,
        Command::Login(command) => command.run(global, output).await,
        Command::Logout(command) => command.run(global, output).await,
        Command::Config(command) => command.run(global, output),
        Command::Doctor(command) => command.run(global, output).await,
        Command::Completion(command) => command.run(),
        Command::ManPages(command) => command.run(),
        Command::Version(command) => command.run(global, output).await,
    };
    done.map(|()| 0)
}
