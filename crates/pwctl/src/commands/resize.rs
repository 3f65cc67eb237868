use api::{ByteSize, ResizeVm, Vm};
use clap::Args;

use crate::args::{Global, Waiting};
use crate::bulk::{Done, Vms};
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::size;
use crate::wait::Goal;

#[derive(Debug, Args)]
#[command(after_help = "\
Processors and memory change while the VM is STOPPED, or with --restart. The disk only grows; a VM that runs has the larger
one from its next boot on. What is not named stays as it is.

Examples:
  pwctl resize web --cpus 2 --memory 1G --restart
  pwctl resize web --disk 4G")]
pub(crate) struct Resize {
    #[command(flatten)]
    vms: Vms,
    /// Virtual processors
    #[arg(long, value_name = "N", required_unless_present_any = ["memory", "disk"])]
    cpus: Option<u32>,
    /// Memory, such as 1G
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Writable disk, such as 4G
    #[arg(long, value_name = "SIZE")]
    disk: Option<ByteSize>,
    /// Boot it again, so that it has its size at once
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Resize {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let wish = ResizeVm {
            cpus: self.cpus,
            memory_bytes: self.memory.map(ByteSize::bytes),
            disk_bytes: self.disk.map(ByteSize::bytes),
            restart: self.restart,
        };
        let client = connect(global)?;
        let names = self.vms.meant(&client).await?;
        let asked = Done::ask(&names, async |vm| client.vm_resize(vm, &wish).await).await;
        let done = asked
            .wait_for(&client, Goal::of_power, self.waiting, output)
            .await;
        done.tell(&self.vms, output, line)
    }
}

fn line(vm: &Vm) -> String {
    let (memory, disk) = (size(vm.memory_bytes), size(vm.disk_bytes));
    format!(
        "{} has cpus: {}, memory: {memory}, disk: {disk}; it is {}\n",
        vm.name, vm.cpus, vm.status
    )
}
