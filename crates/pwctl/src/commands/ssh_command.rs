use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::{keys, ssh};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pwctl ssh-command web")]
pub(crate) struct SshCommand {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// Private key to sign in with [default: the one that make up made]
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl SshCommand {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let vm = connect(global)?.vm_get(&self.vm).await?;
        let Some(line) = vm.ssh else {
            return Err(Failure::NoWayIn { name: vm.name });
        };
        let identity = keys::identity(self.identity.as_deref(), &global.state);
        let line = ssh::line_with_identity(&line, identity.as_deref());
        output.one(&json!({ "ssh": line }), &line, || format!("{line}\n"))
    }
}
