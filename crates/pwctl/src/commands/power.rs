use clap::Args;

use crate::args::{Global, Waiting};
use crate::bulk::{Done, Vms};
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::ssh_config::{self, After};
use crate::wait::Goal;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl start web
  pwctl start web db")]
pub(crate) struct Start {
    #[command(flatten)]
    vms: Vms,
    #[command(flatten)]
    waiting: Waiting,
}

impl Start {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let asked = Done::ask(&self.vms.meant(&client).await?, async |vm| {
            client.vm_start(vm).await
        })
        .await;
        let done = asked.wait(&client, Goal::Running, self.waiting, output).await;
        // An address is told when it boots.
        ssh_config::renew(global, &client, After::Changed(&done.vms), output).await;
        done.tell(&self.vms, output, |vm| format!("{} is {}\n", vm.name, vm.status))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl stop web
  pwctl stop --all --no-wait")]
pub(crate) struct Stop {
    #[command(flatten)]
    vms: Vms,
    #[command(flatten)]
    waiting: Waiting,
}

impl Stop {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let asked = Done::ask(&self.vms.meant(&client).await?, async |vm| {
            client.vm_stop(vm).await
        })
        .await;
        let done = asked.wait(&client, Goal::Stopped, self.waiting, output).await;
        done.tell(&self.vms, output, |vm| format!("{} is {}\n", vm.name, vm.status))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
The machine boots again, once; its disk, address and host key are kept.

Example:
  pwctl restart web")]
pub(crate) struct Restart {
    #[command(flatten)]
    vms: Vms,
    #[command(flatten)]
    waiting: Waiting,
}

impl Restart {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let names = self.vms.meant(&client).await?;
        let asked = Done::ask(&names, async |vm| client.vm_restart(vm).await).await;
        let done = asked.wait(&client, Goal::Running, self.waiting, output).await;
        done.tell(&self.vms, output, |vm| format!("{} is {}\n", vm.name, vm.status))
    }
}
