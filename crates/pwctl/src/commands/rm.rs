use clap::Args;
use serde_json::json;

use crate::args::{Global, Waiting};
use crate::bulk::{Done, Vms, confirm, is_not_found};
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::ssh_config::{self, After};
use crate::wait::Goal;

#[derive(Debug, Args)]
#[command(after_help = "\
VMs that are named go at once. With --all or --label a person is asked first; elsewhere --yes is needed.

Examples:
  pwctl rm web
  pwctl rm web db --ignore-missing
  pwctl rm --label tier=test --dry-run")]
pub(crate) struct Rm {
    #[command(flatten)]
    vms: Vms,
    /// What is not there is no failure
    #[arg(long)]
    ignore_missing: bool,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Say what would go, and leave it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rm {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let names = self.vms.meant(&client).await?;
        let is_missing = |failure: &Failure| self.ignore_missing && is_not_found(failure);
        if self.dry_run {
            let there = Done::ask(&names, async |vm| client.vm_get(vm).await).await;
            return told(there.forgive(is_missing), "would go", output);
        }
        let remove = async |vm: &str| client.vm_delete(vm).await;
        let asked = if self.vms.is_named() || self.yes {
            Done::ask(&names, remove).await
        } else {
            let question = |names: &str| format!("Remove {names} with their disks?");
            let what = "VMs that are not named are to be removed";
            confirm(&client, &names, question, what).await?.then(remove).await
        };
        let going = asked.forgive(is_missing);
        let done = going.wait(&client, Goal::Gone, self.waiting, output).await;
        ssh_config::renew(global, &client, After::Removed(&done.vms), output).await;
        let word = if self.waiting.no_wait {
            "is going"
        } else {
            "is gone"
        };
        told(done, word, output)
    }
}

fn told(done: Done, word: &str, output: &Output) -> Result<(), Failure> {
    let names: Vec<_> = done.vms.iter().map(|vm| vm.name.clone()).collect();
    let lines = || names.iter().map(|name| format!("{name} {word}\n")).collect();
    output.many(&json!({ "items": names, "next": null }), names.clone(), lines)?;
    done.outcome()
}
