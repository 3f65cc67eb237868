use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::wait::{self, Goal};

#[derive(Debug, Args)]
#[command(after_help = "\
What counts is a status seen of what is asked now: a VM that is about to be stopped is not yet STOPPED, and not RUNNING
any more. One that ends in ERROR, or goes another way, ends the wait with a failure.

Examples:
  pwctl wait web
  pwctl wait web --for STOPPED --timeout 60")]
pub(crate) struct Wait {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// The status
    #[arg(
        long = "for",
        value_name = "STATUS",
        default_value = "RUNNING",
        ignore_case = true
    )]
    status: Awaited,
    /// Stop waiting after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// A status that a VM can be waited into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Awaited {
    Running,
    Stopped,
    Deleted,
}

impl Wait {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let goal = match self.status {
            Awaited::Running => Goal::Running,
            Awaited::Stopped => Goal::Stopped,
            Awaited::Deleted => Goal::Gone,
        };
        let vm = match client.vm_get(&self.vm).await {
            Err(error) if error.is_not_found() && goal == Goal::Gone => return Ok(()),
            vm => vm?,
        };
        let limit = Duration::from_secs(self.timeout);
        match wait::until(&client, &vm, goal, limit, output).await? {
            Some(vm) => output.one(&vm, &vm.name, || format!("{} is {}\n", vm.name, vm.status)),
            None => output.one(&vm, &vm.name, || format!("{} is gone\n", vm.name)),
        }
    }
}
