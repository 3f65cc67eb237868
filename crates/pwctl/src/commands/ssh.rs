use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process;

use clap::Args;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::keys;
use crate::ssh::{self, Target};

#[derive(Debug, Args)]
#[command(after_help = "\
The exit status is the remote command's; 255 when there is no connection.

Examples:
  pwctl ssh web
  pwctl ssh web -- uname -a
  tar c . | pwctl ssh web -- tar x -C /srv")]
pub(crate) struct Ssh {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// Private key to sign in with [default: the one that make up made]
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// The command; without one a shell is opened
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl Ssh {
    /// Becomes ssh, so that signals, terminal and exit status are ssh's own.
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let vm = connect(global)?.vm_get(&self.vm).await?;
        let target = Target::of(&vm)?;
        let identity = keys::identity(self.identity.as_deref(), &global.state);
        let arguments = ssh::arguments(&target, identity.as_deref(), self.tty, &self.command);
        let source = process::Command::new("ssh").args(arguments).exec();
        Err(Failure::SshMissing { source })
    }
}
