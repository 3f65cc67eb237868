use api::RebuildVm;
use clap::Args;

use crate::args::{Global, Waiting};
use crate::bulk::{Done, Vms, confirm};
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::registry::Registry;
use crate::ssh_config::{self, After};
use crate::wait::Goal;
use crate::{complete, image};

#[derive(Debug, Args)]
#[command(after_help = "\
What is on the disk is gone. Name, address, keys and host key are kept. A person is asked first; elsewhere --yes is needed.

Examples:
  pwctl rebuild web --yes
  pwctl rebuild web --image debian:13 --yes
  pwctl rebuild web db --dry-run")]
pub(crate) struct Rebuild {
    #[command(flatten)]
    vms: Vms,
    /// Another image, as create takes it [default: its own, as that is now]
    #[arg(long, value_name = "REF", add = complete::images())]
    image: Option<String>,
    #[command(flatten)]
    registry: Registry,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Say whose disk would be made anew, and leave it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rebuild {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let image = self.image.as_deref().map(image::absolute).transpose()?;
        let client = connect(global)?;
        let names = self.vms.meant(&client).await?;
        if self.dry_run {
            let there = Done::ask(&names, async |vm| client.vm_get(vm).await).await;
            return there.tell(&self.vms, output, |vm| {
                format!("{} would be made anew\n", vm.name)
            });
        }
        let question = |names: &str| format!("Make {names} anew, and lose what is on their disks?");
        let what = "what is on disks is to be lost";
        let confirmed = match self.yes {
            true => None,
            false => Some(confirm(&client, &names, question, what).await?),
        };
        let wish = RebuildVm {
            image,
            registry_auth: self.registry.auth().await?,
        };
        let rebuild = async |vm: &str| client.vm_rebuild(vm, &wish).await;
        let asked = match confirmed {
            Some(confirmed) => confirmed.then(rebuild).await,
            None => Done::ask(&names, rebuild).await,
        };
        let done = asked
            .wait_for(&client, Goal::of_power, self.waiting, output)
            .await;
        ssh_config::renew(global, &client, After::Changed(&done.vms), output).await;
        done.tell(&self.vms, output, |vm| {
            format!("{} is made anew from {} and {}\n", vm.name, vm.image, vm.status)
        })
    }
}
